"""A saved view: a filter of the explorer that a person keeps under a name, as events of the trail.

The events of a view are an aggregate, which `apply` folds. A person's events touch that person's views alone, each
field has the value of its newest event, and a deleted view stays deleted. So a read model may merge them in any order.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid4

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from domain.access.grants import Operation, roles_with
from domain.access.principal import Principal, Role
from domain.catalogue import TRAIL_SERVICE
from domain.errors import AccessDeniedError, ConflictError, Reason, RejectedError
from domain.event import PERSONS, Action, AuditEvent, Change, RecordedEvent, Resource, Source

SAVED, CHANGED, DELETED = TYPES = "view.saved", "view.changed", "view.deleted"
VIEW = "SavedView"
"""The resource type of a saved view."""
MAX_NAME = 100
"""Characters of a name."""
MAX_FILTER = 2000
"""Characters of a filter."""
MAX_VIEWS = 50
"""Views of one person. The read model is some milliseconds behind, so a burst of requests may exceed it."""

SHARED_WITH = frozenset(roles_with(Operation.READ_EVENTS)) - {Role.PATIENT}
"""The roles that a view can be shared with. Patients are strangers to each other."""

_VERSION = "version"


class SavedView(Struct, frozen=True, kw_only=True):
    """A view as its events have left it.

    `filter` is a query string of the explorer. `version` is the position of the newest event. `owner` is empty where it
    is hidden from the reader.
    """

    id: UUID
    owner: str
    name: str
    filter: str
    shared_with: Role | None = None
    version: int = -1
    deleted: bool = False


class ViewChange(Struct, frozen=True, kw_only=True):
    """The statement of one event about a view; what it leaves unset stays as it is."""

    id: UUID
    owner: str
    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME)] | UnsetType = UNSET
    filter: Annotated[str, Meta(max_length=MAX_FILTER)] | UnsetType = UNSET
    shared_with: Role | UnsetType | None = UNSET
    deleted: bool = False


def change_of(event: AuditEvent) -> ViewChange | None:
    """What an event says about a view; None for any other event, and for one that is not the trail's own."""
    if event.type not in TYPES or event.source.service != TRAIL_SERVICE:
        return None
    ids = [each.id for each in event.resources if each.type == VIEW]
    if event.actor.kind not in PERSONS or len(ids) != 1:
        return None
    fields = {each.path: each.after for each in event.changes}
    given = fields | {"id": ids[0], "owner": event.actor.id, "deleted": event.type == DELETED}
    try:
        change = msgspec.convert(given, ViewChange)
    except msgspec.ValidationError:
        return None
    # A view begins whole, so each field has the value of its newest event from then on.
    begins = change.name is not UNSET and change.filter is not UNSET and change.shared_with is not UNSET
    return change if begins or event.type != SAVED else None


def apply(view: SavedView | None, recorded: RecordedEvent) -> SavedView | None:
    """The view after one more event of the log; None before it was saved."""
    change = change_of(recorded.event)
    if change is None or (view is not None and (change.id, change.owner) != (view.id, view.owner)):
        return view
    if view is None:
        if recorded.event.type != SAVED:
            return None
        view = SavedView(id=change.id, owner=change.owner, name="", filter="")
    given = {
        name: value
        for name in ("name", "filter", "shared_with")
        if (value := getattr(change, name)) is not UNSET
    }
    return replace(view, **given, version=recorded.position, deleted=view.deleted or change.deleted)


def roles_to_share_with(principal: Principal) -> list[Role]:
    """The roles that a person may share views with: the own ones; an administrator has them all."""
    return sorted(SHARED_WITH if Role.ADMIN in principal.roles else SHARED_WITH & principal.roles)


def view_saved(
    name: str,
    filter: str,
    shared_with: Role | None,
    *,
    by: Principal,
    owned: int,
    at: datetime,
    source: Source,
) -> AuditEvent:
    """The event that begins a view. `owned` is the number of views that the person has.

    Raises `RejectedError` that names the field.
    """
    if by.kind not in PERSONS:
        raise AccessDeniedError(Operation.READ_EVENTS)
    if owned >= MAX_VIEWS:
        raise ConflictError(Reason.INVALID_FIELD, f"at most {MAX_VIEWS} views: delete one", field="name")
    changes = (
        Change(path="name", after=checked_name(name)),
        Change(path="filter", after=_checked_filter(filter)),
        Change(path="shared_with", after=_checked_role(shared_with, by)),
    )
    return _event(SAVED, Action.CREATE, uuid4(), changes, by=by, at=at, source=source)


