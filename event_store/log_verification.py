"""How far the guard has verified the log, for pages. No verification reads it."""

from __future__ import annotations

from event_store.database import Database
from event_store.statements import load

_SQL = load(__package__, "log_verification.sql")
_MAX_PROBLEM = 2000


def note_verification(
    database: Database,
    *,
    due_seconds: float,
    size: int | None = None,
    everything: bool = False,
    problem: str = "",
) -> None:
    """Note the end of a verification. The guard is overdue if it notes no other one within `due_seconds`.

    `size`: the events that are verified now; None when it failed or found something. `everything`: the log was read
    from its beginning. `problem` says why the log could not be verified.
    """
    values = {
        "size": size,
        "all_size": size if everything else None,
        "problem": problem[:_MAX_PROBLEM],
        "due_seconds": due_seconds,
    }
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["note"], values)
