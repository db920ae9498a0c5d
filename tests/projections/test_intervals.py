"""Tables of intervals: the runs are those of the numbers that came, in whatever order and batches they came."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from projections.models.service import SEQUENCE
from projections.tables import Row
from tests.projections.rebuild.rebuilds import rebuild_now
from tests.trail import Trail, an_event

Numbered = tuple[str, int]
"""The instance, and the number of one event."""
_NUMBERS = st.integers(1, 20) | st.sampled_from([2**53 - 2, 2**53 - 1])
_EVENTS = st.lists(st.tuples(st.sampled_from("ab"), _NUMBERS), max_size=30)


def expected(events: Sequence[Numbered]) -> set[Row]:
    """The rows, from a count of every number."""
    positions: defaultdict[Numbered, list[int]] = defaultdict(list)
    for position, event in enumerate(events):
        positions[event].append(position)
    return {
        *_runs({event: min(found) for event, found in positions.items()}, repeated=False),
        *_runs({event: 0 for event, found in positions.items() if len(found) > 1}, repeated=True),
    }


def _runs(lowest: dict[Numbered, int], *, repeated: bool) -> Iterator[Row]:
    for instance, first in lowest:
        if (instance, first - 1) not in lowest:
            last = first
            while (instance, last + 1) in lowest:
                last += 1
            position = min(lowest[instance, number] for number in range(first, last + 1))
            yield (None if repeated else position, first, last, repeated, "s", instance)


def rows(events: Sequence[Numbered], at: int = 0) -> list[Row]:
    return [
        (position, number, number, False, "s", instance)
        for position, (instance, number) in enumerate(events, at)
    ]


@for_all(_EVENTS, st.integers(0, 30), st.permutations(range(30)))
def test_the_runs_follow_from_the_set_of_events(
    events: list[Numbered], cut: int, order: Sequence[int]
) -> None:
    given = rows(events)
    shuffled = [given[place] for place in order if place < len(given)]
    halves = [*SEQUENCE.combine(shuffled[:cut]), *SEQUENCE.combine(shuffled[cut:])]
    assert set(SEQUENCE.combine(halves)) == set(SEQUENCE.combine(given)) == expected(events)
    groups: dict[Row, list[object]] = {}
    for half in (shuffled[:cut], shuffled[cut:]):
        SEQUENCE.fold(groups, half)
    assert set(map(tuple, groups.values())) == expected(events)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@for_all(_EVENTS, st.integers(1, 9))
def test_the_database_merges_batches_and_ranges_to_the_same_runs(
    trail: Trail, events: list[Numbered], width: int
) -> None:
    before = trail.size
    trail.append(*(
        an_event(source={"service": f"s{before}", "instance": instance, "sequence": number})
        for instance, number in events
    ))  # fmt: skip
    trail.project(batch=width)
    wanted = {
        (None if row[0] is None else row[0] + before, *row[1:4], f"s{before}", row[5])
        for row in expected(events)
    }
    assert stored(trail, f"s{before}") == wanted
    rebuild_now(trail, "service", width=width)
    assert stored(trail, f"s{before}") == wanted


def stored(trail: Trail, service: str) -> set[Row]:
    """The rows of the live build."""
    [(schema,)] = trail.rows("SELECT schema_name FROM audit_trail.projection WHERE name = 'service' AND live")
    names = ", ".join(SEQUENCE.names)
    return set(trail.rows(f"SELECT {names} FROM {schema}.service_sequence WHERE service = '{service}'"))
