"""What the watcher knows of one target: a row of `audit_trail.watch_target`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from watcher.observations import CheckError


class State(StrEnum):
    """The state of a target. `UNKNOWN` until its first good check, or until it is down."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


class TargetState(Struct, frozen=True, kw_only=True):
    """The state, since when it holds, and the newest results.

    `recent` has a 1 for each good check and a 0 for each failed one, the newest last; `failed_at` has the times of the
    failed ones. While the target is down, `failing_since` is the time of the first failure, `failures` their number,
    and `outage` the id of the event about it. `error` is that of the newest check.
    """

    id: UUID
    state: State = State.UNKNOWN
    since: datetime | None = None
    checked_at: datetime | None = None
    error: CheckError | None = None
    recent: str = ""
    failed_at: tuple[datetime, ...] = ()
    failing_since: datetime | None = None
    failures: int = 0
    outage: UUID | None = None
    incarnation: str | None = None
    transitions: int = 0

    def replace(self, **changes: Any) -> TargetState:
        """A copy with other values."""
        return replace(self, **changes)
