"""Exports: all events that match a filter, or all rows of a read model, in one snapshot and in little memory.

Events come in the order of the log. They never change, so an export that was cut off can go on to the end that it
had. Rows of a read model come in the order of their key; see `Opened.snapshot` for when they can go on.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Protocol

from msgspec import Struct

from domain.errors import ConfigurationError, ConflictError, Reason, RejectedError, UnavailableError
from domain.event import RecordedEvent
from event_store.database import Connection, Database
from event_store.event_reader import events_at
from event_store.statements import load
from projections.registry import open_snapshot
from queries.event_pages import positions_from
from queries.export import parquet
from queries.export.columns import EVENT_COLUMNS, Batch, ExportColumn, event_row
from queries.export.tables import TableSource, describe
from queries.export.text import csv_header, csv_lines, event_lines
from queries.filters import EventFilter, check_filter, check_identifier
from queries.prepared import PreparedQuery, plan

_SQL = load(__package__, "export.sql")

BATCH_POSITIONS = 2000
"""Positions of one look into the indexes."""
BATCH_BYTES = 2 << 20
"""Bodies that are read at once, so that memory does not follow the size of events either."""


class Format(StrEnum):
    """How rows are written."""

    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        """For HTTP."""
        return {
            Format.NDJSON: "application/x-ndjson",
            Format.CSV: "text/csv; charset=utf-8; header=present",
            Format.PARQUET: "application/vnd.apache.parquet",
        }[self]


class ExportRequest(Struct, frozen=True, kw_only=True):
    """What to export: events that match `filter`, or `table`, of which `where` holds texts that columns must equal.

    `scope` is what the asker may see of the events, see `ReadModels`, and `hidden` names the parts that are left out of
    every one; a table is exported whole.
    """

    format: Format
    filter: EventFilter = EventFilter()
    table: str | None = None
    where: tuple[tuple[str, str], ...] = ()
    scope: EventFilter | None = None
    hidden: tuple[str, ...] = ()


class Snapshot(Struct, frozen=True, kw_only=True):
    """What the log was, and up to which position the export is complete. `projection` and `version` of a table."""

    log_size: int
    root_hash: str
    as_of_position: int
    projection: str | None = None
    version: int | None = None


class Source(Protocol):
    """Where rows come from. `columns` are those of CSV and Parquet."""

    @property
    def columns(self) -> tuple[ExportColumn, ...]:
        """In the order of the values."""

    def batches(self, beyond: tuple[Any, ...] | None) -> Generator[Batch, None, None]:
        """All rows with a greater key than `beyond`, in the order of the key."""

    def lines(self, rows: Sequence[Any]) -> bytes:
        """Rows as NDJSON."""

    def values(self, rows: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Rows as values of the columns."""


class EventSource:
    """The events that match a filter."""

    columns = EVENT_COLUMNS

    def __init__(self, connection: Connection, query: PreparedQuery, as_of: int) -> None:
        self._connection = connection
        self._query = query
        self._as_of = as_of

    def batches(self, beyond: tuple[Any, ...] | None) -> Generator[Batch, None, None]:
        """See `Source`; the key is the position."""
        at = beyond[0] if beyond else -1
        while True:
            found = positions_from(self._connection, self._query, self._as_of, at, BATCH_POSITIONS)
            for part in self._parts(found):
                yield Batch(events_at(self._connection, part), (part[-1],))
            if len(found) < BATCH_POSITIONS:
                return
            at = found[-1]

    def _parts(self, positions: list[int]) -> Iterator[list[int]]:
        with self._connection.cursor() as cursor:
            cursor.execute(_SQL["body_sizes"], {"positions": positions})
            sizes = dict(cursor.fetchall())
        part: list[int] = []
        held = 0
        for position in positions:
            size = sizes.get(position, 0)
            if part and held + size > BATCH_BYTES:
                yield part
                part, held = [], 0
            part.append(position)
            held += size
        if part:
            yield part

    def lines(self, rows: Sequence[RecordedEvent]) -> bytes:
        """See `Source`."""
        return event_lines(rows)

    def values(self, rows: Sequence[RecordedEvent]) -> list[tuple[Any, ...]]:
        """See `Source`."""
        return [event_row(row) for row in rows]


