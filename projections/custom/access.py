"""The way of an analyst's own projection into the database: a role of its own, which owns its tables, and no more."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from event_store.database import ANALYST, CUSTOM_ROLE_PREFIX, Cursor, Database
from event_store.statement_errors import DuplicateNameError
from event_store.statements import load
from projections.custom.batch_sql import TIMEOUT_MS
from projections.custom.source_file import OwnProjector, load_own
from projections.registry import built_in

LOCK_TIMEOUT_MS = 60_000
"""How long a projection waits for locks of its own analyst's other sessions, before it says so and tries again."""

_SQL = load(__package__, "custom.sql") | load("projections", "registry.sql")


def begin_own(url: str, projector: OwnProjector) -> None:
    """Make the projection's role if there is none. Raises `CodeError` when its name, or a table's, is another's."""
    if projector.name in {each.name for each in built_in()}:
        raise projector.fault(
            "name", f"the projection {projector.name} comes with Audit Trail; choose another name"
        )
    with closing(Database(url, ANALYST, size=1, application_name="audit-trail-own")) as database:
        try:
            with database.transaction() as connection, connection.cursor() as cursor:
                taken = _taken_table(cursor, projector)
                if taken:
                    raise projector.table_fault(
                        taken, f"table {taken} belongs to another projection: choose another name for it"
                    )
                cursor.execute(_SQL["begin"], {"name": projector.name})
        except DuplicateNameError as exc:
            raise projector.fault("name", f"{exc.server_message}; choose another name") from exc


def _taken_table(cursor: Cursor, projector: OwnProjector) -> str:
    """A table of the file that a built-in or another custom projection has; empty when there is none."""
    tables = [table.name for table in projector.tables]
    known = {table.name for each in built_in() for table in each.tables}
    found = next((name for name in tables if name in known), "")
    if not found:
        cursor.execute(_SQL["other_tables"], {"name": projector.name, "tables": tables, "custom": True})
        row = cursor.fetchone()
        found = str(row[0]) if row else ""
    return found


def open_own(url: str, name: str, size: int) -> Database:
    """The database in the role of the projection `name`. Picklable as a partial: a rebuild's workers open it too."""
    return Database(
        url,
        f"{CUSTOM_ROLE_PREFIX}{name}",
        size=size,
        application_name=f"audit-trail-{name}"[:63],
        lock_timeout_ms=LOCK_TIMEOUT_MS,
    )


def bind_own(url: str, projector: OwnProjector, size: int = 1) -> None:
    """Let a file's SQL run, with a time limit. Raises `CodeError` when it can't."""
    if projector.queries:
        projector.bind(
            Database(
                url,
                f"{CUSTOM_ROLE_PREFIX}{projector.name}",
                size=size,
                application_name=f"audit-trail-{projector.name}-sql"[:63],
                statement_timeout_ms=TIMEOUT_MS,
            )
        )


def source_of(file: Path, url: str) -> list[OwnProjector]:
    """The one projector of a file, ready to make rows; for `projections.rebuild.plan.Parts`, in every process."""
    projector = load_own(file)
    bind_own(url, projector)
    return [projector]
