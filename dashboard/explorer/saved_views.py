"""Saved views: the list beside the explorer, and the page where a person renames, shares and deletes the own ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import parse_qsl, urlencode

from msgspec import Struct

from dashboard import links
from dashboard.explorer.starter_views import STARTER_VIEWS, StarterView
from dashboard.render import View
from dashboard.texts import title
from dashboard.viewer import Viewer
from domain.access.principal import Role
from domain.access.saved_view import MAX_FILTER, MAX_NAME, MAX_VIEWS, SavedView, roles_to_share_with
from domain.errors import ConfigurationError
from domain.event import PERSONS
from queries.cursors import decode_view_cursor, encode_view_cursor
from queries.saved_views import BEGIN
from queries.scoped.read_models import ScopedModels
from queries.scoped.saved_views import Parse

LISTED = 50
"""Shared views of a page."""

DONE = {
    "saved": "Your view has been sent to the trail. The list shows it as soon as the trail has recorded it.",
    "changed": "Your change has been sent to the trail. The list shows it as soon as the trail has recorded it.",
    "deleted": "The deletion has been sent to the trail. The view leaves the list once the trail has recorded it.",
    "unchanged": "Nothing was different, so nothing was changed.",
}
"""What the page says after a form was sent, by the word in its address."""

UNREADABLE = (
    "Saved views can't be read: their read model is older than this program. An operator must rebuild the projection"
    " `user`."
)


class Choice(Struct, frozen=True):
    """A role to share with; `value` is empty for nobody."""

    value: str
    text: str


class ViewRow(Struct, frozen=True):
    """A view. `conditions` is its filter in words; `owner` is empty if hidden, or if the view is one's own."""

    id: str
    version: int
    name: str
    link: str
    conditions: str
    owner: str
    shared_with: str
    roles: list[Choice]


class ExplorerViews(Struct, frozen=True):
    """The views beside the explorer, and the form that saves what it shows.

    `query` is the filter that the form saves; None if it is too long. `roles` is empty for whoever can have no views.
    With a `problem`, only the starters are listed.
    """

    starters: tuple[StarterView, ...]
    own: list[ViewRow]
    shared: list[ViewRow]
    more: bool
    query: str | None
    roles: list[Choice]
    problem: str = ""
    longest_name: int = MAX_NAME


class ViewsPage(View, frozen=True, kw_only=True):
    """The page of views. `done` says what happened to a form that was sent."""

    template: ClassVar[str] = "views.html"
    own: list[ViewRow]
    shared: list[ViewRow]
    next: str | None
    done: str
    longest_name: int = MAX_NAME
    most_views: int = MAX_VIEWS
    as_of_position: int


def explorer_views(
    models: ScopedModels, viewer: Viewer, kept: Sequence[tuple[str, str]], parse: Parse
) -> ExplorerViews:
    """The views that `viewer` can open, and the form for the pairs `kept` of the address; blocks."""
    query = urlencode(kept)
    try:
        shared, own = models.shared_views(parse, LISTED), models.own_views()
    except ConfigurationError:
        return ExplorerViews(STARTER_VIEWS, [], [], more=False, query=None, roles=[], problem=UNREADABLE)
    return ExplorerViews(
        starters=STARTER_VIEWS,
        own=[_row(view, viewer) for view in own],
        shared=[_row(view, viewer) for view in shared.views],
        more=shared.next is not None,
        query=query if len(query) <= MAX_FILTER else None,
        roles=_roles(viewer) if viewer.principal.kind in PERSONS else [],
    )


def views_page(models: ScopedModels, viewer: Viewer, parse: Parse, after: str, done: str) -> ViewsPage:
    """The page; blocks. Raises `CursorError` when `after` is none."""
    shared = models.shared_views(parse, LISTED, decode_view_cursor(after) if after else BEGIN)
    return ViewsPage(
        viewer=viewer,
        title="Views",
        own=[_row(view, viewer) for view in models.own_views()],
        shared=[_row(view, viewer) for view in shared.views],
        next=None
        if shared.next is None
        else f"/views?{urlencode({'after': encode_view_cursor(*shared.next)})}",
        done=DONE.get(done, ""),
        as_of_position=models.positions().get("user", -1),
    )


def _row(view: SavedView, viewer: Viewer) -> ViewRow:
    pairs = parse_qsl(view.filter)
    own = view.owner == viewer.principal.id
    return ViewRow(
        id=str(view.id),
        version=view.version,
        name=view.name,
        link=links.explore(pairs),
        conditions=", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in pairs),
        owner="" if own else view.owner,
        shared_with="" if view.shared_with is None else view.shared_with.value,
        roles=_roles(viewer, view.shared_with) if own else [],
    )


def _roles(viewer: Viewer, *others: Role | None) -> list[Choice]:
    """Nobody, and the roles of the viewer; `others` are those that a view has already."""
    roles = sorted({*roles_to_share_with(viewer.principal), *filter(None, others)})
    return [Choice("", "nobody"), *(Choice(role.value, title(role.value)) for role in roles)]
