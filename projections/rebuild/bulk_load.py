"""Bulk load of a build: ranges of the log go into tables without indexes, then the tables are merged and indexed.

Append-only rows are copied to their final table. Rows of merged tables are combined within a range and copied to a
table of partial rows, several per key. When all ranges are loaded, one statement merges them into the finished rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from domain.errors import FencedError
from domain.event import RecordedEvent
from event_store.binary_copy import copy_in
from event_store.database import Connection, Cursor, only, sql
from event_store.statement_errors import DuplicateRowError
from event_store.statements import load
from projections.binary_rows import Encoder
from projections.builds.digests import SORT_MEMORY
from projections.custom_tables import custom_role, drop_partial, finish, index_table
from projections.projector import Projector
from projections.projector_output import DuplicateKeyError, made_rows
from projections.rebuild.parallel_statements import Transactions
from projections.registry import Build
from projections.tables import (
    Groups,
    Row,
    Table,
    adopt_key,
    bulk_indexes,
    create_partial,
    key_name,
    partial_name,
)

_SQL = load(__package__, "rebuild.sql")


class _Sink:
    """Takes the rows of one table of a range."""

    def __init__(self, table: Table, schema: str) -> None:
        self.table = table
        self._encoder = Encoder(table)
        target = partial_name(table) if table.merged else table.name
        self._copy = f"COPY {schema}.{target} ({', '.join(self._encoder.columns)}) FROM STDIN (FORMAT binary)"
        self._held: Groups = {}

    def add(self, cursor: Cursor, rows: list[Row]) -> None:
        """Copy the rows, or combine them with the earlier rows of the range."""
        if self.table.merged:
            self.table.fold(self._held, rows)
        else:
            self._send(cursor, rows)

    def flush(self, cursor: Cursor) -> None:
        """Copy the combined rows."""
        held, self._held = self._held, {}
        self._send(cursor, list(map(tuple, held.values())))

    def _send(self, cursor: Cursor, rows: list[Row]) -> None:
        if rows:
            copy_in(cursor, self._copy, self._encoder.rows(rows))


class RangeLoad:
    """The rows of one range for one build, within the caller's transaction."""

    def __init__(self, projector: Projector, build: Build) -> None:
        self.projector = projector
        self.build = build
        self._sinks = [_Sink(table, build.schema) for table in projector.tables]

    def begin(self, cursor: Cursor, first: int) -> bool:
        """Mark the range as done. Returns False when another process has done it, such as a worker of a killed rebuild.

        Raises `FencedError` when the build or the range is gone.
        """
        asked = {"name": self.build.name, "build": self.build.build, "first": first}
        cursor.execute(_SQL["finish_range"], asked)
        if cursor.rowcount == 1:
            return True
        cursor.execute(_SQL["is_done"], asked)
        if not only(cursor):
            raise FencedError(
                f"the range from {first} of build {self.build.build} of projection {self.build.name} is gone"
            )
        return False

    def add(self, cursor: Cursor, events: Sequence[RecordedEvent]) -> None:
        """Add the rows of some events of the range. Raises whatever the projector or the database raises."""
        rows = made_rows(self.projector, events)
        for sink in self._sinks:
            sink.add(cursor, rows[sink.table.name])

    def flush(self, cursor: Cursor) -> None:
        """End the range."""
        for sink in self._sinks:
            sink.flush(cursor)


def create_partials(connection: Connection, projector: Projector, schema: str) -> None:
    """Create the tables of partial rows, in the transaction of the build. A custom projection has them already."""
    with _in_schema(connection, schema) as cursor:
        if custom_role(cursor):
            return
        for table in projector.tables:
            if table.merged:
                cursor.execute(create_partial(table))


def merge_table(database: Transactions, table: Table, schema: str) -> None:
    """Make the finished rows and drop the partial ones, in one transaction. Does nothing when that was done before."""
    with database.transaction() as connection, _in_schema(connection, schema) as cursor:
        if _exists(cursor, schema, partial_name(table)):
            cursor.execute(table.merge_partial())
            custom = custom_role(cursor)
            if custom:
                drop_partial(cursor, custom, schema, table)
            else:
                cursor.execute(f"DROP TABLE {partial_name(table)}")


def missing_indexes(database: Transactions, table: Table, schema: str) -> list[str]:
    """The names of the missing indexes."""
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        return [name for name in bulk_indexes(table) if not _exists(cursor, schema, name)]


def create_index(database: Transactions, name: str, table: Table, schema: str) -> None:
    """Create an index; for several threads. Raises `DuplicateKeyError` when two rows have the same key."""
    try:
        with database.transaction() as connection, _in_schema(connection, schema) as cursor:
            custom = custom_role(cursor)
            if custom:
                index_table(cursor, custom, schema, table, name)
            else:
                cursor.execute(bulk_indexes(table)[name])
    except DuplicateRowError as exc:
        if exc.constraint != key_name(table):
            raise
        raise DuplicateKeyError(table) from exc


def first_duplicate(database: Transactions, table: Table, schema: str) -> int | None:
    """The first position whose row has the key of an earlier one; None when the table keeps no positions."""
    if "position" not in table.names:
        return None
    key = ", ".join(table.key)
    with database.transaction() as connection, _in_schema(connection, schema) as cursor:
        cursor.execute(
            "SELECT min(second) FROM (SELECT (array_agg(position ORDER BY position))[2] AS second"
            f" FROM {table.name} GROUP BY {key} HAVING count(*) > 1) AS twice"
        )
        found = only(cursor)
    return None if found is None else int(found)


def finish_table(database: Transactions, table: Table, schema: str) -> None:
    """Make the unique index the primary key, and analyse the table."""
    with database.transaction() as connection, _in_schema(connection, schema) as cursor:
        custom = custom_role(cursor)
        if custom:
            finish(cursor, custom, schema, table)
            return
        cursor.execute(
            "SELECT NOT EXISTS (SELECT FROM pg_constraint WHERE contype = 'p' AND conrelid = to_regclass(%s))",
            (f"{schema}.{table.name}",),
        )
        if only(cursor):
            cursor.execute(adopt_key(table))
        cursor.execute(f"ANALYZE {table.name}")


def _in_schema(connection: Connection, schema: str) -> Cursor:
    cursor = connection.cursor()
    cursor.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(schema)))
    cursor.execute(
        "SELECT set_config('maintenance_work_mem', %(m)s, true), set_config('work_mem', %(m)s, true)",
        {"m": SORT_MEMORY},
    )
    # The jobs already run in parallel. More workers would only take processors from the service.
    cursor.execute("SET LOCAL max_parallel_maintenance_workers = 0")
    return cursor


def _exists(cursor: Cursor, schema: str, name: str) -> bool:
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{schema}.{name}",))
    return bool(only(cursor))
