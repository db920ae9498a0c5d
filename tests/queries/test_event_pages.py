"""Pages of events: what a filter finds, and paging that holds still while events arrive."""

from __future__ import annotations

from typing import Any

import pytest

from domain.errors import RejectedError
from projections.models.activity import ActivityProjector
from queries.filters.event_filter import EventFilter, PageRequest
from tests.queries.varied_events import FILTERS, P1, nested, positions
from tests.trail import START, Trail, an_event


@pytest.mark.parametrize("backwards", [False, True], ids=["first", "last"])
def test_filters_find_what_matches_alone_and_together(varied: Trail, backwards: bool) -> None:
    page = PageRequest(last=50) if backwards else PageRequest(first=50)
    found = [(asked, positions(varied.events(EventFilter(**asked), page))) for asked, _ in FILTERS]
    assert found == FILTERS


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"patient": "p1"},
        {"actor": "dr-smith"},
        {"types": ("record.read", "access.denied")},
        {"patient_in": ("p1", "p2")},
        {"or_": (EventFilter(patient="p1"), EventFilter(actor="dr-smith"))},
        {"not_": EventFilter(patient="p2")},
    ],
)
def test_pages_forth_and_back_cover_everything_once_and_know_their_ends(
    varied: Trail, asked: dict[str, Any]
) -> None:
    every = positions(varied.events(EventFilter(**asked), PageRequest(first=50)))
    seen: list[int] = []
    page = varied.events(EventFilter(**asked), PageRequest(first=2))
    assert not page.has_previous
    while True:
        seen.extend(positions(page))
        assert page.has_next == (len(seen) < len(every))
        if not page.has_next:
            break
        page = varied.events(EventFilter(**asked), PageRequest(first=2, after=seen[-1]))
        assert page.has_previous
    assert seen == every

    back: list[int] = []
    page = varied.events(EventFilter(**asked), PageRequest(last=2))
    assert not page.has_next
    while True:
        back[:0] = positions(page)
        assert page.has_previous == (len(back) < len(every))
        if not page.has_previous:
            break
        page = varied.events(EventFilter(**asked), PageRequest(last=2, before=back[0]))
        assert page.has_next
    assert back == every


LATE = [40, 5, 200, 0, 200, 3000, 100, 5, 61, 7]


@pytest.mark.parametrize("oldest_first", [False, True], ids=["newest-first", "oldest-first"])
@pytest.mark.parametrize("by_time", [False, True], ids=["by-position", "by-time"])
@pytest.mark.parametrize(
    ("asked", "remainders"),
    [
        ({}, {0, 1, 2}),
        ({"patient_in": ("p0", "p1")}, {0, 1}),
        ({"not_": EventFilter(patient="p1")}, {0, 2}),
        ({"patient": "p9"}, set()),
    ],
)
def test_pages_follow_either_order_from_either_end(
    trail: Trail, asked: dict[str, Any], remainders: set[int], by_time: bool, oldest_first: bool
) -> None:
    trail.given(*(an_event(minute=m, patients=[{"id": f"p{at % 3}"}]) for at, m in enumerate(LATE)))
    expected = sorted(
        (at for at in range(len(LATE)) if at % 3 in remainders),
        key=lambda at: (LATE[at], at) if by_time else at,
        reverse=not oldest_first,
    )
    order: dict[str, Any] = {"by_time": by_time, "oldest_first": oldest_first}
    for size in (1, 3):
        forth: list[int] = []
        back: list[int] = []
        page = trail.events(EventFilter(**asked), PageRequest(first=size, **order))
        while page.events:
            forth += positions(page)
            assert page.has_next == (len(forth) < len(expected))
            assert page.has_previous == (len(forth) > len(page.events))
            page = trail.events(EventFilter(**asked), PageRequest(first=size, after=forth[-1], **order))
        assert not forth or page.has_previous
        page = trail.events(EventFilter(**asked), PageRequest(last=size, **order))
        while page.events:
            back[:0] = positions(page)
            assert page.has_previous == (len(back) < len(expected))
            page = trail.events(EventFilter(**asked), PageRequest(last=size, before=back[0], **order))
        assert (forth, back) == (expected, expected)


def test_by_time_a_late_event_takes_its_place_and_moves_no_page(varied: Trail) -> None:
    by_time: dict[str, Any] = {"by_time": True}
    first = varied.events(EventFilter(), PageRequest(first=3, **by_time))
    varied.given(an_event(minute=150), an_event(minute=10_000))
    second = varied.events(EventFilter(), PageRequest(first=4, after=positions(first)[-1], **by_time))
    assert positions(first) + positions(second) == [8, 7, 6, 5, 4, 9, 3]
    assert positions(varied.events(EventFilter(), PageRequest(first=1, **by_time))) == [10]


def test_by_time_a_cursor_must_be_that_of_an_event(varied: Trail) -> None:
    with pytest.raises(RejectedError) as refused:
        varied.events(EventFilter(), PageRequest(first=3, after=77, by_time=True))
    assert refused.value.field == "after"


