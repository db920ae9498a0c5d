"""Alerts: what a rule found, with an id that follows from rule, group and window, and the event that reports it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct

from detection.evaluation.firing import Firing
from domain.catalogue import ALERT, ALERT_RAISED, TRAIL_SERVICE
from domain.event import Actor, ActorKind, AuditEvent, RecordedEvent, Resource, Source
from projections.tables import Row

RULE_RESOURCE = "DetectionRule"
_NAMESPACE = UUID("4ab1ce9f-1a5c-5a3e-8a55-6e0e3e4a7f52")
ACTOR = "actor.id"
"""The name under which a suppression has the actor, whatever the alias in the group is."""


class Alert(Struct, frozen=True, kw_only=True):
    """A row of `alert`."""

    position: int
    raised_at: datetime
    begins: datetime
    ends: datetime
    events: int
    final: bool
    alert_id: str
    kind: str
    rule_id: str
    rule_digest: str
    title: str
    level: str
    group_key: str
    actor: str | None
    positions: list[int]
    reasons: list[str]
    suppressed_by: str | None = None

    @property
    def group(self) -> list[tuple[str, str]]:
        """Names and values of the group."""
        return msgspec.json.decode(self.group_key, type=list[tuple[str, str]])

    def row(self) -> Row:
        """The values in the order of the table's columns."""
        return tuple(
            msgspec.json.encode(value) if isinstance(value, list) else value
            for value in msgspec.structs.astuple(self)
        )

    def extent(self) -> Row:
        """The row of `alert_extent` when this is the end of its window."""
        encode = msgspec.json.encode
        return (
            *(self.position, self.ends, self.events, self.alert_id),
            *(encode(self.positions), encode(self.reasons)),
        )


def alert_of(firing: Firing, known_by: RecordedEvent) -> Alert:
    """The alert of a firing, known by the event `known_by`."""
    group = msgspec.json.encode(firing.group).decode()
    named = (firing.rule, firing.version, firing.kind.value, group, firing.opened_at, *_single(firing))
    return Alert(
        position=known_by.position,
        raised_at=known_by.recorded_at,
        begins=firing.begins,
        ends=firing.ends,
        events=firing.count,
        final=firing.final,
        alert_id=str(uuid5(_NAMESPACE, msgspec.json.encode(named).decode())),
        kind=firing.kind.value,
        rule_id=firing.rule,
        rule_digest=firing.version,
        title=firing.title,
        level=firing.level,
        group_key=group,
        actor=_actor(firing, known_by),
        positions=list(firing.positions),
        reasons=list(firing.reasons),
    )


def _actor(firing: Firing, known_by: RecordedEvent) -> str | None:
    """The actor that the group names, or that of a single event."""
    alone = firing.positions == (known_by.position,) and not firing.group
    return firing.actor or (known_by.event.actor.id if alone else None)


def _single(firing: Firing) -> Sequence[int]:
    """What tells the findings of a rule for single events apart: they have no group, and may share a time."""
    return firing.positions[:1] if firing.final and not firing.follows and not firing.group else ()


def raised_event(alert: Alert) -> AuditEvent:
    """`alert.raised`. The same alert gives the same event, so it can be published again, also after a rebuild."""
    return AuditEvent(
        event_id=UUID(alert.alert_id),
        type=ALERT_RAISED,
        occurred_at=alert.raised_at,
        source=Source(service=TRAIL_SERVICE),
        actor=Actor(kind=ActorKind.SERVICE, id=TRAIL_SERVICE),
        resources=(
            Resource(type=ALERT, id=alert.alert_id),
            Resource(type=RULE_RESOURCE, id=alert.rule_id, version=alert.rule_digest),
        ),
        reason="; ".join(alert.reasons)[:4000] or None,
        attributes=_attributes(alert),
    )


def _attributes(alert: Alert) -> dict[str, Any]:
    return {
        "rule": alert.title,
        "level": alert.level,
        "kind": alert.kind,
        "group": [{"name": name, "value": value} for name, value in alert.group],
        "begins": alert.begins.isoformat(),
        "ends": alert.ends.isoformat(),
        "events": alert.events,
        "positions": alert.positions,
        "known_at_position": alert.position,
    }
