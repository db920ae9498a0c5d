"""The queue of commands about cases: `serve` submits them in the role of the reader, `ingest` carries them out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from domain.access.principal import Principal, Role
from domain.cases.commands import Body, CaseCommand, decode_body, encode_body, kind_of
from domain.errors import ConflictError, Reason, UnavailableError
from domain.event import ActorKind
from event_store.database import Database, named
from event_store.statement_errors import LimitExceededError, StatementError, statement_errors
from event_store.statements import load

CHANNEL = "audit_trail_case_command"
"""The channel on which the worker listens."""
_SQL = load(__package__, "case_commands.sql")
_REFUSED = "AT002"
"""SQLSTATE of `audit_trail.submit_case_command` for what the person can correct; the message is for them."""
_MAX_ERROR = 2000
_log = logging.getLogger(__name__)


class Result(StrEnum):
    """What became of a command. The values are stored; never rename one."""

    DONE = "done"
    REFUSED = "refused"
    """The state of the case does not allow it, or a value is wrong."""
    DENIED = "denied"
    """The person may not do it."""
    FAILED = "failed"
    """The program has a defect, which is in the log of `ingest`."""


class Outcome(NamedTuple):
    """The end of a command. `position`: where the log has its event. `error` says what to change."""

    result: Result
    error: str | None = None
    field: str | None = None
    position: int | None = None


class NewCommand(NamedTuple):
    """A command that somebody gives. `id` is the idempotency key, `target` the id of the case or suppression."""

    id: UUID
    target: UUID
    body: Body
    by: Principal


def submit(database: Database, new: NewCommand) -> None:
    """Store a command, once. Raises `ConflictError` for what the person can correct, such as too many open ones."""
    by = new.by
    values = {
        "id": new.id,
        "target": new.target,
        "kind": kind_of(new.body),
        "body": encode_body(new.body).decode(),
        "by_kind": by.kind.value,
        "by_id": by.id,
        "by_name": by.name,
        "by_roles": sorted(by.roles),
        "by_actors": list(by.actors),
        "session": by.session,
    }
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["writing"])
        try:
            with statement_errors():
                cursor.execute(_SQL["submit"], values)
        except StatementError as exc:
            if exc.code != _REFUSED:
                raise
            raise ConflictError(Reason.CONFLICT, exc.server_message) from exc
    _announce(database)


def _announce(database: Database) -> None:
    """Wake the worker, in a transaction of its own: see `event_store.notification`. Without it, it polls."""
    try:
        with database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["announce"], {"channel": CHANNEL})
    except (LimitExceededError, UnavailableError) as exc:
        _log.warning("a command is not announced, so it waits up to a second: %s", exc)


def outcome_of(database: Database, id: UUID) -> Outcome | None:
    """The end of a command; None while it has none."""
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["outcome"], {"id": id})
        row = cursor.fetchone()
    return None if row is None else Outcome(Result(row[0]), *row[1:])


class CommandState(NamedTuple):
    """A stored command of one person. `outcome` is None while it waits."""

    target: UUID
    kind: str
    requested_at: datetime
    outcome: Outcome | None


def own_command(database: Database, id: UUID, by: str) -> CommandState | None:
    """A command that this person has given; None when there is none."""
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["own"], {"id": id, "by": by})
        row = cursor.fetchone()
    if row is None:
        return None
    target, kind, requested_at, outcome, *rest = row
    ended = None if outcome is None else Outcome(Result(outcome), *rest)
    return CommandState(target, kind, requested_at, ended)


class WaitingCommand(NamedTuple):
    """A stored command, not checked yet: whoever has the login of `serve` can store anything."""

    id: UUID
    values: Mapping[str, Any]

    def checked(self) -> CaseCommand:
        """The command. Raises `InvalidEventError` for one that `serve` would not have stored."""
        row = self.values
        roles = frozenset(Role(each) for each in row["requester_roles"] if each in set(Role))
        kinds = {kind.value: kind for kind in ActorKind}
        requested_at: datetime = row["requested_at"]
        return CaseCommand(
            id=self.id,
            target=row["target"],
            body=decode_body(row["body"].encode()),
            by=Principal(
                id=row["requester_id"],
                roles=roles,
                kind=kinds.get(row["requester_kind"], ActorKind.UNKNOWN),
                name=row["requester_name"],
                actors=tuple(row["requester_actors"]),
            ),
            session=row["session"],
            requested_at=requested_at,
        )


def open_commands(database: Database, limit: int) -> list[WaitingCommand]:
    """The oldest commands that wait."""
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["open"], {"limit": limit})
        return [WaitingCommand(row["id"], row) for row in named(cursor)]


def complete(database: Database, id: UUID, outcome: Outcome) -> None:
    """Write the end of a command, once."""
    error = outcome.error and outcome.error[:_MAX_ERROR]
    values = outcome._asdict() | {"id": id, "error": error, "outcome": outcome.result.value}
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["complete"], values)
