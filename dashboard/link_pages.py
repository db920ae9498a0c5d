"""The pages of those who share: the form of a link, the link that was made, and the list of links."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar
from urllib.parse import urlencode

from msgspec import Struct

from dashboard import links
from dashboard.render import View
from dashboard.viewer import Moment, Viewer
from domain.access.grants import Operation
from domain.access.shared_link import (
    LINK,
    MAX_TEXT,
    REVOKED,
    SHARED,
    EventPlace,
    ListRange,
    Shows,
    is_made_by,
    link_id,
    made_link,
    reader_id,
    shows,
)
from domain.catalogue import TRAIL_SERVICE
from domain.event import AuditEvent, RecordedEvent
from domain.read_audit.events import READ
from queries.cursors import encode_cursor
from queries.filters.event_filter import MAX_PAGE, CountBy, EventFilter, PageRequest
from queries.scoped.read_models import ScopedModels

PAGE = 20
"""Links of a page: each adds two conditions to the query for revocations."""


class LinkForm(View, frozen=True, kw_only=True):
    """The form. `event` and `list` are hidden fields, one of which has a value. `days` are the default and the most."""

    template: ClassVar[str] = "link_form.html"
    what: str
    event: str
    list: str
    days: tuple[int, int]
    most_text: int = MAX_TEXT
    lasting: bool


class LinkMade(View, frozen=True, kw_only=True):
    """The link, which is shown once. `lasting`: it outlives this process."""

    template: ClassVar[str] = "link_made.html"
    what: str
    address: str
    until: Moment
    lasting: bool


class LinkRow(Struct, frozen=True):
    """A link that was made. `state` is in words; `open` leads to what it shows, `uses` to the records of its uses."""

    id: str
    made: Moment
    maker: str
    what: str
    open: str
    reason: str
    until: Moment
    state: str
    works: bool
    uses: int
    uses_link: str


class LinkList(View, frozen=True, kw_only=True):
    """The links of the viewer, or `of_all`. `revoked` is the id of a link that was just revoked."""

    template: ClassVar[str] = "links.html"
    of_all: bool
    revoked: str
    rows: list[LinkRow]
    older: str | None
    newer: str | None
    as_of_position: int


def link_form(
    viewer: Viewer, what: EventPlace | ListRange, *, days: tuple[int, int], lasting: bool
) -> LinkForm:
    """The form for an event or a list. The range of a list is fixed from here on."""
    return LinkForm(
        viewer=viewer,
        title="Share",
        what=described(shows(what), viewer),
        event=str(what.id) if isinstance(what, EventPlace) else "",
        list=urlencode(pairs_of(what, viewer)) if isinstance(what, ListRange) else "",
        days=days,
        lasting=lasting,
    )


def pairs_of(what: ListRange, viewer: Viewer) -> list[tuple[str, str]]:
    """The explorer's parameters of a list."""
    moments = [("from", what.begin.isoformat()), ("to", what.end.isoformat()), ("zone", viewer.zone)]
    return [*what.conditions, *moments]


def described(what: Shows, viewer: Viewer) -> str:
    """What a link shows, in words."""
    if what.event is not None:
        return f"the event {what.event}"
    if what.from_ is None or what.until is None:
        return "not known"
    conditions = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in what.conditions)
    times = f"from {viewer.moment(what.from_).local} until {viewer.moment(what.until).local}, {viewer.zone}"
    return f"the list of events {times}{f': {conditions}' if conditions else ''}"


def link_list(
    models: ScopedModels, viewer: Viewer, page: PageRequest, *, most_days: int, revoked: str = ""
) -> LinkList:
    """The links that the viewer has made, or all of them for those who may revoke all; blocks."""
    of_all = viewer.may(Operation.REVOKE)
    actor = None if of_all else viewer.principal.id
    query = EventFilter.of(type=[SHARED], service=[TRAIL_SERVICE], actor=[actor] if actor else [])
    found = models.events(models.prepare(query), page)
    made = [each for each in found.events if of_all or is_made_by(each.event, viewer.principal)]
    revocations, uses = _revocations(models, made), _uses(models, made)
    older, newer = found.next_after, found.previous_before
    return LinkList(
        viewer=viewer,
        title="Links",
        of_all=of_all,
        revoked=revoked,
        rows=[_row(each.event, viewer, revocations, uses, most_days) for each in made],
        older=None if older is None else f"/links?after={encode_cursor(older)}",
        newer=None if newer is None else f"/links?before={encode_cursor(newer)}",
        as_of_position=found.as_of_position,
    )


def _revocations(models: ScopedModels, made: list[RecordedEvent]) -> dict[str, AuditEvent]:
    """The first revocation of each link."""
    if not made:
        return {}
    each = tuple(EventFilter(resource_type=LINK, resource_id=link_id(one.event)) for one in made)
    query = models.prepare(EventFilter(types=(REVOKED,), service=TRAIL_SERVICE, or_=each))
    events = models.events(query, PageRequest(first=MAX_PAGE)).events  # newest first
    return {link_id(one.event): one.event for one in events}


def _uses(models: ScopedModels, made: list[RecordedEvent]) -> dict[str | None, int]:
    if not made:
        return {}
    readers = [reader_id(link_id(one.event)) for one in made]
    oldest = min(one.event.occurred_at for one in made)
    query = EventFilter.of(actor=readers, type=[READ], service=[TRAIL_SERVICE], occurred_from=oldest)
    counts = models.event_counts(models.prepare(query, CountBy.ACTOR), PAGE)
    return {bucket.key: bucket.events for bucket in counts.buckets}


def _row(
    event: AuditEvent,
    viewer: Viewer,
    revocations: Mapping[str, AuditEvent],
    uses: Mapping[str | None, int],
    most_days: int,
) -> LinkRow:
    id, made = link_id(event), made_link(event)
    until = made.ends(event.occurred_at, most_days)
    revocation = revocations.get(id)
    works = revocation is None and viewer.now < until
    return LinkRow(
        id=id,
        made=viewer.moment(event.occurred_at),
        maker=event.actor.name or event.actor.id or "",
        what=described(made.shows, viewer),
        open=_open(made.shows, viewer),
        reason=event.reason or "",
        until=viewer.moment(until),
        state=_state(revocation, viewer, works=works),
        works=works,
        uses=uses.get(reader_id(id), 0),
        uses_link=_uses_link(id, event.occurred_at, until, viewer),
    )


def _state(revocation: AuditEvent | None, viewer: Viewer, *, works: bool) -> str:
    if revocation is None:
        return "works" if works else "expired"
    by = revocation.actor.name or revocation.actor.id or ""
    return f"revoked by {by} at {viewer.moment(revocation.occurred_at).local}"


def _open(what: Shows, viewer: Viewer) -> str:
    if what.event is not None:
        return links.event(what.event)
    if what.from_ is None or what.until is None:
        return "/explore"
    return links.explore(pairs_of(ListRange(what.conditions, what.from_, what.until), viewer))


def _uses_link(id: str, made: datetime, until: datetime, viewer: Viewer) -> str:
    end = min(until, viewer.now.replace(microsecond=0))
    moments = {"from": made.isoformat(), "to": max(end, made).isoformat()} if end > made else {}
    return links.explore(actor=reader_id(id), **moments)
