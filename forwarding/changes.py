"""Decisions about followers, as events of the trail: each is made of the stored decision alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from msgspec import Struct

from domain.catalogue import TRAIL_SERVICE
from domain.event import Actor, ActorKind, AuditEvent, Change, Resource, Source

RESOURCE = "Follower"
"""The resource type of a follower in events."""
_FORWARDER = Actor(kind=ActorKind.SERVICE, id=f"{TRAIL_SERVICE}-forwarder")


class Decision(StrEnum):
    """What was decided. The values are stored and part of events; never rename one."""

    ADDED = "added"
    CHANGED = "changed"
    REDIRECTED = "redirected"
    """Its records go elsewhere now."""
    REMOVED = "removed"
    PAUSED = "paused"
    RESUMED = "resumed"
    SKIPPED = "skipped"
    """The record at `details["position"]` is left out."""
    REQUEUED = "requeued"
    """The refused record at `details["position"]` is sent again."""
    DISMISSED = "dismissed"
    """The refused record at `details["position"]` is left out."""


class FollowerChange(Struct, frozen=True, kw_only=True):
    """A stored decision. `decided_by` is None when the file no longer names the follower."""

    id: int
    follower: str
    operation: Decision
    decided_by: str | None
    reason: str | None
    details: dict[str, Any]
    login: str
    event_id: UUID
    decided_at: datetime


def change_event(change: FollowerChange) -> AuditEvent:
    """`configuration.changed` of the follower. The same decision gives the same event: it can be published again."""
    details = {name: value for name, value in change.details.items() if name != "changes"}
    return AuditEvent(
        event_id=change.event_id,
        type="configuration.changed",
        occurred_at=change.decided_at,
        source=Source(service=TRAIL_SERVICE),
        actor=(_FORWARDER if change.decided_by is None else Actor(kind=ActorKind.USER, id=change.decided_by)),
        reason=change.reason,
        resources=(Resource(type=RESOURCE, id=change.follower),),
        changes=tuple(Change(**each) for each in change.details.get("changes", ())),
        attributes={"operation": change.operation.value, "login": change.login, **details},
    )


def differences(before: Mapping[str, Any], after: Mapping[str, Any], path: str = "") -> list[dict[str, Any]]:
    """What differs between two configurations, by path, as `Change` has it."""
    found: list[dict[str, Any]] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{path}{name}.")
        elif old != new:
            found.append({"path": f"{path}{name}", "before": old, "after": new})
    return found
