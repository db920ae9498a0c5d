"""The watcher's memory in PostgreSQL: the state of each target, and the events that Kafka does not have yet.

A decision and its event are stored in one transaction, before the event is published. After a kill between the two the
same bytes are published again, under the same event id, and ingest drops the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import msgspec

from domain.errors import FencedError
from domain.event import AuditEvent
from domain.validation import check, encode_event
from event_store.database import Connection, Database, named, only
from event_store.statements import load
from watcher.observations import CheckError, ErrorClass
from watcher.target_state import State, TargetState
from watcher.targets import WatchedTarget

_SQL = load(__package__, "store.sql")


class Whole(NamedTuple):
    """The state of the watcher as a whole. It has looked until `looked_until`; `gaps` are the gaps that it reported."""

    id: UUID
    revision: int
    looked_until: datetime | None
    stopped: bool
    gaps: int


class Opened(NamedTuple):
    """What a watcher begins with. `returned`: targets that were not watched for a time, with their last check."""

    whole: Whole
    targets: dict[str, TargetState]
    returned: dict[str, datetime]


class Undelivered(NamedTuple):
    """An event to publish. Events of one `service` stay in order."""

    number: int
    service: str
    body: bytes


class WatchStore:
    """Loads and saves. Each method raises `UnavailableError` while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer = uuid4()
        """This process, in its rows: after a lost answer to COMMIT it recognises its own save."""

    def open(self, targets: Sequence[WatchedTarget]) -> Opened:
        """The stored state of the watcher and of these targets."""
        values = _described(targets)
        with self._database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["add"], values)
            cursor.execute(_SQL["targets"], values)
            rows = named(cursor)
            whole, _ = self._whole(connection)
        returned = {
            row["name"]: row["checked_at"] for row in rows if not row["watched"] and row["checked_at"]
        }
        return Opened(whole, {row["name"]: _state(row) for row in rows}, returned)

    def save(
        self,
        whole: Whole,
        states: Mapping[str, TargetState],
        events: Sequence[AuditEvent],
        *,
        watched: Sequence[WatchedTarget] | None = None,
    ) -> Whole:
        """Store the states and decide the events, in one transaction. Returns `whole` with its new revision.

        `watched`, of the first save: the targets of the file; no other is watched from now on.
        Raises `FencedError` when another watcher has saved meanwhile: what this one knows is out of date.
        """
        with self._database.transaction() as connection, connection.cursor() as cursor:
            stored, writer = self._whole(connection)
            # The answer to the last COMMIT was lost, and it was carried out.
            revision = whole.revision + (stored.revision == whole.revision + 1 and writer == self._writer)
            values = whole._asdict() | {"revision": revision, "writer": self._writer}
            cursor.execute(_SQL["advance"], values)
            if cursor.rowcount != 1:
                raise FencedError("another watcher has saved its state")
            if watched is not None:
                cursor.execute(_SQL["describe"], _described(watched))
                cursor.execute(_SQL["leave"], _described(watched))
            if states:
                cursor.execute(_SQL["save"], {"states": _json([_row(each) for each in states.values()])})
            for event in events:
                cursor.execute(
                    _SQL["decide"],
                    {
                        "event_id": event.event_id,
                        "service": _service(event),
                        "body": encode_event(check(event)),
                    },
                )
        return whole._replace(revision=revision + 1)

    def undelivered(self, limit: int) -> list[Undelivered]:
        """The oldest events that Kafka does not have yet."""
        with self._database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["undelivered"], {"limit": limit})
            return [Undelivered(number, service, bytes(body)) for number, service, body in cursor.fetchall()]

    def delivered(self, events: Sequence[Undelivered]) -> int:
        """Forget events that Kafka has. Returns how many still wait."""
        with self._database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["delivered"], {"numbers": [each.number for each in events]})
            cursor.execute(_SQL["waiting"])
            return int(only(cursor))

    def _whole(self, connection: Connection) -> tuple[Whole, UUID | None]:
        with connection.cursor() as cursor:
            cursor.execute(_SQL["state"])
            (row,) = named(cursor)
        writer = row.pop("writer")
        return Whole(**row), writer


def _described(targets: Sequence[WatchedTarget]) -> dict[str, Any]:
    rows = [
        {
            "name": each.name,
            "service": each.service,
            "owner": each.owner,
            "kind": each.kind,
            "interval_seconds": each.interval,
        }
        for each in targets
    ]
    return {"targets": _json(rows), "names": [each.name for each in targets]}


def _service(event: AuditEvent) -> str:
    """The service whose state an event tells: the key within which Kafka keeps order."""
    return next((each.id for each in event.resources), event.source.service)


def _state(row: Mapping[str, Any]) -> TargetState:
    known = {name: row[name] for name in TargetState.__struct_fields__ if name not in {"error", "state"}}
    error = None if row["error"] is None else CheckError(_error_class(row["error"]), row["reason"])
    return TargetState(
        **known | {"state": State(row["state"]), "error": error, "failed_at": tuple(row["failed_at"])}
    )


def _error_class(stored: str) -> ErrorClass:
    """Another release may have stored a class that this one does not have."""
    return next((each for each in ErrorClass if each.value == stored), ErrorClass.NETWORK)


def _row(state: TargetState) -> dict[str, Any]:
    error = state.error
    # PostgreSQL's form of an array: times hold no character that it would have to quote.
    times = "{" + ",".join(each.isoformat() for each in state.failed_at) + "}"
    return {name: getattr(state, name) for name in TargetState.__struct_fields__} | {
        "error": None if error is None else error.kind.value,
        "reason": None if error is None else error.reason,
        "failed_at": times,
    }


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return msgspec.json.encode(rows).decode()
