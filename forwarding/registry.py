"""The stored state of followers: checkpoints and decisions.

Methods block, and raise `UnavailableError` while the database is away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from domain.errors import ConfigurationError, ConflictError, FencedError, Reason
from event_store.database import Connection, Cursor, Database, named
from event_store.statements import load
from forwarding.changes import Decision, FollowerChange, differences

_SQL = load(__package__, "registry.sql")
_MAX_TEXT = 2000
DESTINATION = "destination"
"""The part of a configuration that says where records go."""


class FollowerState(Struct, frozen=True, kw_only=True):
    """A follower as it is stored: see migration 0016.

    `position`: up to here the receiver has everything. `sent_position`: the last record for it. `problem`: why the last
    attempt failed; with `failed_position`, the receiver refuses the record there. `unpublished`: the trail does not
    have the newest decision about it yet.
    """

    name: str
    configuration: dict[str, Any]
    destination: str
    start_from: str
    first_position: int
    position: int
    sent_position: int | None
    sent: int
    sent_at: datetime | None
    paused_at: datetime | None
    removed_at: datetime | None
    problem: str
    problem_since: datetime | None
    failed_position: int | None
    created_at: datetime
    changed_at: datetime
    unpublished: bool = False


class Configured(NamedTuple):
    """A follower as the file has it: `configuration` without secrets, `destination` in a few words."""

    name: str
    configuration: dict[str, Any]
    destination: str
    start: str
    decided_by: str
    reason: str

    @property
    def added(self) -> dict[str, Any]:
        """The details of the decision to add it."""
        return {
            "destination": self.destination,
            "start": self.start,
            "configuration": self.configuration,
        }


class Waiting(NamedTuple):
    """How far a follower is behind: events, and the seconds since the first of them was recorded."""

    events: int
    seconds: float


class Registry:
    """Reads and writes the state of followers, in the role of the forwarder."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def followers(self) -> list[FollowerState]:
        """All followers, also those that the file no longer names."""
        with self._database.transaction(read_only=True) as connection:
            return _states(connection, None)

    def waiting(self) -> dict[str, Waiting]:
        """How far each follower is behind."""
        with self._database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["waiting_since"])
            return {
                name: Waiting(int(events), max(0.0, seconds or 0.0))
                for name, events, seconds in cursor.fetchall()
            }

    def configure(self, configured: Sequence[Configured]) -> list[tuple[str, Decision]]:
        """Store what the file says; returns what has changed. A new follower begins where its `start` says."""
        decided: list[tuple[str, Decision]] = []
        with self._database.transaction() as connection, connection.cursor() as cursor:
            for each in configured:
                decision, details = _configured(cursor, each)
                if decision is not None:
                    decide(cursor, each.name, decision, each.decided_by, each.reason, details)
                    decided.append((each.name, decision))
            cursor.execute(_SQL["remove"], {"names": [each.name for each in configured]})
            for (name,) in cursor.fetchall():
                decide(cursor, name, Decision.REMOVED, None, None, {})
                decided.append((name, Decision.REMOVED))
        return decided

    def pause(self, name: str, by: str, reason: str) -> None:
        """Let the follower stand still, from its next request on."""
        self._switch(name, Decision.PAUSED, by, reason)

    def resume(self, name: str, by: str, reason: str) -> None:
        """Let a paused follower go on from its checkpoint."""
        self._switch(name, Decision.RESUMED, by, reason)

    def _switch(self, name: str, decision: Decision, by: str, reason: str) -> None:
        statement = "pause" if decision is Decision.PAUSED else "resume"
        with self._database.transaction() as connection, connection.cursor() as cursor:
            require(cursor, name)
            cursor.execute(_SQL[statement], {"name": name})
            if cursor.rowcount == 0:
                state = "paused already" if decision is Decision.PAUSED else "not paused"
                raise ConflictError(Reason.CONFLICT, f"the follower {name} is {state}: nothing was changed")
            decide(cursor, name, decision, by, reason, {})

    def skip(self, name: str, position: int, by: str, reason: str) -> None:
        """Leave out the record that stops the follower, which must be at `position`."""
        with self._database.transaction() as connection, connection.cursor() as cursor:
            state = require(cursor, name)
            if state.failed_position != position:
                stopped = (
                    "no record stops it"
                    if state.failed_position is None
                    else f"the record at position {state.failed_position} stops it"
                )
                raise ConflictError(Reason.CONFLICT, f"the follower {name}: {stopped}; nothing was skipped")
            cursor.execute(_SQL["skip"], {"name": name, "position": position})
            details = {"position": position, "refused": state.problem}
            decide(cursor, name, Decision.SKIPPED, by, reason, details)

    def unpublished(self, follower: str | None = None) -> list[FollowerChange]:
        """Decisions that the trail does not have yet, the oldest first."""
        with self._database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["unpublished"], {"follower": follower})
            return [_change(row) for row in named(cursor)]

    def published(self, change: FollowerChange) -> None:
        """The trail has the event of this decision."""
        self._run("published", {"id": change.id})

    def advance(
        self, name: str, expected: int, position: int, *, sent_position: int | None = None, sent: int = 0
    ) -> bool:
        """Move the checkpoint; False when the follower was paused meanwhile.

        Raises `FencedError` when it is no longer at `expected`.
        """
        values = {
            "name": name,
            "expected": expected,
            "position": position,
            "sent_position": sent_position,
            "sent": sent,
        }
        with self._database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["advance"], values)
            row = cursor.fetchone()
        if row is None:
            raise FencedError(f"the checkpoint of {name} was moved by somebody else")
        return not row[0]

    def fail(self, name: str, expected: int, problem: str, failed_position: int | None = None) -> None:
        """Note why the last attempt failed; an empty `problem` takes that back."""
        values = {
            "name": name,
            "expected": expected,
            "problem": problem[:_MAX_TEXT],
            "failed_position": failed_position,
        }
        self._run("fail", values)

    def _run(self, statement: str, values: Mapping[str, object]) -> bool:
        with self._database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(_SQL[statement], values)
            return cursor.rowcount > 0


