"""The configuration of a device as of a time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.errors import RejectedError
from domain.event import AuditEvent, Outcome
from event_store.statements import load
from projections.registry import open_snapshot
from queries.cursors import CursorError
from queries.summaries.configuration import ChangePlace
from queries.summaries.results import ConfigurationValue
from tests.databases import PROJECTED, Databases
from tests.trail import START, Trail, an_event

DEVICES = ("pump-1", "pump-2", "pump-3")
PATHS = ("alarm", "alarm.high", "Zoom", "rate.max", "\u00e9t\u00e9", "\U0001f600")
MINUTES = 20
LATER = START + timedelta(days=1)


def changed(
    minute: float, *changes: tuple[str, Any, Any], device: str = "pump-1", **fields: Any
) -> AuditEvent:
    return an_event(
        "configuration.changed",
        minute,
        device={"id": device},
        changes=[{"path": path, "before": before, "after": after} for path, before, after in changes],
        **fields,
    )


def values_at(
    trail: Trail, minute: float, limit: int = 100, device: str = "pump-1"
) -> list[ConfigurationValue]:
    """All pages, each of `limit` values."""
    found: list[ConfigurationValue] = []
    place: ChangePlace | None = None
    while True:
        page = trail.read.device_configuration(device, START + timedelta(minutes=minute), limit, place)
        assert page is not None
        assert len(page.values) == limit if page.end else len(page.values) <= limit
        found += page.values
        place = page.end
        if place is None:
            return found


def shown(trail: Trail, minute: float) -> dict[str, Any]:
    return {each.path: each.value for each in values_at(trail, minute)}


def test_the_newest_change_by_the_sources_clock_decides_and_of_two_at_one_time_the_later_in_the_log(
    trail: Trail,
) -> None:
    trail.given(
        changed(10, ("rate", 1, 2), ("rate", 2, 3)),
        changed(5, ("rate", 0, 1)),
        changed(10, ("rate", 3, {"max": 4.5})),
    )
    assert [shown(trail, minute) for minute in (5, 9.9, 10, 99)] == [
        {"rate": 1},
        {"rate": 1},
        {"rate": {"max": 4.5}},
        {"rate": {"max": 4.5}},
    ]


def test_a_time_before_the_first_change_has_the_value_that_it_replaced_and_says_so(trail: Trail) -> None:
    change = changed(10, ("rate", "old", "new"))
    [position] = trail.given(change)
    [before], [after] = values_at(trail, 9), values_at(trail, 10)
    assert before == ConfigurationValue("rate", "old", None, None, True, position, change.event_id)
    assert after == ConfigurationValue(
        "rate", "new", START + timedelta(minutes=10), "dr-smith", False, position, change.event_id
    )


def test_a_removed_setting_has_no_value_and_is_shown(trail: Trail) -> None:
    trail.given(changed(1, ("rate", None, 5)), changed(2, ("rate", 5, None)))
    assert [shown(trail, minute) for minute in (1, 2)] == [{"rate": 5}, {"rate": None}]


def test_what_failed_or_is_no_change_of_the_device_sets_nothing(trail: Trail) -> None:
    trail.given(
        changed(1, ("rate", 1, 2)),
        changed(2, ("rate", 2, 3), outcome="minor_failure"),
        changed(2, ("rate", 2, 4), outcome="major_failure"),
        changed(3, ("rate", 2, 5), device="pump-2"),
        changed(4, ("rate", 2, 6), device="other", actor={"id": "pump-1", "kind": "device"}),
        an_event(
            "record.updated",
            5,
            device={"id": "pump-1"},
            resources=[{"type": "Device", "id": "pump-1"}],
            changes=[{"path": "rate", "before": 2, "after": 7}],
        ),
    )
    assert shown(trail, 9) == {"rate": 2}
    device = trail.read.device("pump-1")
    assert device is not None
    assert [(each.after, each.outcome) for each in device.configuration] == [
        (4, "major_failure"),
        (3, "minor_failure"),
        (2, "success"),
    ]


def test_now_is_the_default_and_a_clock_that_is_ahead_changes_nothing_yet(trail: Trail) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    trail.given(
        changed(0, ("rate", 1, 2)),
        an_event(
            "configuration.changed",
            occurred_at=ahead.isoformat(),
            device={"id": "pump-1"},
            changes=[{"path": "rate", "before": 2, "after": 3}],
        ),
    )
    page = trail.read.device_configuration("pump-1", None, 5)
    assert page is not None
    assert [each.value for each in page.values] == [2]
    assert timedelta(0) <= datetime.now(UTC) - page.as_of < timedelta(minutes=5)


def test_a_device_without_changes_has_an_empty_page_and_one_that_no_event_names_none(trail: Trail) -> None:
    assert trail.read.device_configuration("pump-1", LATER, 5) is None
    trail.given(an_event("device.connected", device={"id": "pump-1"}))
    page = trail.read.device_configuration("pump-1", LATER, 5)
    assert page is not None
    assert (page.values, page.end, page.as_of_position) == ([], None, 0)
    assert trail.read.device_configuration("pump-2", LATER, 5) is None


def test_a_wrong_time_and_a_cursor_of_another_device_are_refused(trail: Trail) -> None:
    trail.given(changed(0, ("rate", 1, 2)), changed(0, ("rate", 1, 2), device="pump-2"))
    with pytest.raises(RejectedError) as caught:
        trail.read.device_configuration("pump-1", datetime(2026, 3, 2), 5)  # noqa: DTZ001
    assert caught.value.field == "as_of"
    for place in (ChangePlace(1, 0), ChangePlace(0, 1), ChangePlace(2**63 - 2, 0)):
        with pytest.raises(CursorError):
            trail.read.device_configuration("pump-1", LATER, 5, place)


def test_the_longest_ids_and_paths_and_the_ends_of_time_go_through(trail: Trail) -> None:
    choose = random.Random(1)
    device, path = ("".join(chr(choose.randrange(0x10000, 0x20000)) for _ in range(256)) for _ in range(2))
    trail.given(changed(0, (path, 1, 2), device=device))
    for moment, value in (
        (datetime.min.replace(tzinfo=UTC), 1),
        (datetime.max.replace(tzinfo=UTC), 2),
    ):
        page = trail.read.device_configuration(device, moment, 1)
        assert page is not None
        assert [(each.path, each.value) for each in page.values] == [(path, value)]


def random_events() -> list[AuditEvent]:
    """Changes whose times repeat, in any order, some of them failed."""
    choose = random.Random(7)
    return [
        changed(
            choose.randrange(MINUTES),
            *(
                (choose.choice(PATHS), choose.choice((None, number)), choose.choice((None, number, [number])))
                for _ in range(choose.randrange(4))
            ),
            device=choose.choice(DEVICES),
            actor={"id": f"user-{number % 5}"} if number % 7 else {},
            outcome=choose.choice(("success", "success", "success", "minor_failure", "serious_failure")),
        )
        for number in range(120)
    ]


@pytest.fixture(scope="module")
def told(databases: Databases) -> Iterator[tuple[Trail, list[AuditEvent]]]:
    """A trail of random changes, and its events by position."""
    events = random_events()
    with databases.copy(PROJECTED) as url, closing(Trail(url)) as trail:
        for begin in range(0, len(events), 50):
            trail.given(*events[begin : begin + 50])
        yield trail, events


def folded(events: list[AuditEvent], device: str, moment: datetime) -> list[ConfigurationValue]:
    """The configuration as one who reads the whole log works it out."""
    changes = sorted(
        (
            (event.occurred_at, position, number, event, change)
            for position, event in enumerate(events)
            if event.device is not None and event.device.id == device and event.outcome is Outcome.SUCCESS
            for number, change in enumerate(event.changes)
        ),
        key=lambda each: each[:3],
    )
    found: dict[str, ConfigurationValue] = {}
    for at, position, _, event, change in reversed(changes):
        if at > moment:
            found[change.path] = ConfigurationValue(
                change.path, change.before, None, None, True, position, event.event_id
            )
    for at, position, _, event, change in changes:
        if at <= moment:
            found[change.path] = ConfigurationValue(
                change.path, change.after, at, event.actor.id, False, position, event.event_id
            )
    return [found[path] for path in sorted(found)]


@for_all(
    device=st.sampled_from(DEVICES),
    minute=st.integers(-1, MINUTES) | st.floats(-1, MINUTES),
    limit=st.integers(1, len(PATHS) + 1),
)
def test_pages_of_any_size_are_what_a_fold_of_the_log_gives(
    told: tuple[Trail, list[AuditEvent]], device: str, minute: float, limit: int
) -> None:
    trail, events = told
    expected = folded(events, device, START + timedelta(minutes=minute))
    assert values_at(trail, minute, limit, device) == expected


def test_a_page_reads_as_many_rows_as_it_shows_whatever_number_of_changes_there_is(trail: Trail) -> None:
    limit = 5
    read: list[int] = []
    for times in (2, 40):
        trail.given(
            *(
                changed(number, *((f"path-{at}", number, number + 1) for at in range(50)))
                for number in range(times)
            )
        )
        with closing(psycopg2.connect(trail.url)) as connection:
            connection.autocommit = True
            connection.cursor().execute("VACUUM ANALYZE")
        read.append(_rows_read(trail, limit))
    assert read == [4 * limit, 4 * limit]


def _rows_read(trail: Trail, limit: int) -> int:
    statement = load("queries.summaries", "configuration.sql")["list_values"]
    with trail.reader.transaction(read_only=True) as connection, connection.cursor() as cursor:
        open_snapshot(connection)
        cursor.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}",
            {"id": "pump-1", "path": "", "moment": START + timedelta(minutes=0.5), "limit": limit},
        )
        [([explanation],)] = cursor.fetchall()
    return sum(
        node["Actual Rows"] * node["Actual Loops"] + node.get("Rows Removed by Filter", 0)
        for node in _nodes(explanation["Plan"])
        if node.get("Relation Name") in {"device_configuration", "event"}
        or node.get("Relation Name", "").startswith("event_")
    )


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from _nodes(each)