def test_both_bounds_cut_the_list(varied: Trail) -> None:
    page = varied.events(EventFilter(), PageRequest(first=50, after=7, before=2))
    assert positions(page) == [6, 5, 4, 3]
    assert page.has_previous
    assert not varied.events(EventFilter(), PageRequest(first=5, after=0)).events


def test_pages_hold_still_while_events_arrive(varied: Trail) -> None:
    first = varied.events(EventFilter(patient="p1"), PageRequest(first=2))
    varied.given(*(an_event(patients=[P1]) for _ in range(5)))
    second = varied.events(EventFilter(patient="p1"), PageRequest(first=2, after=positions(first)[-1]))
    assert positions(first) + positions(second) == [6, 5, 1, 0]
    newer = varied.events(EventFilter(patient="p1"), PageRequest(last=3, before=positions(first)[0]))
    assert positions(newer) == [11, 10, 9]
    assert newer.has_previous


def test_nothing_is_shown_beyond_what_all_touched_projections_have_applied(varied: Trail) -> None:
    varied.append(an_event(patients=[P1]))
    varied.project(ActivityProjector())
    everything = varied.events(EventFilter(), PageRequest(first=1))
    assert (positions(everything), everything.as_of_position) == ([9], 9)
    by_patient = varied.events(EventFilter(patient="p1"), PageRequest(first=1))
    assert (positions(by_patient), by_patient.as_of_position) == ([6], 8)
    assert varied.read.as_of_position() == 8


def test_a_trail_without_read_models_answers_that_it_has_nothing_yet(trail: Trail) -> None:
    event = an_event()
    trail.append(event)
    page = trail.events(EventFilter(), PageRequest(first=10))
    assert (page.events, page.as_of_position, page.has_next) == ([], -1, False)
    assert trail.read.as_of_position() == -1
    found = trail.read.event(event.event_id)
    assert found is not None
    assert found.event == event


def test_filters_within_filters_go_as_deep_as_the_limit(varied: Trail) -> None:
    assert positions(varied.events(EventFilter(not_=nested(3)), PageRequest(first=9))) == []
    assert len(positions(varied.events(EventFilter(not_=nested(4)), PageRequest(first=9)))) == 9


@pytest.mark.parametrize(
    ("asked", "page", "field"),
    [
        ({}, {}, "first"),
        ({}, {"first": 1, "last": 1}, "first"),
        ({}, {"first": 0}, "first"),
        ({}, {"last": 1001}, "last"),
        ({}, {"first": 1, "after": -1}, "after"),
        ({}, {"first": 1, "before": 2**63}, "before"),
        ({"patient": ""}, {"first": 1}, "patient"),
        ({"actor": "a\0b"}, {"first": 1}, "actor"),
        ({"session": "\ud800"}, {"first": 1}, "session"),
        ({"device": "x" * 257}, {"first": 1}, "device"),
        ({"types": ("record.red",)}, {"first": 1}, "types"),
        ({"outcomes": ("fine",)}, {"first": 1}, "outcomes"),
        ({"resource_id": "1"}, {"first": 1}, "resource_type"),
        (
            {"occurred_from": START, "occurred_until": START.replace(year=2000)},
            {"first": 1},
            "occurred_until",
        ),
        ({"not_": EventFilter(position_from=7, position_until=6)}, {"first": 1}, "position_until"),
        ({"occurred_from": START.replace(tzinfo=None)}, {"first": 1}, "occurred_from"),
        ({"actor_in": ("x" * 257,)}, {"first": 1}, "actor_in"),
        ({"actor_in": ("x",) * 101}, {"first": 1}, "actor_in"),
        ({"address_prefix": ""}, {"first": 1}, "address_prefix"),
        ({"position_from": -1}, {"first": 1}, "position_from"),
        ({"not_": EventFilter()}, {"first": 1}, "filter"),
        ({"or_": (EventFilter(actor="x"), EventFilter(types=("record.red",)))}, {"first": 1}, "types"),
        ({"or_": (EventFilter(actor="x"),) * 51}, {"first": 1}, "filter"),
        ({"not_": nested(5)}, {"first": 1}, "filter"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(
    trail: Trail, asked: dict[str, Any], page: dict[str, Any], field: str
) -> None:
    with pytest.raises(RejectedError) as refused:
        trail.events(EventFilter(**asked), PageRequest(**page))
    assert refused.value.field == field


def test_a_bound_outside_the_list_leaves_nothing_behind(varied: Trail) -> None:
    newest = varied.events(EventFilter(patient="p1"), PageRequest(first=2, after=100))
    assert (positions(newest), newest.has_previous, newest.has_next) == ([6, 5], False, True)
    oldest = varied.events(EventFilter(patient="p2"), PageRequest(last=2, before=0))
    assert (positions(oldest), oldest.has_previous, oldest.has_next) == ([4], False, True)
