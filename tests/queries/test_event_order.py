"""The order of time is that of a plain sort, however the sources' clocks are set."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import psycopg2
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from projections.registry import open_snapshot
from queries.filters.event_filter import EventFilter
from queries.search.event_order import ByTime
from queries.search.prepared import plan
from tests.databases import PROJECTED, Databases
from tests.trail import START, Trail, an_event

EVENTS = 600
FILTERS: list[tuple[EventFilter, int]] = [
    (EventFilter(), 1),
    (EventFilter(patient="p0"), 2),
    (EventFilter(patient_in=("p0", "p3")), 2),
    (EventFilter(service="service-0"), 7),
    (EventFilter(service="service-0", patient="p0"), 14),
    (EventFilter(correlation_id="c0"), 150),
    (EventFilter(patient="nobody"), EVENTS + 1),
]
"""Each matches the positions that its number divides; none at all when that is greater than all of them."""
CLOCKS = ("orderly", "late", "imported", "ahead", "shuffled")


def moments(clocks: str) -> list[float]:
    """Minutes after the start of each event, in the order of the log."""
    chance = random.Random(clocks)
    orderly = [10.0 * number for number in range(EVENTS)]
    match clocks:
        case "late":
            return [each - chance.choice((0, 0, 0, 0, 700, 4000)) for each in orderly]
        case "imported":
            # The last third is much older than the rest, and most of it of one moment.
            return [
                each if number < 2 * EVENTS // 3 else -90_000.0 - number % 3
                for number, each in enumerate(orderly)
            ]
        case "ahead":
            return [each + (500_000 if number % 97 == 5 else 0) for number, each in enumerate(orderly)]
        case "shuffled":
            chance.shuffle(orderly)
    return orderly


@pytest.fixture(scope="module", params=CLOCKS)
def clocked(databases: Databases, request: pytest.FixtureRequest) -> Iterator[tuple[Trail, list[float]]]:
    """A trail, and the time of each of its events. No test changes it."""
    times = moments(request.param)
    with databases.copy(PROJECTED) as url, closing(Trail(url)) as trail:
        trail.given(
            *(
                an_event(
                    minute=minute,
                    patients=[{"id": f"p{number % 2 * 2}"}],
                    source={"service": f"service-{number % 7}"},
                    correlation_id=f"c{number % 150}",
                )
                for number, minute in enumerate(times)
            )
        )
        with closing(psycopg2.connect(trail.url)) as connection:
            connection.autocommit = True
            connection.cursor().execute("ANALYZE")
        yield trail, times


@for_all(
    asked=st.sampled_from(FILTERS),
    bounds=st.tuples(*[st.none() | st.integers(0, EVENTS - 1)] * 2),
    hours=st.none() | st.integers(-1500, 1500),
    limit=st.integers(1, 40),
    newest_first=st.booleans(),
    wide=st.sampled_from((0, 20, 50_000)),
)
def test_a_page_by_time_is_that_of_a_plain_sort(
    clocked: tuple[Trail, list[float]],
    asked: tuple[EventFilter, int],
    bounds: tuple[int | None, int | None],
    hours: int | None,
    limit: int,
    newest_first: bool,
    wide: int,
) -> None:
    trail, times = clocked
    filter, every = asked
    if hours is not None:
        filter = EventFilter(and_=(filter, EventFilter(occurred_from=START + timedelta(hours=hours))))
    after, before = bounds
    places = sorted(
        (times[at], at)
        for at in range(0, EVENTS if every <= EVENTS else 0, every)
        if (hours is None or times[at] >= 60 * hours)
        and (after is None or (times[at], at) < (times[after], after))
        and (before is None or (times[at], at) > (times[before], before))
    )
    expected = [at for _, at in (places[::-1] if newest_first else places)][:limit]
    with trail.reader.transaction(read_only=True) as connection:
        open_snapshot(connection)
        order = ByTime(connection, plan(filter), EVENTS - 1, wide=wide)
        assert order.positions(after, before, limit, newest_first=newest_first) == expected
