"""Conditions on the local time of day and the day of the week, compared with tables written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.errors import RejectedError
from domain.event import RecordedEvent
from event_store.event_reader import read_events
from queries.filters.checks import check_filter
from queries.filters.event_filter import EventFilter, PageRequest
from queries.filters.local_time import time_zones
from queries.filters.match import matches
from tests.databases import PROJECTED, Databases
from tests.trail import START, Trail, an_event

HALF_HOURS = 48 * 3
FROM = datetime(2026, 3, 28, tzinfo=UTC)
"""A Saturday. On the Sunday, at 01:00 UTC, summer time begins in Berlin: 02:00 becomes 03:00."""
BERLIN = "Europe/Berlin"
NIGHT: dict[str, Any] = {"day_time_from": "22:00", "day_time_until": "06:00"}


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


def span(start: datetime, until: datetime) -> list[datetime]:
    return [start + timedelta(minutes=30 * n) for n in range((until - start) // timedelta(minutes=30))]


EXPECTED: list[tuple[dict[str, Any], list[datetime]]] = [
    (NIGHT, [*span(at(28, 0), at(28, 6)), *span(at(28, 22), at(29, 6)), *span(at(29, 22), at(30, 6)),
             *span(at(30, 22), at(31, 0))]),
    # In winter 22:00 is 21:00 UTC, and in summer 20:00 UTC: the night of the change has an hour less.
    (NIGHT | {"time_zone": BERLIN}, [*span(at(28, 0), at(28, 5)), *span(at(28, 21), at(29, 4)),
                                     *span(at(29, 20), at(30, 4)), *span(at(30, 20), at(31, 0))]),
    # The hour from 02:00 is missing on the Sunday.
    ({"day_time_from": "02:00", "day_time_until": "03:00", "time_zone": BERLIN},
     [*span(at(28, 1), at(28, 2)), *span(at(30, 0), at(30, 1))]),
    ({"weekdays": ("sunday",), "time_zone": BERLIN}, span(at(28, 23), at(29, 22))),
    ({"weekdays": ("sunday",)}, span(at(29, 0), at(30, 0))),
    ({"weekdays": ("saturday", "monday"), "day_time_until": "01:00"},
     [*span(at(28, 0), at(28, 1)), *span(at(30, 0), at(30, 1))]),
    ({"day_time_from": "23:00:30"}, [at(28, 23, 30), at(29, 23, 30), at(30, 23, 30)]),
    ({"day_time_from": "23:00", "day_time_until": "00:00"},
     [each for day in (28, 29, 30) for each in span(at(day, 23), at(day, 23) + timedelta(hours=1))]),
    # A zone of half an hour, behind and ahead of UTC.
    ({"day_time_until": "00:30", "time_zone": "Asia/Kolkata"}, [at(28, 18, 30), at(29, 18, 30), at(30, 18, 30)]),
    ({"day_time_until": "00:30", "time_zone": "America/St_Johns"}, [at(28, 2, 30), at(29, 2, 30), at(30, 2, 30)]),
]  # fmt: skip


@pytest.fixture(scope="module")
def days(databases: Databases) -> Iterator[tuple[Trail, list[RecordedEvent]]]:
    """An event each half hour of three days, with summer time from the second one on. No test changes it."""
    with databases.copy(PROJECTED) as url, closing(Trail(url)) as trail:
        first = (FROM - START) // timedelta(minutes=1)
        trail.given(*(an_event(minute=first + 30 * number) for number in range(HALF_HOURS)))
        with trail.reader.transaction(read_only=True) as connection:
            yield trail, read_events(connection, -1, HALF_HOURS).events


@pytest.mark.parametrize(("conditions", "expected"), EXPECTED, ids=repr)
def test_local_times_are_those_of_the_clocks_there_in_sql_and_in_memory(
    days: tuple[Trail, list[RecordedEvent]], conditions: dict[str, Any], expected: list[datetime]
) -> None:
    trail, events = days
    for filter, wanted in (
        (EventFilter(**conditions), expected),
        (
            EventFilter(not_=EventFilter(**conditions)),
            sorted(set(span(at(28, 0), at(31, 0))) - set(expected)),
        ),
    ):
        assert [each.event.occurred_at for each in events if matches(filter, each)] == wanted
        page = trail.events(filter, PageRequest(last=HALF_HOURS))
        assert [each.event.occurred_at for each in page.events[::-1]] == wanted


def test_the_clocks_of_many_zones_agree_in_sql_and_in_memory(
    days: tuple[Trail, list[RecordedEvent]],
) -> None:
    trail, events = days
    for zone in sorted(time_zones())[::40]:
        filter = EventFilter(
            day_time_from="07:15", day_time_until="18:45", weekdays=("sunday",), time_zone=zone
        )
        found = trail.events(filter, PageRequest(last=HALF_HOURS)).events[::-1]
        assert found == [each for each in events if matches(filter, each)], zone


@pytest.mark.parametrize(
    ("conditions", "field", "fix"),
    [
        ({"day_time_from": "24:00"}, "day_time_from", "22:00"),
        ({"day_time_until": "6:00"}, "day_time_until", "22:00"),
        ({"day_time_from": "22:00+01:00"}, "day_time_from", "22:00"),
        ({"day_time_from": "\u0662\u0662:00"}, "day_time_from", "22:00"),
        ({"day_time_from": "22:00", "day_time_until": "22:00:00"}, "day_time_until", "leave both"),
        ({"weekdays": ("funday",)}, "weekdays", "sunday"),
        ({"weekdays": ("monday",), "time_zone": "Europe/Berlim"}, "time_zone", "Europe/Berlin"),
        ({"weekdays": ("monday",), "time_zone": "CET"}, "time_zone", "Europe/Berlin"),
        ({"weekdays": ("monday",), "time_zone": "../../etc/passwd"}, "time_zone", "Europe/Berlin"),
        ({"time_zone": BERLIN}, "time_zone", "days of the week"),
    ],
)
def test_a_refusal_names_the_condition_and_the_fix(conditions: dict[str, Any], field: str, fix: str) -> None:
    with pytest.raises(RejectedError, match=fix) as refused:
        check_filter(EventFilter(**conditions))
    assert refused.value.field == field
