"""The local time of an event: conditions on the time of day and the day of the week, in a time zone.

The conditions of one filter are compared together, because all of them depend on its time zone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, time
from enum import StrEnum
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from msgspec import Struct

UTC = "UTC"
DAY_TIME_PATTERN = "^(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?$"
ZONE_PATTERN = "^(?:UTC|[A-Z][A-Za-z]+(?:/[A-Za-z0-9_+-]+)+)$"
_DAY_TIME, _ZONE = re.compile(DAY_TIME_PATTERN), re.compile(ZONE_PATTERN)


class Weekday(StrEnum):
    """A day of the week, in the order of ISO 8601."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


_WEEKDAYS = list(Weekday)


class LocalTime(Struct, frozen=True, kw_only=True):
    """From `start` (inclusive) until `until` (exclusive), on one of `weekdays`, by the clocks in `zone`.

    None is the beginning or end of the day, and no `weekdays` are all of them. A range that ends before it begins
    passes midnight; the day of the week is always that of the event.
    """

    start: time | None
    until: time | None
    weekdays: tuple[str, ...]
    zone: str

    @classmethod
    def of(
        cls, start: str | None, until: str | None, weekdays: Sequence[str], zone: str | None
    ) -> LocalTime | None:
        """The conditions as they are written in a filter; None when there are none."""
        if start is None and until is None and not weekdays:
            return None
        return cls(
            start=None if start is None else time.fromisoformat(start),
            until=None if until is None else time.fromisoformat(until),
            weekdays=tuple(weekdays),
            zone=zone or UTC,
        )

    @property
    def passes_midnight(self) -> bool:
        """Whether the range has an end before its beginning."""
        return self.start is not None and self.until is not None and self.until < self.start

    @property
    def weekday_numbers(self) -> list[int]:
        """The days of the week by ISO 8601: Monday is 1."""
        return [_WEEKDAYS.index(Weekday(each)) + 1 for each in self.weekdays]

    def admits(self, moment: datetime) -> bool:
        """Whether `moment` is within."""
        local = moment.astimezone(ZoneInfo(self.zone))
        if self.weekdays and local.isoweekday() not in self.weekday_numbers:
            return False
        after = self.start is None or local.time() >= self.start
        before = self.until is None or local.time() < self.until
        return (after or before) if self.passes_midnight else (after and before)


def is_day_time(text: str) -> bool:
    """Whether `text` is a time of day as conditions have it: ``22:00`` or ``22:00:30``."""
    return _DAY_TIME.fullmatch(text) is not None


def is_zone_name(text: str) -> bool:
    """Whether `text` has the form of a time zone's name, which need not exist."""
    return _ZONE.fullmatch(text) is not None


@cache
def time_zones() -> frozenset[str]:
    """The names of time zones.

    Without the abbreviations such as CET: PostgreSQL reads these as a fixed offset, and Python as a zone with summer
    time.
    """
    return frozenset(name for name in available_timezones() if "/" in name) | {UTC}
