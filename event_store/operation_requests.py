"""Requests of operators, and the workers that carry them out: one process for each part.

A worker has an advisory lock for as long as its session lives. So whatever a new worker finds running was left by one
that has ended, and is taken up again. After `MAX_ATTEMPTS` it fails: no request is running for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from domain.errors import ConflictError, Reason
from domain.event import Actor, ActorKind
from domain.operation_request import Kind, OperationRequest, State
from event_store.database import Database, named, only
from event_store.part_lock import PartLock
from event_store.statement_errors import StatementError, statement_errors
from event_store.statements import load

_SQL = load(__package__, "operation_requests.sql")
_REFUSED = "AT002"
"""SQLSTATE of `audit_trail.request_operation` for what the person can correct; the message is for them."""
MAX_ATTEMPTS = 5
"""How often a request is begun before it fails."""
_MAX_TEXT = 2000


class NewRequest(NamedTuple):
    """What a person asks for."""

    kind: Kind
    target: str
    reason: str
    by: Actor
    session: str | None


class WorkerState(NamedTuple):
    """The process that carries out the requests of a part, and how long ago it was last seen."""

    part: str
    host: str
    seen_at: datetime
    unseen: timedelta


def request_operation(database: Database, new: NewRequest) -> OperationRequest:
    """Store a request, in the role of the reader. Raises `ConflictError` for what the person can correct."""
    by = new.by
    values = {
        "kind": new.kind.value,
        "target": new.target,
        "reason": new.reason,
        "by_kind": by.kind.value,
        "by_id": by.id,
        "by_name": by.name,
        "by_roles": list(by.roles),
        "session": new.session,
    }
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["writing"])
        try:
            with statement_errors():
                cursor.execute(_SQL["request"], values)
        except StatementError as exc:
            if exc.code != _REFUSED:
                raise
            raise ConflictError(Reason.INVALID_FIELD, exc.server_message) from exc
        id = int(only(cursor))
    found = get_request(database, id)
    assert found is not None
    return found


def get_request(database: Database, id: int) -> OperationRequest | None:
    """One request."""
    return next(iter(_rows(database, "get", {"id": id})), None)


def newest_requests(database: Database, limit: int, before: int | None = None) -> list[OperationRequest]:
    """The newest requests, before the id `before`."""
    return _rows(database, "newest", {"limit": limit, "before": before})


def requests_about(database: Database, target: str, limit: int, *, rebuild: bool) -> list[OperationRequest]:
    """The newest requests about one projection or dead letter."""
    return _rows(database, "about", {"target": target, "limit": limit, "rebuild": rebuild})


def workers(database: Database) -> dict[str, WorkerState]:
    """The workers by part. A part whose worker never ran is missing."""
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["workers"])
        return {row[0]: WorkerState(*row) for row in cursor.fetchall()}


class RequestQueue:
    """The requests of one part, for its one worker. Raises `UnavailableError` while the database is away."""

    def __init__(self, database: Database, part: str) -> None:
        self._database = database
        self._lock = PartLock(database, part)
        self._taken_up = 0
        self._values: dict[str, object] = {
            "kinds": [kind.value for kind in Kind if kind.part == part],
        }

    def hold(self) -> bool:
        """Whether this process is the worker of the part. It becomes it when no other is; then it takes up requests."""
        if not self._lock.hold():
            return False
        if self._taken_up != self._lock.mark:
            self._run("take_up")
            self._taken_up = self._lock.mark
        return True

    def next(self) -> OperationRequest | None:
        """The oldest request that waits; None when there is none."""
        return next(iter(_rows(self._database, "next", self._values)), None)

    def start(self, request: OperationRequest) -> OperationRequest | None:
        """The request, which is running now; None when somebody else has it."""
        return next(iter(_rows(self._database, "start", {"id": request.id}, writes=True)), None)

    def say(self, request: OperationRequest, progress: str) -> None:
        """Say how far a running request is."""
        self._run("progress", id=request.id, progress=progress[:_MAX_TEXT])

    def wait(self, request: OperationRequest, why: str) -> None:
        """Let a running request wait for its next attempt."""
        self._run("wait", id=request.id, progress=why[:_MAX_TEXT])

    def finish(self, request: OperationRequest, state: State, result: str) -> None:
        """Write the end of a request, once."""
        self._run("finish", id=request.id, state=state.value, result=result[:_MAX_TEXT])

    def unpublished(self) -> list[OperationRequest]:
        """Requests that have ended and whose end the trail does not have yet, the oldest first."""
        return _rows(self._database, "unpublished", self._values)

    def published(self, request: OperationRequest) -> None:
        """The trail has the end of this request."""
        self._run("published", id=request.id)

    def close(self) -> None:
        """Let another process be the worker."""
        self._lock.close()

    def _run(self, statement: str, **values: object) -> bool:
        with self._database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(_SQL[statement], self._values | values)
            return cursor.rowcount > 0


def _rows(
    database: Database, statement: str, values: Mapping[str, object], *, writes: bool = False
) -> list[OperationRequest]:
    with database.transaction(read_only=not writes) as connection, connection.cursor() as cursor:
        cursor.execute(_SQL[statement], values)
        return [_request(row) for row in named(cursor)]


def _request(row: Mapping[str, Any]) -> OperationRequest:
    requester = Actor(
        kind=_kind(row["requester_kind"]),
        id=row["requester_id"],
        name=row["requester_name"],
        roles=tuple(row["requester_roles"]),
    )
    known = {name: row[name] for name in OperationRequest.__struct_fields__ if name != "requester"}
    typed = {"kind": Kind(row["kind"]), "state": State(row["state"]), "requester": requester}
    return OperationRequest(**known | typed)


def _kind(stored: str) -> ActorKind:
    """Whoever has the login of `serve` can store anything; the worker goes on."""
    return next((kind for kind in ActorKind if kind.value == stored), ActorKind.UNKNOWN)