def view_changed(
    view: SavedView,
    version: int,
    *,
    name: str | UnsetType = UNSET,
    filter: str | UnsetType = UNSET,
    shared_with: Role | UnsetType | None = UNSET,
    by: Principal,
    at: datetime,
    source: Source,
) -> AuditEvent | None:
    """The event that changes a view, as it was at `version`; None when it changes nothing.

    Raises `AccessDeniedError` for anybody but the owner, `ConflictError` when the view has changed since `version`, and
    `RejectedError` that names the field.
    """
    _check(view, version, by)
    wanted: dict[str, object] = {}
    if name is not UNSET:
        wanted["name"] = checked_name(name)
    if filter is not UNSET:
        wanted["filter"] = _checked_filter(filter)
    # A role that the owner no longer has may stay, until the owner chooses another.
    if shared_with is not UNSET and shared_with != view.shared_with:
        wanted["shared_with"] = _checked_role(shared_with, by)
    changes = _changes(view, wanted)
    if not changes:
        return None
    return _event(CHANGED, Action.UPDATE, view.id, changes, version, by=by, at=at, source=source)


def view_deleted(view: SavedView, version: int, *, by: Principal, at: datetime, source: Source) -> AuditEvent:
    """The event that deletes a view. Raises as `view_changed`."""
    _check(view, version, by)
    return _event(DELETED, Action.DELETE, view.id, (), version, by=by, at=at, source=source)


def checked_name(text: str) -> str:
    """The name without surplus white space. Raises `RejectedError` for one that can't be read or is too long."""
    name = " ".join(text.split())
    if not any(letter.isprintable() and not letter.isspace() for letter in name):
        raise RejectedError(Reason.MISSING_FIELD, "give the view a name", field="name")
    if len(name) > MAX_NAME:
        raise RejectedError(Reason.INVALID_FIELD, f"at most {MAX_NAME} characters", field="name")
    if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in name):
        raise RejectedError(Reason.INVALID_FIELD, "no control characters", field="name")
    return name


def _checked_filter(text: str) -> str:
    if len(text) > MAX_FILTER:
        raise RejectedError(Reason.INVALID_FIELD, f"at most {MAX_FILTER} characters", field="filter")
    return text


def _checked_role(role: Role | None, by: Principal) -> Role | None:
    if role is not None and role not in roles_to_share_with(by):
        raise RejectedError(Reason.INVALID_FIELD, "share a view with a role of your own", field="shared_with")
    return role


def _check(view: SavedView, version: int, by: Principal) -> None:
    if view.owner != by.id or by.kind not in PERSONS:
        raise AccessDeniedError(Operation.READ_EVENTS)
    if view.deleted or view.version != version:
        raise ConflictError(
            Reason.INVALID_FIELD,
            "the view has changed since this page was made: look at it again",
            field="version",
        )


def _changes(view: SavedView, wanted: dict[str, object]) -> Iterable[Change]:
    held = {name: getattr(view, name) for name in wanted}
    return tuple(
        Change(path=name, before=held[name], after=value)
        for name, value in wanted.items()
        if held[name] != value
    )


def _event(
    type: str,
    action: Action,
    id: UUID,
    changes: Iterable[Change],
    version: int | None = None,
    *,
    by: Principal,
    at: datetime,
    source: Source,
) -> AuditEvent:
    """Name and filter are values of changes: they may hold an id, so whoever sees no values sees neither."""
    return AuditEvent(
        event_id=uuid4(),
        type=type,
        occurred_at=at,
        source=source,
        actor=by.actor,
        action=action,
        session=by.session,
        resources=(Resource(type=VIEW, id=str(id)),),
        changes=tuple(changes),
        attributes={"via": "dashboard"} | ({} if version is None else {_VERSION: version}),
    )
