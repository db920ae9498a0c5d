"""An export is a pipeline that each batch of rows passes.

1. `EventRows` or `TableRows` reads batches from one snapshot of the database.
2. `ExportAccess` redacts events for the caller. Commands export whole events.
3. `RecordedExport` records the disclosed patients before their rows go on.
4. An `Encoder` turns rows into NDJSON, CSV or Parquet.
5. A sink takes the bytes: `stream` for HTTP and pipes, `audit_trail.export.file` for a file that can be resumed.

`Exports.open` begins an export, and `Export.batches` composes the stages. HTTP and the command line share both, and
differ in access, record and sink.

Memory does not grow with the number of rows. Events never change, so an export of events that was cut off can always
resume. Rows of a table may change; see `Exports.open`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple, Protocol

from msgspec import Struct

from domain.errors import ConfigurationError, UnavailableError
from event_store.database import Connection, Database
from event_store.statements import load
from projections.registry import open_snapshot
from queries.export.event_rows import EventRows
from queries.export.parquet import ParquetEncoder
from queries.export.record import ExportRecord, RecordedExport
from queries.export.request import ExportRequest, Format
from queries.export.rows import ExportColumn, ExportedRows, RowBatch
from queries.export.table_rows import TableRows, TableShape, describe
from queries.export.text import TextEncoder, csv_encoder
from queries.search.prepared import plan

_SQL = load(__package__, "export.sql")


class Snapshot(Struct, frozen=True, kw_only=True):
    """The state of the log, and the position up to which the export is complete.

    `projection` and `version` are those of an exported table.
    """

    log_size: int
    root_hash: str
    as_of_position: int
    projection: str | None = None
    version: int | None = None


class ExportAccess(Protocol):
    """What one caller may export."""

    def require_table(self, table: TableShape) -> None:
        """Raise `AccessDeniedError` unless the caller may export this table."""

    def redacted(self, batches: Iterable[RowBatch]) -> Iterable[RowBatch]:
        """Batches of events without the parts that the caller may not see."""


class Encoder(Protocol):
    """Encodes one file: the header, then rows any number of times, then the end. Each piece may be empty."""

    def header(self) -> bytes:
        """The bytes before the rows."""

    def encode(self, rows: Sequence[Any]) -> bytes:
        """The bytes that are ready after these rows."""

    def end(self) -> bytes:
        """The bytes that are left."""


class Export:
    """An open export. A sink takes its batches and its encoder."""

    def __init__(
        self,
        connection: Connection,
        request: ExportRequest,
        snapshot: Snapshot,
        rows: ExportedRows,
        access: ExportAccess | None,
        recorded: RecordedExport | None,
    ) -> None:
        self.request = request
        self.snapshot = snapshot
        self.rows = rows
        self._connection = connection
        self._access = access
        self._recorded = recorded

    @property
    def columns(self) -> tuple[ExportColumn, ...]:
        """The columns of CSV and Parquet."""
        return self.rows.columns

    def batches(self, after: tuple[Any, ...] | None = None) -> Iterable[RowBatch]:
        """The rows whose key is greater than `after`, redacted and recorded. Call it once."""
        batches: Iterable[RowBatch] = self.rows.batches(after)
        if self._access is not None and self.request.table is None:
            batches = self._access.redacted(batches)
        if self._recorded is not None:
            batches = self._recorded.batches(batches, self.rows.patients)
        return batches

    def encoder(self) -> Encoder:
        """A new encoder of the requested format."""
        match self.request.format:
            case Format.NDJSON:
                return TextEncoder(self.rows.lines)
            case Format.CSV:
                return csv_encoder(self.rows)
            case Format.PARQUET:
                return ParquetEncoder(self.rows)

    def cancel(self) -> None:
        """Cancel the running statement, from any thread. Reading then raises `UnavailableError`."""
        self._connection.cancel()


class Exports:
    """Opens exports. Each keeps one connection of `database` and one snapshot until it is closed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def open(
        self,
        request: ExportRequest,
        saved: Snapshot | None = None,
        *,
        access: ExportAccess | None = None,
        record: ExportRecord | None = None,
    ) -> Iterator[Export]:
        """Begin an export, or resume the one that had the snapshot `saved`.

        If `Export.snapshot` is `saved`, the batches after the last saved key are exactly those that are missing.
        Otherwise rows have changed, and the export must begin again. That happens to tables whose rows are merged, once
        the checkpoint of their projection has moved.

        Without `access` everything is exported; without `record` nothing is recorded. Raises `RejectedError`,
        `AccessDeniedError`, and what `record` raises.
        """
        table = request.table
        database = self._database
        with database.foreign_snapshot() if table else database.transaction(read_only=True) as connection:
            checkpoints = open_snapshot(connection)
            log = _log_state(connection)
            if saved is not None:
                _require_same_log(saved, log)
            rows: ExportedRows
            if table is None:
                query = plan(request.filter, request.scope, visible=request.visible)
                snapshot = _event_snapshot(log, query.complete_up_to(checkpoints), saved)
                rows = EventRows(connection, query, snapshot.as_of_position)
            else:
                shape = describe(connection, table)
                if access is not None:
                    access.require_table(shape)
                snapshot = _table_snapshot(log, shape, saved)
                rows = TableRows(connection, shape, request.where, snapshot.as_of_position)
            recorded = None if record is None else RecordedExport(record)
            with recorded or nullcontext():
                yield Export(connection, request, snapshot, rows, access, recorded)


class _LogState(NamedTuple):
    size: int
    root_hash: str


def _log_state(connection: Connection) -> _LogState:
    with connection.cursor() as cursor:
        cursor.execute(_SQL["log_state"])
        [row] = cursor.fetchall()
        return _LogState(*row)


def _require_same_log(saved: Snapshot, log: _LogState) -> None:
    """Another database, or one that was restored, holds another log."""
    if log.size < saved.log_size or (log.size == saved.log_size and log.root_hash != saved.root_hash):
        raise ConfigurationError("this is not the log of the export: start the export again")


def _event_snapshot(log: _LogState, as_of: int, saved: Snapshot | None) -> Snapshot:
    if saved is None:
        return Snapshot(log_size=log.size, root_hash=log.root_hash, as_of_position=as_of)
    if as_of < saved.as_of_position:
        raise UnavailableError(f"the read models have not come to position {saved.as_of_position} yet")
    return saved


def _table_snapshot(log: _LogState, table: TableShape, saved: Snapshot | None) -> Snapshot:
    if saved is not None and (saved.projection, saved.version) == (table.projection, table.version):
        unchanged = saved.as_of_position == table.position
        extended = table.append_only and saved.as_of_position <= table.position
        if unchanged or extended:
            return saved
    return Snapshot(
        log_size=log.size,
        root_hash=log.root_hash,
        as_of_position=table.position,
        projection=table.projection,
        version=table.version,
    )
