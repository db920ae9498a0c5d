"""A shared link: one event, or the list of one filter, for somebody without an account and for a limited time.

The link's token holds a `SharedLink`. The trail has an event for each link that was made, `link.shared`, and for each
that was revoked, `link.revoked`. A link without the first event, or with the second, shows nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from secrets import token_hex
from typing import Any
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct, to_builtins

from domain.access.access_question import EVENT
from domain.access.grants import Operation, roles_with
from domain.access.principal import LinkUse, Principal, Role
from domain.catalogue import TRAIL_SERVICE
from domain.event import Action, ActorKind, AuditEvent, Patient, RecordedEvent, Resource, Source

SHARED = "link.shared"
REVOKED = "link.revoked"
LINK = "SharedLink"
"""The resource type of a link in the events about it."""
DAYS, MAX_DAYS = 7, 30
"""How long a link lasts if its maker does not choose, and at most."""
MAX_TEXT = 1000
"""Characters of the reason."""


class Shared(StrEnum):
    """What the trail says of a link."""

    UNKNOWN = "unknown"
    VALID = "valid"
    REVOKED = "revoked"


class EventPlace(Struct, frozen=True):
    """One event, by its id and its position."""

    id: UUID
    position: int


class ListRange(Struct, frozen=True):
    """A list: conditions as in the explorer's address, and the range of times. `end` is exclusive."""

    conditions: tuple[tuple[str, str], ...]
    begin: datetime
    end: datetime


class Shows(Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"from_": "from"}):
    """What a link shows, as its event says it: an event, or the conditions of a list and its range of times."""

    event: UUID | None = None
    position: int | None = None
    filter: dict[str, list[str]] = {}
    from_: datetime | None = None
    until: datetime | None = None

    @property
    def conditions(self) -> tuple[tuple[str, str], ...]:
        """The conditions of a list, each with one value."""
        return tuple((name, value) for name, values in self.filter.items() for value in values)


class SharedLink(Struct, frozen=True, kw_only=True):
    """What a token holds. `roles` are those of the maker at that time, as far as they may share.

    `maker` and `issuer` identify the maker. `zone` is that of the maker's page. Either `event` or `list` is set.
    """

    id: str
    maker: str
    maker_name: str | None
    issuer: str | None
    roles: frozenset[Role]
    made: datetime
    until: datetime
    event: EventPlace | None = None
    list: ListRange | None = None
    zone: str = "UTC"

    @property
    def what(self) -> EventPlace | ListRange:
        """What the link shows."""
        found = self.event or self.list
        assert found is not None
        return found

    def ends(self, most_days: int) -> datetime:
        """When it ends, by a setting that may be shorter now than when the link was made."""
        return min(self.until, self.made + timedelta(days=most_days))

    @property
    def reader(self) -> Principal:
        """The principal of whoever has the link: nobody knows who that is."""
        return Principal(
            id=reader_id(self.id),
            name=f"link {self.id} of {self.maker_name or self.maker}",
            kind=ActorKind.UNKNOWN,
            roles=self.roles,
            session=self.id,
            expires_at=self.until,
            link=LinkUse(self.id, self.maker),
        )


class MadeLink(Struct, frozen=True):
    """A link as its event describes it."""

    until: datetime
    shows: Shows

    def ends(self, made: datetime, most_days: int) -> datetime:
        """When it ends: see `SharedLink.ends`."""
        return min(self.until, made + timedelta(days=most_days))


def reader_id(id: str) -> str:
    """The actor of every use of a link."""
    return f"link:{id}"


def share(
    by: Principal,
    what: EventPlace | ListRange,
    *,
    days: int,
    at: datetime,
    zone: str,
) -> SharedLink:
    """A new link. It has only those roles that may share: claims such as one's own patients are not passed on."""
    return SharedLink(
        id=token_hex(8),
        maker=by.id,
        maker_name=by.name,
        issuer=by.issuer,
        roles=by.roles.intersection(roles_with(Operation.SHARE)),
        made=at,
        until=at + timedelta(days=days),
        event=what if isinstance(what, EventPlace) else None,
        list=what if isinstance(what, ListRange) else None,
        zone=zone,
    )


def shared_event(
    link: SharedLink,
    reason: str,
    *,
    by: Principal,
    event: RecordedEvent | None = None,
    named: Collection[str] = (),
) -> AuditEvent:
    """The event that a link was made. `event` is what it shows; `named` are patients that the filter of a list names.

    The patients of the event are those of the link too. Those of a filter are resources: nobody was shown their
    records yet, but a search for them finds the link.
    """
    patients = () if event is None else tuple(Patient(id=each.id) for each in event.event.patients)
    about = [] if event is None else [Resource(type=EVENT, id=str(event.event.event_id))]
    return AuditEvent(
        **_event(
            SHARED, link.id, by, link.made, [*about, *(Resource(type="Patient", id=id) for id in named)]
        ),
        patients=patients,
        reason=reason,
        attributes={
            "via": "dashboard",
            "until": link.until.isoformat(),
            "issuer": link.issuer,
            "roles": sorted(link.roles),
            "shows": to_builtins(shows(link.what)),
        },
    )


def made_link(event: AuditEvent) -> MadeLink:
    """What a `link.shared` event says. What can't be read is as if it were over."""
    given = {name: event.attributes.get(name) for name in ("until", "shows")}
    try:
        return msgspec.convert(given, MadeLink)
    except msgspec.ValidationError:
        return MadeLink(until=event.occurred_at, shows=Shows())


def revoked_event(id: str, *, by: Principal, at: datetime) -> AuditEvent:
    """The event that a link was revoked."""
    return AuditEvent(**_event(REVOKED, id, by, at, ()), attributes={"via": "dashboard"})


def state_of(events: Iterable[AuditEvent]) -> Shared:
    """What the events about one link say of it. Only those of the trail itself count."""
    types = {event.type for event in events if event.source.service == TRAIL_SERVICE}
    if REVOKED in types:
        return Shared.REVOKED
    return Shared.VALID if SHARED in types else Shared.UNKNOWN


def link_id(event: AuditEvent) -> str:
    """The id of the link that an event is about."""
    return next((each.id for each in event.resources if each.type == LINK), "")


def is_made_by(event: AuditEvent, principal: Principal) -> bool:
    """Whether a principal has made the link of a `link.shared` event. Two issuers may give the same id."""
    return event.actor.id == principal.id and event.attributes.get("issuer") == principal.issuer


def _event(type: str, id: str, by: Principal, at: datetime, about: Collection[Resource]) -> dict[str, Any]:
    return {
        "event_id": uuid4(),
        "type": type,
        "occurred_at": at,
        "source": Source(service=TRAIL_SERVICE),
        "actor": by.actor,
        "action": Action.EXECUTE,
        "session": by.session,
        "resources": (Resource(type=LINK, id=id), *about),
    }


def shows(what: EventPlace | ListRange) -> Shows:
    """The description of what a link shows."""
    if isinstance(what, EventPlace):
        return Shows(event=what.id, position=what.position)
    conditions: dict[str, list[str]] = {}
    for name, value in what.conditions:
        conditions.setdefault(name, []).append(value)
    return Shows(filter=conditions, from_=what.begin, until=what.end)
