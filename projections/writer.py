"""Applies batches of one projector to one build: rows and checkpoint in one transaction, on its own connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from domain.errors import FencedError, UnavailableError
from domain.event import RecordedEvent
from event_store.binary_copy import copy_in
from event_store.database import Connection, Cursor, Database, translated
from event_store.statement_errors import (
    DuplicateRowError,
    LimitExceededError,
    MissingTableError,
    statement_errors,
)
from event_store.statements import load
from projections.binary_rows import Encoder
from projections.custom_tables import custom_role, stage
from projections.projector import Projector
from projections.projector_output import DuplicateKeyError, made_rows
from projections.registry import Build
from projections.stateful import FoldedRows, is_stateful
from projections.tables import Row, Table, create_staging, staging_name

_SQL = load(__package__, "registry.sql")


class _TableWriter:
    """Writes rows to one table. Prepares the statements and the encoder once."""

    def __init__(self, table: Table, schema: str) -> None:
        self.table = table
        self._encoder = Encoder(table)
        target = staging_name(table) if table.merged else f"{schema}.{table.name}"
        self._copy = f"COPY {target} ({', '.join(self._encoder.columns)}) FROM STDIN (FORMAT binary)"
        self.staging = create_staging(table, schema) if table.merged else ""
        self._merge = table.merge_staged(schema) if table.merged else ""

    def prepare(self, rows: list[Row]) -> list[bytes]:
        """The encoded rows."""
        return self._encoder.rows(self.table.combine(rows) if self.table.merged else rows)

    def write(self, cursor: Cursor, encoded: list[bytes]) -> None:
        """Copy, and merge where the table is merged."""
        copy_in(cursor, self._copy, encoded)
        if self._merge:
            cursor.execute(self._merge)


Prepared = list[tuple[_TableWriter, list[bytes]]]
"""Encoded rows, with their writer."""


class Writer:
    """Writes one projector's rows to the tables of one build. Not thread-safe."""

    def __init__(self, database: Database, projector: Projector, build: Build) -> None:
        self._database = database
        self._projector = projector
        self._schema = build.schema
        self._tables = [_TableWriter(table, build.schema) for table in projector.tables]
        self._identity = {"name": build.name, "build": build.build, "live": build.live}
        self._folded = FoldedRows(database, projector, build) if is_stateful(projector) else None
        self._connection: Connection | None = None

    def apply(self, events: Sequence[RecordedEvent], expected: int, last: int) -> None:
        """Write the rows of `events` and move the checkpoint from `expected` to `last`: both or neither.

        Raises `FencedError` when the checkpoint is elsewhere, the build is paused, or its live flag has changed;
        `UnavailableError` when the database is away; and whatever the projector raises. Nothing is committed then.
        """
        prepared = self.prepare(events, expected, last)
        with self.transaction() as cursor:
            self.write(cursor, prepared, expected, last)

    def skip(self, positions: frozenset[int]) -> None:
        """Leave these events out when a stateful projector reads the log again."""
        if self._folded is not None:
            self._folded.skipped = positions

    def prepare(self, events: Sequence[RecordedEvent], after: int, last: int) -> Prepared:
        """The encoded rows of the events from `after` to `last`, for `write`. Raises whatever the projector raises."""
        folded = self._folded
        rows = made_rows(self._projector, events) if folded is None else folded.rows(events, after, last)
        return [(each, each.prepare(rows[each.table.name])) for each in self._tables]

    def write(self, cursor: Cursor, prepared: Prepared, expected: int, last: int) -> None:
        """The same as `apply`, inside a transaction of this writer."""
        cursor.execute(_SQL["advance"], self._identity | {"expected": expected, "position": last})
        if cursor.rowcount != 1:
            raise FencedError(f"the checkpoint of {self._projector.name} is not at {expected}")
        table = None
        try:
            with statement_errors():
                for writer, data in prepared:
                    if data:
                        table = writer.table
                        writer.write(cursor, data)
        except DuplicateRowError as exc:
            if table is None:
                raise
            raise DuplicateKeyError(table) from exc
        except LimitExceededError as exc:
            # No retry helps: this row fits into no index.
            raise ValueError("a row is larger than its table's key may be") from exc
        if self._folded is not None:
            self._folded.save(cursor)

    def fail(self, event: RecordedEvent, failure: str) -> None:
        """Record that this event stops the projector."""
        with self.transaction() as cursor:
            cursor.execute(
                _SQL["fail"],
                self._identity
                | {"failed_position": event.position, "event_id": event.event.event_id, "failure": failure},
            )

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """A transaction on the writer's connection, which an outage closes."""
        with translated():
            if self._connection is None or self._connection.closed:
                self._connection = self._connect()
            try:
                with statement_errors(), self._connection, self._connection.cursor() as cursor:
                    yield cursor
            except UnavailableError:
                self.close()
                raise

    def _connect(self) -> Connection:
        connection = self._database.connect()
        with connection, connection.cursor() as cursor:
            # A crash may lose the last transactions, rows and checkpoint together: they are then applied again.
            cursor.execute("SET synchronous_commit = off")
            custom = custom_role(cursor)
            for writer in self._tables:
                if writer.staging:
                    try:
                        with statement_errors():
                            if custom:
                                stage(cursor, custom, self._schema, writer.table)
                            else:
                                cursor.execute(writer.staging)
                    except MissingTableError as exc:
                        connection.close()
                        raise FencedError(f"the tables of {self._projector.name} are gone") from exc
        return connection
