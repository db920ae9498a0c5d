"""Set-based SQL on a batch: an analyst's SELECT over the relation `batch`, run where it can do nothing but that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import psycopg2
from msgspec import Struct
from psycopg2 import errors, sql

from domain.errors import UnavailableError
from domain.event import RecordedEvent
from domain.validation import encode_event
from event_store.database import Connection, Database
from projections.encoding import utc
from projections.own_errors import RowError
from projections.own_rows import WORDS
from projections.own_sql_words import clock, read_words
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
"""What `batch` has, and of which type. `event` is the whole event, as GET /v1/events shows it."""

TIMEOUT_MS = 30_000
"""How long one SELECT may take on one batch; half of a batch may be quicker, so it is halved before it is given up."""
MAX_ROWS = 1_000_000
"""Rows of one batch and table; a batch has some thousand events."""

_SELECTED = ", ".join(
    f'"{name}" COLLATE "C" AS "{name}"' if type == "text" else f'"{name}"'
    for name, type in BATCH_COLUMNS.items()
)
_DEFINED = ", ".join(f'"{name}" {type}' for name, type in BATCH_COLUMNS.items())
_BATCH = f"WITH batch AS MATERIALIZED (SELECT {_SELECTED} FROM jsonb_to_recordset($1) AS each ({_DEFINED})) "
_EVEN_OF_NONE = "(SELECT 1) AS one LEFT JOIN "
"""At least one row, of NULLs: what a SELECT gives can be looked at without events."""
_TELLING = (
    errors.SyntaxError,
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.UndefinedFunction,
    errors.UndefinedObject,
    errors.InvalidSchemaName,
    errors.AmbiguousColumn,
    errors.AmbiguousFunction,
    errors.DuplicateAlias,
    errors.GroupingError,
    errors.WindowingError,
    errors.DatatypeMismatch,
    errors.CannotCoerce,
    errors.IndeterminateDatatype,
    errors.CollationMismatch,
    errors.InsufficientPrivilege,
    errors.FeatureNotSupported,
    errors.InvalidCursorDefinition,
    errors.CardinalityViolation,
)
"""The server's words for these name parts of the statement, and never a value of an event."""


class OwnQuery(Struct, frozen=True):
    """One table's SELECT, and the line of the file on which its text begins."""

    table: Table
    text: str
    line: int


def check_query(database: Database, query: OwnQuery) -> list[tuple[int, str]]:
    """What is wrong with a query, as lines and messages, found by reading it and by running it on an empty batch."""
    words = read_words(query.text)
    found = [(_line(query, each.at), each.message) for each in words.complaints]
    if found:
        return found
    try:
        with database.transaction(read_only=True) as connection:
            return _impure(connection, query, words.calls) or _misfits(connection, query, words.text)
    except RowError as exc:
        return [(exc.line, str(exc))]


def run_query(database: Database, query: OwnQuery, events: Sequence[RecordedEvent]) -> list[tuple[Any, ...]]:
    """The rows for these events, in the order of the table's columns.

    Raises `RowError` when the SELECT fails or takes too long, `UnavailableError` when the database is away.
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
        rows = _ask(connection, query, head, text, " AS answer", types, _encode(events))
    texts = [index for index, column in enumerate(columns) if column.kind is Kind.JSON]
    return [_with_bytes(row, texts) for row in rows] if texts else rows


def _encode(events: Sequence[RecordedEvent]) -> str:
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
    """JSON as its text, which the driver would else take apart and lose digits of numbers."""
    values = list(row)
    for place in places:
        values[place] = None if values[place] is None else values[place].encode()
    return tuple(values)


def _ask(
    connection: Connection,
    query: OwnQuery,
    head: sql.Composable,
    text: str,
    tail: str,
    types: sql.Composable,
    events: str,
) -> list[tuple[Any, ...]]:
    """Run `head (text) tail` over the events, for columns of these types."""
    with connection.cursor() as cursor:
        before = f"{_BATCH}{head.as_string(cursor)}(\n"
        # A line of its own for the end, since the text may end in a comment.
        whole = f"{before}{text}\n){tail}"
        statement = sql.SQL("SELECT * FROM audit_trail.batch_rows(%s, %s::jsonb, %s) AS found ({})").format(
            types
        )
        try:
            cursor.execute(statement, (whole, events, MAX_ROWS))
        except errors.QueryCanceled as exc:
            raise RowError(
                query.line,
                f"table {query.table.name}: the SELECT took longer than it may, {TIMEOUT_MS / 1000:.0f} s",
            ) from exc
        except (psycopg2.InterfaceError, psycopg2.OperationalError) as exc:
            raise UnavailableError("the database is away") from exc
        except psycopg2.Error as exc:
            raise _failed(query, exc, len(before)) from exc
        return cursor.fetchall()


def _failed(query: OwnQuery, error: psycopg2.Error, before: int) -> RowError:
    at = int(error.diag.internal_position or before + 1) - 1 - before
    line = _line(query, at) if 0 <= at <= len(query.text) else query.line
    words = error.diag.message_primary if isinstance(error, _TELLING) else type(error).__name__
    return RowError(line, f"table {query.table.name}: {words}")


def _line(query: OwnQuery, at: int) -> int:
    return query.line + query.text.count("\n", 0, at)


def _impure(
    connection: Connection, query: OwnQuery, calls: Sequence[tuple[int, str]]
) -> list[tuple[int, str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT proname FROM pg_catalog.pg_proc WHERE provolatile = 'v' AND proname = ANY(%s)",
            ([name for _, name in calls],),
        )
        volatile = {row[0] for row in cursor.fetchall()}
    return [
        (
            _line(query, at),
            f"{name} is not allowed: the same events have to give the same rows at every rebuild",
        )
        for at, name in calls
        if name in volatile or clock(name)
    ][:1]


def _misfits(connection: Connection, query: OwnQuery, text: str) -> list[tuple[int, str]]:
    """Columns that the SELECT has too many or too few, and those of another type than declared."""
    table = query.table
    found = _look(
        connection,
        query,
        text,
        f"SELECT to_jsonb(each) FROM (SELECT answer.* FROM {_EVEN_OF_NONE}",
        ") AS each",
    )
    missing = [name for name in table.names if name not in found]
    more = [name for name in found if name not in table.names]
    if missing or more:
        said = (
            f"gives no column {missing[0]}"
            if missing
            else f"gives a column {more[0][:60]!r}, which is not declared"
        )
        return [(query.line, f"table {table.name}: the SELECT {said}; name its columns with AS")]
    types = ", ".join(f"'{name}', pg_typeof(answer.\"{name}\")::text" for name in table.names)
    found = _look(connection, query, text, f"SELECT jsonb_build_object({types}) FROM {_EVEN_OF_NONE}", "")
    return [
        (
            query.line,
            f"table {table.name}: column {name} is of type {found[name]}: cast it with ::{WORDS[kind]}",
        )
        for name, kind in ((column.name, column.kind) for column in table.columns)
        if found[name] != WORDS[kind]
    ]


def _look(connection: Connection, query: OwnQuery, text: str, head: str, tail: str) -> dict[str, str]:
    rows = _ask(
        connection,
        query,
        sql.SQL(head),
        text,
        f" AS answer ON true{tail}",
        sql.SQL("value jsonb"),
        _encode([]),
    )
    found: dict[str, str] = rows[0][0]
    return found
