"""The database access of a custom projection: its own role, which owns its tables and nothing else."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from event_store.database import ANALYST, CUSTOM_ROLE_PREFIX, Cursor, Database
from event_store.statement_errors import DuplicateNameError
from event_store.statements import load
from projections.custom.batch_sql import TIMEOUT_MS
from projections.custom.declaration import is_reserved
from projections.custom.source_file import CustomProjector, load_custom
from projections.registry import declared

LOCK_TIMEOUT_MS = 60_000
"""How long a projection waits for locks of its analyst's other sessions. Then it reports that and tries again."""

_SQL = load(__package__, "custom.sql") | load("projections", "registry.sql")


def begin_custom(url: str, projector: CustomProjector) -> None:
    """Create the projection's role if there is none. Raises `CodeError` when its name or a table's name is taken."""
    if is_reserved(projector.name):
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


def _taken_table(cursor: Cursor, projector: CustomProjector) -> str:
    """A table of the file that a built-in or another custom projection has; empty when there is none."""
    tables = [table.name for table in projector.tables]
    known = {table.name for each in declared() for table in each.tables}
    found = next((name for name in tables if name in known), "")
    if not found:
        cursor.execute(_SQL["other_tables"], {"name": projector.name, "tables": tables, "custom": True})
        row = cursor.fetchone()
        found = str(row[0]) if row else ""
    return found


def open_custom(url: str, name: str, size: int) -> Database:
    """The database in the role of the projection `name`. Picklable as a partial, for the workers of a rebuild."""
    return Database(
        url,
        f"{CUSTOM_ROLE_PREFIX}{name}",
        size=size,
        application_name=f"audit-trail-{name}"[:63],
        lock_timeout_ms=LOCK_TIMEOUT_MS,
    )


def bind_custom(url: str, projector: CustomProjector, size: int = 1) -> None:
    """Give a file's SQL a database to run in, with a time limit. Raises `CodeError` when the SQL can't run."""
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


def source_of(file: Path, url: str) -> list[CustomProjector]:
    """The one projector of a file, ready to make rows; for `projections.rebuild.plan.Parts`, in every process."""
    projector = load_custom(file)
    bind_custom(url, projector)
    return [projector]
