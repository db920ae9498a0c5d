"""The rules by which a target is down, up or restarted: observations in, states and events out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.event import AuditEvent
from domain.validation import check, decode_event, encode_event
from watcher.judgement import judge
from watcher.observations import CheckError, ErrorClass, Finding, Observation
from watcher.target_state import State, TargetState
from watcher.targets import DownRule, TcpCheck, WatchedTarget

ID = UUID("00000000-0000-4000-8000-000000000017")
BEGIN = datetime(2026, 3, 1, 8, tzinfo=UTC)


def target(down: DownRule, up_after: int = 1) -> WatchedTarget:
    return WatchedTarget(
        name="patient-service, port",
        service="patient-service",
        owner="records team",
        check=TcpCheck(host="h", port=1),
        interval=60,
        timeout=5,
        down=down,
        up_after=up_after,
    )


def after(results: str, rule: WatchedTarget, *told: str | None) -> tuple[TargetState, list[AuditEvent]]:
    """The state and the events after results, one a minute: 1 is good, 0 is failed. `told`: their boot ids."""
    state, events = TargetState(id=ID), []
    for minute, result in enumerate(results):
        error = None if result == "1" else CheckError(ErrorClass.TIMEOUT, f"no answer at minute {minute}")
        incarnation = told[minute] if minute < len(told) else None
        finding = Finding(error=error, incarnation=incarnation)
        at = BEGIN + timedelta(minutes=minute)
        seen = Observation(name=rule.name, at=at, began=60.0 * minute, seconds=0.1, finding=finding)
        state, new = judge(rule, state, seen)
        events += new
    return state, events


def minutes(events: list[AuditEvent]) -> list[tuple[str, float]]:
    return [(each.type, (each.occurred_at - BEGIN) / timedelta(minutes=1)) for each in events]


FAILED, RECOVERED = "health_check.failed", "health_check.recovered"


@pytest.mark.parametrize(
    ("results", "rule", "expected"),
    [
        ("1", target(DownRule(3, 3)), []),
        ("100100100", target(DownRule(3, 3)), []),
        ("1000", target(DownRule(3, 3)), [(FAILED, 3)]),
        ("000", target(DownRule(3, 3)), [(FAILED, 2)]),
        ("100000000", target(DownRule(3, 3)), [(FAILED, 3)]),
        ("10001", target(DownRule(3, 3)), [(FAILED, 3), (RECOVERED, 4)]),
        ("1000101011", target(DownRule(3, 3), up_after=2), [(FAILED, 3), (RECOVERED, 9)]),
        ("10", target(DownRule(1, 1)), [(FAILED, 1)]),
        ("1010100", target(DownRule(3, 5)), [(FAILED, 5)]),
        ("10111011101110", target(DownRule(2, 3)), []),
        # Failures from before the recovery count no more.
        ("0011011", target(DownRule(2, 5), up_after=2), [(FAILED, 1), (RECOVERED, 3)]),
    ],
)
def test_a_target_is_down_and_up_by_its_rule(
    results: str, rule: WatchedTarget, expected: list[tuple[str, float]]
) -> None:
    assert minutes(after(results, rule)[1]) == expected


def test_an_outage_has_its_first_failure_its_length_and_one_correlation_id() -> None:
    state, [failed, recovered] = after("11000001", target(DownRule(3, 3)))
    about: dict[str, Any] = {"target": "patient-service, port", "check": "tcp", "owner": "records team"}
    assert failed.attributes == about | {
        "error": "timeout",
        "first_failure_at": "2026-03-01T08:02:00+00:00",
        "duration_seconds": 120.0,
        "failures": 3,
        "rule": "3 in a row",
    }
    assert failed.outcome_reason == "no answer at minute 4"
    assert recovered.attributes == about | {
        "first_failure_at": "2026-03-01T08:02:00+00:00",
        "outage_seconds": 300.0,
        "failures": 5,
    }
    assert failed.correlation_id == recovered.correlation_id == str(failed.event_id)
    assert (state.state, state.outage, state.failing_since) == (State.UP, None, None)
    for event in (failed, recovered):
        assert decode_event(encode_event(check(event))) == event


def test_another_start_time_is_a_restart_also_when_the_target_was_down_between() -> None:
    rule = target(DownRule(1, 1))
    _, events = after("111", rule, "a", "a", "b")
    assert minutes(events) == [("service.restarted", 2)]
    assert (events[0].attributes["before"], events[0].attributes["after"]) == ("a", "b")
    _, events = after("1011", rule, "a", None, "b", "b")
    assert minutes(events) == [(FAILED, 1), ("service.restarted", 2), (RECOVERED, 2)]
    assert len({each.event_id for each in events}) == 3


@given(st.text("01", max_size=60), st.integers(1, 4), st.integers(0, 3), st.integers(1, 4))
def test_failures_and_recoveries_alternate_and_have_the_ids_of_their_numbers(
    results: str, failures: int, more: int, up_after: int
) -> None:
    state, events = after(results, target(DownRule(failures, failures + more), up_after))
    assert [each.type for each in events] == [FAILED if n % 2 == 0 else RECOVERED for n in range(len(events))]
    assert state.transitions == len(events) == len({each.event_id for each in events})
    assert (state.state is State.DOWN) == (len(events) % 2 == 1)
    assert len(state.failed_at) == state.recent.count("0")
    # Whoever judges the same again makes the same events.
    assert [
        each.event_id for each in after(results, target(DownRule(failures, failures + more), up_after))[1]
    ] == [each.event_id for each in events]


def test_no_time_is_negative_after_the_clock_was_set_back() -> None:
    rule, state = target(DownRule(2, 2)), TargetState(id=ID)
    told: list[AuditEvent] = []
    for began, (hour, error) in enumerate([(3, True), (1, True), (0, False)]):
        finding = Finding(error=CheckError(ErrorClass.TIMEOUT, "no answer") if error else None)
        at = BEGIN + timedelta(hours=hour)
        state, new = judge(
            rule, state, Observation(name=rule.name, at=at, began=began, seconds=0.1, finding=finding)
        )
        told += new
    assert [each.type for each in told] == [FAILED, RECOVERED]
    assert [told[0].attributes["duration_seconds"], told[1].attributes["outage_seconds"]] == [0, 0]
