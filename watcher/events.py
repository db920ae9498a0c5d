"""Transitions of targets, and the watcher's blindness, as events of the trail.

Each event is made once and stored before it is published, so that publishing it again gives the same bytes.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from functools import cache
from uuid import UUID

from domain.catalogue import TRAIL_SERVICE
from domain.event import Actor, ActorKind, AuditEvent, Outcome, Resource, Source
from watcher.observations import Observation
from watcher.target_state import TargetState
from watcher.targets import WatchedTarget

_WATCHER = Actor(kind=ActorKind.SERVICE, id=f"{TRAIL_SERVICE}-watcher")
MAX_NAMED = 100
"""Targets that one event names."""


class Blindness(StrEnum):
    """Why the watcher did not look. The values are in events; never rename one."""

    STOPPED = "watcher_stopped"
    KILLED = "watcher_ended_unexpectedly"
    SLEPT = "machine_slept"
    STALLED = "process_stalled"
    CLOCK = "clock_jumped_forward"
    """A paused virtual machine looks like this too: its own clocks stand still."""
    OVERLOADED = "checks_late"
    UNWATCHED = "target_not_in_file"
    DATABASE = "database_away_too_long"


@cache
def _source() -> Source:
    return Source(service=TRAIL_SERVICE, instance=socket.gethostname() or None)


def failed_event(target: WatchedTarget, state: TargetState, seen: Observation, id: UUID) -> AuditEvent:
    """`health_check.failed`: the target is down, by its rule. `state` is the new one."""
    error = seen.finding.error
    assert error is not None
    assert state.failing_since is not None
    return _event(
        target,
        "health_check.failed",
        id,
        seen.at,
        outcome=Outcome.SERIOUS_FAILURE,
        outcome_reason=error.reason,
        correlation_id=str(id),
        attributes={
            "error": error.kind.value,
            "first_failure_at": _text(state.failing_since),
            "duration_seconds": _seconds(state.failing_since, seen.at),
            "failures": state.failures,
            "rule": str(target.down),
        },
    )


def recovered_event(target: WatchedTarget, state: TargetState, seen: Observation, id: UUID) -> AuditEvent:
    """`health_check.recovered`: the target is up again. `state` is the one of the outage."""
    assert state.failing_since is not None
    return _event(
        target,
        "health_check.recovered",
        id,
        seen.at,
        correlation_id=str(state.outage),
        attributes={
            "first_failure_at": _text(state.failing_since),
            "outage_seconds": _seconds(state.failing_since, seen.at),
            "failures": state.failures,
        },
    )


def restarted_event(target: WatchedTarget, state: TargetState, seen: Observation, id: UUID) -> AuditEvent:
    """`service.restarted`: the target tells another start time or boot id. `state` has the one before."""
    return _event(
        target,
        "service.restarted",
        id,
        seen.at,
        attributes={"before": state.incarnation, "after": seen.finding.incarnation},
    )


def gap_event(
    id: UUID, why: Blindness, begin: datetime, end: datetime, targets: Sequence[str] = ()
) -> AuditEvent:
    """`observation.gap`: nothing was looked at from `begin` to `end`, or, when some are named, these `targets`."""
    named = {"targets": list(targets[:MAX_NAMED]), "target_count": len(targets)} if targets else {}
    return AuditEvent(
        event_id=id,
        type="observation.gap",
        occurred_at=end,
        source=_source(),
        actor=_WATCHER,
        outcome=Outcome.MINOR_FAILURE,
        outcome_reason=why.value.replace("_", " "),
        attributes={
            "cause": why.value,
            "from": _text(begin),
            "to": _text(end),
            "seconds": _seconds(begin, end),
            **named,
        },
    )


def _event(
    target: WatchedTarget,
    type: str,
    id: UUID,
    at: datetime,
    *,
    attributes: dict[str, object],
    outcome: Outcome = Outcome.SUCCESS,
    outcome_reason: str | None = None,
    correlation_id: str | None = None,
) -> AuditEvent:
    about = {"target": target.name, "check": target.kind}
    return AuditEvent(
        event_id=id,
        type=type,
        occurred_at=at,
        source=_source(),
        actor=_WATCHER,
        outcome=outcome,
        outcome_reason=outcome_reason,
        resources=(Resource(type="Service", id=target.service),),
        correlation_id=correlation_id,
        attributes=about | ({"owner": target.owner} if target.owner else {}) | attributes,
    )


def _text(at: datetime) -> str:
    return at.isoformat()


def _seconds(begin: datetime, end: datetime) -> float:
    """Never negative: the clock may have been set back in between."""
    return max(0.0, round((end - begin).total_seconds(), 3))