def follower_state(connection: Connection, name: str) -> FollowerState:
    """One follower. Raises `ConfigurationError` when there is none."""
    found = _states(connection, name)
    if not found:
        raise ConfigurationError(f"there is no follower {name}: see `audit-trail forward status`")
    return found[0]


def _states(connection: Connection, name: str | None) -> list[FollowerState]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL["all"], {"name": name})
        return [FollowerState(**row) for row in named(cursor)]


def require(cursor: Cursor, name: str) -> FollowerState:
    """The follower, locked. Raises `ConfigurationError` when there is none."""
    cursor.execute(_SQL["locked"], {"name": name})
    found = named(cursor)
    if not found:
        raise ConfigurationError(f"there is no follower {name}: see `audit-trail forward status`")
    return FollowerState(**found[0])


def _configured(cursor: Cursor, new: Configured) -> tuple[Decision | None, dict[str, Any]]:
    """Store the configuration of a follower; what that changes, None for nothing."""
    values = {
        "name": new.name,
        "configuration": msgspec.json.encode(new.configuration).decode(),
        "destination": new.destination,
        "start": new.start,
    }
    cursor.execute(_SQL["locked"], {"name": new.name})
    found = named(cursor)
    if not found:
        cursor.execute(_SQL["add"], values)
        return Decision.ADDED, new.added
    old = FollowerState(**found[0])
    changes = differences(old.configuration, new.configuration)
    if not changes and old.removed_at is None:
        return None, {}
    cursor.execute(_SQL["configure"], values)
    details: dict[str, Any] = {
        "destination": new.destination,
        "position": old.position,
        "changes": changes,
    }
    if old.removed_at is not None:
        return Decision.ADDED, details
    redirected = old.configuration.get(DESTINATION) != new.configuration.get(DESTINATION)
    return Decision.REDIRECTED if redirected else Decision.CHANGED, details


def decide(
    cursor: Cursor,
    follower: str,
    decision: Decision,
    by: str | None,
    reason: str | None,
    details: Mapping[str, Any],
) -> None:
    """Store a decision, which becomes an event."""
    values = {
        "follower": follower,
        "operation": decision.value,
        "by": by,
        "reason": reason,
        "details": msgspec.json.encode(details).decode(),
    }
    cursor.execute(_SQL["decide"], values)


def _change(row: Mapping[str, Any]) -> FollowerChange:
    known = {name: row[name] for name in FollowerChange.__struct_fields__}
    return FollowerChange(**known | {"operation": Decision(row["operation"])})