class Opened:
    """An export that has begun, in its own snapshot of the database."""

    def __init__(
        self, connection: Connection, request: ExportRequest, snapshot: Snapshot, source: Source
    ) -> None:
        self.request = request
        self.snapshot = snapshot
        self.source = source
        self._connection = connection

    def cancel(self) -> None:
        """End what the database is doing for this export; from any thread. Reading then raises `UnavailableError`."""
        self._connection.cancel()

    def text(self, rows: Sequence[Any]) -> bytes:
        """Rows as NDJSON or CSV, whichever was asked for."""
        if self.request.format is Format.NDJSON:
            return self.source.lines(rows)
        return csv_lines(self.source.columns)(self.source.values(rows))

    def head(self) -> bytes:
        """What stands before the rows in NDJSON or CSV."""
        return csv_header(self.source.columns) if self.request.format is Format.CSV else b""


class Exports:
    """The door to exports. Each holds one connection of `database` and one snapshot until it is closed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def open(self, request: ExportRequest, saved: Snapshot | None = None) -> Iterator[Opened]:
        """Begin an export, or go on with the one whose snapshot was `saved`.

        When `Opened.snapshot` is `saved`, batches beyond the last one that was kept are exactly those that are missing.
        Otherwise rows have changed since, and the export has to begin anew: that happens to read models that merge
        rows, when their checkpoint has moved. Raises `RejectedError` for what can't be asked.
        """
        check_request(request)
        database = self._database
        foreign = request.table is not None
        with database.foreign_snapshot() if foreign else database.transaction(read_only=True) as connection:
            checkpoints = open_snapshot(connection)
            size, root = _log_state(connection)
            if saved is not None:
                _check_same_log(saved, size, root)
            if request.table is None:
                opened = self._events(connection, request, checkpoints, size, root, saved)
            else:
                opened = self._table(connection, request, size, root, saved)
            yield opened

    @staticmethod
    def _events(
        connection: Connection,
        request: ExportRequest,
        checkpoints: Mapping[str, int],
        size: int,
        root: str,
        saved: Snapshot | None,
    ) -> Opened:
        query = plan(request.filter, request.scope)
        as_of = query.complete_up_to(checkpoints)
        if saved is not None and as_of < saved.as_of_position:
            raise UnavailableError(f"the read models have not come to position {saved.as_of_position} yet")
        snapshot = saved or Snapshot(log_size=size, root_hash=root, as_of_position=as_of)
        source = EventSource(connection, query, snapshot.as_of_position)
        return Opened(connection, request, snapshot, source)

    @staticmethod
    def _table(
        connection: Connection, request: ExportRequest, size: int, root: str, saved: Snapshot | None
    ) -> Opened:
        table = describe(connection, request.table or "")
        snapshot = Snapshot(
            log_size=size,
            root_hash=root,
            as_of_position=table.position,
            projection=table.projection,
            version=table.version,
        )
        if saved is not None and (saved.projection, saved.version) == (table.projection, table.version):
            unchanged = saved.as_of_position == table.position
            extended = table.append_only and saved.as_of_position <= table.position
            snapshot = saved if unchanged or extended else snapshot
        return Opened(
            connection,
            request,
            snapshot,
            TableSource(connection, table, request.where, snapshot.as_of_position),
        )


def check_request(request: ExportRequest) -> ExportRequest:
    """`request` when it can be answered; raises `RejectedError` naming the field otherwise."""
    check_filter(request.filter)
    if request.table is None:
        if request.where:
            raise ConflictError(Reason.MISSING_FIELD, "where needs table", field="table")
    else:
        check_identifier("table", request.table)
        if request.filter != EventFilter():
            raise ConflictError(
                Reason.INVALID_FIELD, "filters are for events; of a table, use where", field="table"
            )
        if request.scope is not None:
            raise RejectedError(
                Reason.INVALID_FIELD, "a table is exported whole, or not at all", field="table"
            )
    if request.format is Format.PARQUET:
        parquet.require()
    return request


def _log_state(connection: Connection) -> tuple[int, str]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL["log_state"])
        [(size, root)] = cursor.fetchall()
        return size, root


def _check_same_log(saved: Snapshot, size: int, root: str) -> None:
    """A database that was restored, or another one, holds another log."""
    if size < saved.log_size or (size == saved.log_size and root != saved.root_hash):
        raise ConfigurationError("this is not the log that the export began on: begin anew")
