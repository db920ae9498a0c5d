"""Records that receivers refused for good and that their followers have left behind, until an operator decides.

Methods block, and raise `UnavailableError` while the database is away.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from domain.errors import ConflictError, FencedError, Reason
from event_store.database import Connection, Database, named
from event_store.statements import load
from forwarding.changes import Decision
from forwarding.registry import decide, require

_SQL = load(__package__, "refusals.sql")
MOST_KEPT = 1000
"""Of one follower. Then it stops: a receiver that refuses everything is not left behind without an end."""
_MOST_TEXT = 2000
_MOST_LISTED = 10_000


class Refusal(Struct, frozen=True, kw_only=True):
    """A refused record: see migration 0020."""

    follower: str
    position: int
    reason: str
    refused_at: datetime
    attempts: int
    requeued_at: datetime | None
    outcome: str | None
    ended_at: datetime | None


class Refusals:
    """Reads and writes them, in the role of the forwarder."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, name: str, expected: int, position: int, reason: str) -> bool:
        """Keep the record, and let the checkpoint pass it; False when the follower has `MOST_KEPT` already.

        Raises `FencedError` when the checkpoint is no longer at `expected`.
        """
        values = {
            "name": name,
            "expected": expected,
            "position": position,
            "reason": reason[:_MOST_TEXT],
            "most": MOST_KEPT,
        }
        with self._database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["locked_follower"], {"name": name})
            if cursor.fetchone() != (expected,):
                raise FencedError(f"the checkpoint of {name} was moved by somebody else")
            cursor.execute(_SQL["keep"], values)
            return cursor.rowcount > 0

    def open(self, name: str | None = None) -> list[Refusal]:
        """What operators have to decide about, in order, of one follower or of all."""
        with self._database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["open"], {"name": name, "limit": _MOST_LISTED})
            return [Refusal(**row) for row in named(cursor)]

    def counts(self) -> dict[str, int]:
        """How many each follower has; those without any are absent."""
        with self._database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["counts"])
            return {name: int(count) for name, count in cursor.fetchall()}

    def requeue(self, name: str, position: int, by: str, reason: str) -> None:
        """Have the record sent again."""
        self._end(name, position, Decision.REQUEUED, by, reason)

    def dismiss(self, name: str, position: int, by: str, reason: str) -> None:
        """Leave the record out for ever."""
        self._end(name, position, Decision.DISMISSED, by, reason)

    def _end(self, name: str, position: int, decision: Decision, by: str, reason: str) -> None:
        values = {"name": name, "position": position}
        statement = "requeue" if decision is Decision.REQUEUED else "dismiss"
        with self._database.transaction() as connection, connection.cursor() as cursor:
            require(cursor, name)
            cursor.execute(_SQL[statement], values)
            found = cursor.fetchone()
            if found is None:
                raise ConflictError(
                    Reason.CONFLICT,
                    f"the follower {name} keeps no refused record at position {position} that waits for this: see"
                    " `audit-trail forward refused`; nothing was changed",
                )
            cursor.execute(_SQL["decided"], values)
            decide(cursor, name, decision, by, reason, {"position": position, "refused": found[0]})

    def refused_again(self, name: str, position: int, reason: str) -> None:
        """The receiver refuses the record once more."""
        self._run("refused_again", name, position, reason[:_MOST_TEXT])

    def sent(self, name: str, position: int) -> None:
        """The receiver has the record now."""
        self._run("sent", name, position)

    def _run(self, statement: str, name: str, position: int, reason: str | None = None) -> None:
        values = {"name": name, "position": position, "reason": reason}
        with self._database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(_SQL[statement], values)


def next_requeued(connection: Connection, name: str) -> int | None:
    """The position of the first record that is to be sent again."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["next_requeued"], {"name": name})
        row = cursor.fetchone()
    return None if row is None else int(row[0])
