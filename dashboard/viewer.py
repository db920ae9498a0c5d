"""Who looks at a page, and how times are written for that person."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from msgspec import Struct

from dashboard import links
from dashboard.locales import PLAIN, Locale
from dashboard.texts import as_text
from domain.access.grants import Operation, Part
from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.errors import AccessDeniedError

UTC_NAME = "UTC"
_ZONES = available_timezones()


class NavItem(Struct, frozen=True):
    """An entry of the navigation."""

    path: str
    text: str


class Moment(Struct, frozen=True):
    """A time as a page writes it: for machines, in the viewer's zone, and in UTC."""

    machine: str
    local: str
    utc: str


class SharedBy(Struct, frozen=True):
    """Who made the link by which somebody looks at a page, and until when it works."""

    name: str
    until: Moment


class Viewer(Struct, frozen=True, kw_only=True):
    """The principal, and the choices that come with the request.

    `zone` is an IANA name, and `locale` says how numbers and dates are written. `base` is the prefix of public paths.
    `path` is the page's own, without the prefix. `shared` is set on what a shared link shows.
    """

    principal: Principal
    scope: Scope
    zone: str = UTC_NAME
    locale: Locale = PLAIN
    base: str = ""
    path: str = "/"
    now: datetime
    shared: SharedBy | None = None

    @property
    def by_link(self) -> bool:
        """Whether this is the reader of a shared link."""
        return self.principal.link is not None

    @property
    def may_share(self) -> bool:
        """Whether the principal may make links for others."""
        return self.may(Operation.SHARE)

    @property
    def name(self) -> str:
        """How the page greets."""
        return self.principal.name or self.principal.id

    @property
    def roles(self) -> str:
        """The roles, in words."""
        return ", ".join(role.value.replace("_", " ") for role in sorted(self.principal.roles))

    def may(self, operation: Operation) -> bool:
        """Whether any role allows the operation."""
        return self.scope.may(operation)

    def may_query(self, operation: Operation, parts: frozenset[Any] = frozenset()) -> bool:
        """Whether the principal may query by conditions that reveal `parts`."""
        try:
            self.scope.rows(operation, parts)
        except AccessDeniedError:
            return False
        return True

    def has_page(self, operation: Operation, id: str) -> bool:
        """Whether the principal may open the page of a subject, which covers all of its events."""
        try:
            self.scope.hidden(operation, id)
        except AccessDeniedError:
            return False
        return True

    @property
    def hides_values(self) -> bool:
        """Whether old and new values of changes are hidden in every event."""
        return Part.VALUES in self.scope.hides_in_every_row()

    def value(self, value: Any) -> str:
        """A value of a change as text."""
        return "hidden" if value is None and self.hides_values else as_text(value)

    @property
    def navigation(self) -> list[NavItem]:
        """The pages that this principal can use."""
        own = Role.PATIENT in self.principal.roles and self.principal.patients
        items = [
            NavItem("/", "Overview") if self.may(Operation.COUNT_EVENTS) else None,
            NavItem("/explore", "Events") if self.may(Operation.READ_EVENTS) else None,
            NavItem("/alerts", "Alerts") if self.may(Operation.READ_CASES) else None,
            NavItem("/cases", "Cases") if self.may(Operation.READ_CASES) else None,
            NavItem("/rules", "Rules") if self.may(Operation.READ_CASES) else None,
            NavItem("/reviews", "Reviews") if self.may(Operation.READ_CASES) else None,
            NavItem("/my-items", "My items") if Role.REVIEWER in self.principal.roles else None,
            NavItem(links.subject("patient", self.principal.patients[0]), "My record") if own else None,
            NavItem("/me", "My activity") if Role.CLINICIAN in self.principal.roles else None,
            NavItem("/questions", "My questions") if Role.CLINICIAN in self.principal.roles else None,
            NavItem("/find", "Find") if self.may(Operation.READ_EVENTS) and not own else None,
            NavItem("/links", "Links") if self.may_share else None,
            NavItem("/exports", "Exports") if self.may(Operation.EXPORT) else None,
            NavItem("/operations", "Operations") if self.may(Operation.READ_STATUS) else None,
        ]
        return [item for item in items if item is not None]

    def moment(self, at: datetime) -> Moment:
        """A time in the zone of the viewer, to the second."""
        local = at.astimezone(ZoneInfo(self.zone))
        utc = at.astimezone(UTC)
        text = f"{self.locale.day(local)} {local:%H:%M:%S}"
        return Moment(utc.isoformat(), text, utc.strftime("%Y-%m-%d %H:%M:%S UTC"))

    def minute(self, at: datetime) -> str:
        """A time in the zone of the viewer, to the minute."""
        local = at.astimezone(ZoneInfo(self.zone))
        return f"{self.locale.day(local)} {local:%H:%M}"

    def day(self, at: datetime) -> str:
        """The day of a time in the zone of the viewer."""
        return self.locale.day(at.astimezone(ZoneInfo(self.zone)))

    def day_of(self, at: datetime) -> date:
        """The day of a moment in the zone of the viewer."""
        return at.astimezone(ZoneInfo(self.zone)).date()

    def today(self) -> date:
        """The day in the zone of the viewer."""
        return self.day_of(self.now)

    def begin_of(self, day: date) -> datetime:
        """The first moment of a day in the zone of the viewer, also where the clock skips midnight."""
        # Of two midnights, and of a skipped one, `fold=0` gives the first moment of the day (PEP 495).
        return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.zone)).astimezone(UTC)

    def end_of(self, day: date) -> datetime:
        """The first moment after a day: a range "to" a day includes the whole of it."""
        return self.begin_of(day + timedelta(days=1))


def zone_of(*wanted: str | None) -> str:
    """The first of the names that is a zone; UTC if none is."""
    return next((name for name in wanted if name in _ZONES), UTC_NAME)
