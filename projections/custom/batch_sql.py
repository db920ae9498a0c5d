"""Set-based SQL on a batch: runs an analyst's SELECT over the relation `batch`, isolated from everything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from domain.errors import TooSlowError
from domain.event import RecordedEvent
from domain.validation import encode_event
from event_store.database import Connection, Database, sql
from event_store.statement_errors import StatementError, TemporaryDiskError, statement_errors
from projections.binary_rows import utc
from projections.custom.batch_sql_words import read_words
from projections.custom.rows import WORDS
from projections.errors import LimitError, RowError
from projections.tables import Kind, Table

BATCH_COLUMNS = {
    "position": "bigint",
    "recorded_at": "timestamptz",
    "occurred_at": "timestamptz",
    "event_id": "uuid",
    "type": "text",
    "action": "text",
    "outcome": "text",
    "service": "text",
    "actor_id": "text",
    "actor_kind": "text",
    "actor_name": "text",
    "session": "text",
    "device_id": "text",
    "patient_ids": "text[]",
    "purposes": "text[]",
    "correlation_id": "text",
    "emergency": "boolean",
    "event": "jsonb",
}
"""The columns of `batch` and their types. `event` is the whole event, as GET /v1/events shows it."""

TIMEOUT_MS = 30_000
"""How long one SELECT may take on one batch of any size."""
MAX_ROWS = 1_000_000
"""The most rows of one batch and table. A batch has some thousand events."""

_SELECTED = ", ".join(
    f'"{name}" COLLATE "C" AS "{name}"' if type == "text" else f'"{name}"'
    for name, type in BATCH_COLUMNS.items()
)
_DEFINED = ", ".join(f'"{name}" {type}' for name, type in BATCH_COLUMNS.items())
_BATCH = f"WITH batch AS MATERIALIZED (SELECT {_SELECTED} FROM jsonb_to_recordset($1) AS each ({_DEFINED})) "
_TELLING = {
    "SyntaxError",
    "UndefinedTable",
    "UndefinedColumn",
    "UndefinedFunction",
    "UndefinedObject",
    "InvalidSchemaName",
    "AmbiguousColumn",
    "AmbiguousFunction",
    "DuplicateAlias",
    "GroupingError",
    "WindowingError",
    "DatatypeMismatch",
    "CannotCoerce",
    "IndeterminateDatatype",
    "CollationMismatch",
    "InsufficientPrivilege",
    "FeatureNotSupported",
    "InvalidCursorDefinition",
    "CardinalityViolation",
}
"""Conditions whose server message names parts of the statement, and never a value of an event."""


class CustomQuery(Struct, frozen=True):
    """The SELECT of one table. `line` is the line of the file on which its text begins."""

    table: Table
    text: str
    line: int


def run_query(
    database: Database, query: CustomQuery, events: Sequence[RecordedEvent]
) -> list[tuple[Any, ...]]:
    """The rows for these events, in the order of the table's columns.

    Raises `RowError` when the SELECT fails, `LimitError` when it takes too long or too much disk, and
    `UnavailableError` when the database is away.
    """
    columns = query.table.columns
    wanted = sql.SQL(", ").join(
        sql.SQL("answer.{}::text" if column.kind is Kind.JSON else "answer.{}").format(
            sql.Identifier(column.name)
        )
        for column in columns
    )
    types = sql.SQL(", ").join(
        sql.SQL("{} {}").format(
            sql.Identifier(column.name), sql.SQL("text" if column.kind is Kind.JSON else WORDS[column.kind])
        )
        for column in columns
    )
    with database.transaction(read_only=True) as connection:
        head = sql.SQL("SELECT {} FROM ").format(wanted)
        text = read_words(query.text).text
        rows = run_select(connection, query, head, text, " AS answer", types, encode_batch(events))
    texts = [index for index, column in enumerate(columns) if column.kind is Kind.JSON]
    return [_with_bytes(row, texts) for row in rows] if texts else rows


def encode_batch(events: Sequence[RecordedEvent]) -> str:
    """The events as JSON, from which the database function makes the relation `batch`."""
    return msgspec.json.encode([_batch_row(each) for each in events]).decode()


def _batch_row(recorded: RecordedEvent) -> dict[str, Any]:
    event = recorded.event
    return {
        "position": recorded.position,
        "recorded_at": recorded.recorded_at,
        "occurred_at": utc(event.occurred_at),
        "event_id": event.event_id,
        "type": event.type,
        "action": event.action,
        "outcome": event.outcome,
        "service": event.source.service,
        "actor_id": event.actor.id,
        "actor_kind": event.actor.kind,
        "actor_name": event.actor.name,
        "session": event.session,
        "device_id": event.device and event.device.id,
        "patient_ids": [each.id for each in event.patients],
        "purposes": event.purpose_of_use,
        "correlation_id": event.correlation_id,
        "emergency": event.emergency,
        "event": msgspec.Raw(encode_event(event)),
    }


def _with_bytes(row: tuple[Any, ...], places: Sequence[int]) -> tuple[Any, ...]:
    """JSON columns as bytes. The driver would parse them, and lose digits of numbers."""
    values = list(row)
    for place in places:
        values[place] = None if values[place] is None else values[place].encode()
    return tuple(values)


def run_select(
    connection: Connection,
    query: CustomQuery,
    head: sql.Composable,
    text: str,
    tail: str,
    types: sql.Composable,
    events: str,
) -> list[tuple[Any, ...]]:
    """Run `head (text) tail` over the events, for columns of these types."""
    with connection.cursor() as cursor:
        before = f"{_BATCH}{head.as_string(cursor)}(\n"
        # The end stands on a new line, because the text may end in a comment.
        whole = f"{before}{text}\n){tail}"
        statement = sql.SQL("SELECT * FROM audit_trail.batch_rows(%s, %s::jsonb, %s) AS found ({})").format(
            types
        )
        try:
            with statement_errors():
                cursor.execute(statement, (whole, events, MAX_ROWS))
        except TooSlowError as exc:
            raise LimitError(
                query.line, f"table {query.table.name}: the SELECT took longer than {TIMEOUT_MS / 1000:.0f} s"
            ) from exc
        except TemporaryDiskError as exc:  # the temp_file_limit of migration 0006: a retry would not help
            raise LimitError(
                query.line, f"table {query.table.name}: the SELECT took more disk than temp_file_limit"
            ) from exc
        except StatementError as exc:
            raise _failed(query, exc, len(before)) from exc
        return cursor.fetchall()


def _failed(query: CustomQuery, error: StatementError, before: int) -> RowError:
    at = (error.character or before + 1) - 1 - before
    line = line_at(query, at) if 0 <= at <= len(query.text) else query.line
    words = error.server_message if error.name in _TELLING else error.name
    return RowError(line, f"table {query.table.name}: {words}")


def line_at(query: CustomQuery, at: int) -> int:
    """The file's line that contains a character of the statement."""
    return query.line + query.text.count("\n", 0, at)
