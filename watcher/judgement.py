"""What a check means for the state of its target: pure, one step for each observation."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid5

from domain.event import AuditEvent
from watcher.events import failed_event, recovered_event, restarted_event
from watcher.observations import Observation
from watcher.target_state import State, TargetState
from watcher.targets import WatchedTarget


class Judgement(NamedTuple):
    """The next state, and the events of its transitions, oldest first."""

    state: TargetState
    events: list[AuditEvent]


def judge(target: WatchedTarget, state: TargetState, seen: Observation) -> Judgement:
    """The state after an observation.

    A target is down after the failures that its rule names, and up again after `up_after` good checks in a row. Its
    first good check makes an unknown target up, which is no event.
    """
    state = _counted(target, state, seen)
    events: list[AuditEvent] = []
    incarnation = seen.finding.incarnation
    if incarnation is not None:
        if state.incarnation not in {None, incarnation}:
            state = _next(state)
            events.append(restarted_event(target, state, seen, event_id(state)))
        state = state.replace(incarnation=incarnation)
    if state.state is not State.DOWN and _is_down(target, state, seen):
        state = _down(target, _next(state), seen.at)
        events.append(failed_event(target, state, seen, event_id(state)))
    elif state.state is State.DOWN and _is_up(target, state):
        before, state = state, _next(state)
        events.append(recovered_event(target, before, seen, event_id(state)))
        state = _up(state, seen.at)
    elif state.state is State.UNKNOWN and seen.finding.error is None:
        state = _up(state, seen.at)
    return Judgement(state, events)


def event_id(state: TargetState) -> UUID:
    """The id of the event about the newest transition: the same whoever makes it, and however often."""
    return uuid5(state.id, str(state.transitions))


def _counted(target: WatchedTarget, state: TargetState, seen: Observation) -> TargetState:
    """The state with this result among the newest ones."""
    failed = seen.finding.error is not None
    recent = (state.recent + ("0" if failed else "1"))[-max(target.down.of, target.up_after) :]
    times = (*state.failed_at, seen.at) if failed else state.failed_at
    return state.replace(
        recent=recent,
        failed_at=times[len(times) - recent.count("0") :],
        checked_at=seen.at + timedelta(seconds=seen.seconds),
        error=seen.finding.error,
        failures=state.failures + (failed and state.state is State.DOWN),
    )


def _failures(target: WatchedTarget, state: TargetState) -> int:
    return state.recent[-target.down.of :].count("0")


def _is_down(target: WatchedTarget, state: TargetState, seen: Observation) -> bool:
    return seen.finding.error is not None and _failures(target, state) >= target.down.failures


def _is_up(target: WatchedTarget, state: TargetState) -> bool:
    return state.recent.endswith("1" * target.up_after)


def _next(state: TargetState) -> TargetState:
    return state.replace(transitions=state.transitions + 1)


def _down(target: WatchedTarget, state: TargetState, at: datetime) -> TargetState:
    failures = _failures(target, state)
    return state.replace(
        state=State.DOWN,
        since=at,
        failing_since=state.failed_at[-failures],
        failures=failures,
        outage=event_id(state),
    )


def _up(state: TargetState, at: datetime) -> TargetState:
    """Up from now on. Older failures count no more: they would take it down again at the next one."""
    good = len(state.recent) - len(state.recent.rstrip("1"))
    return state.replace(
        state=State.UP,
        since=at,
        recent="1" * good,
        failed_at=(),
        failing_since=None,
        failures=0,
        outage=None,
    )
