"""Checks an analyst's SELECT before the first event: it must run, and return the declared columns."""

from __future__ import annotations

from collections.abc import Sequence

from event_store.database import Connection, Database, sql
from projections.custom.batch_sql import CustomQuery, encode_batch, line_at, run_select
from projections.custom.batch_sql_words import clock, read_words
from projections.custom.rows import WORDS
from projections.errors import RowError

_EVEN_OF_NONE = "(SELECT 1) AS one LEFT JOIN "
"""Gives a row of NULLs where the SELECT gives none, so that its columns can be read without events."""


def check_query(database: Database, query: CustomQuery) -> list[tuple[int, str]]:
    """The faults of a query, as lines and messages. Reads the query, then runs it on an empty batch."""
    words = read_words(query.text)
    found = [(line_at(query, each.at), each.message) for each in words.complaints]
    if found:
        return found
    try:
        with database.transaction(read_only=True) as connection:
            return _impure(connection, query, words.calls) or _misfits(connection, query, words.text)
    except RowError as exc:
        return [(exc.line, str(exc))]


def _impure(
    connection: Connection, query: CustomQuery, calls: Sequence[tuple[int, str]]
) -> list[tuple[int, str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT proname FROM pg_catalog.pg_proc WHERE provolatile = 'v' AND proname = ANY(%s)",
            ([name for _, name in calls],),
        )
        volatile = {row[0] for row in cursor.fetchall()}
    return [
        (
            line_at(query, at),
            f"{name} is not allowed: the same events have to give the same rows at every rebuild",
        )
        for at, name in calls
        if name in volatile or clock(name)
    ][:1]


def _misfits(connection: Connection, query: CustomQuery, text: str) -> list[tuple[int, str]]:
    """Columns that are missing, not declared, or of another type than declared."""
    table = query.table
    found = _describe(
        connection,
        query,
        text,
        f"SELECT to_jsonb(each) FROM (SELECT answer.* FROM {_EVEN_OF_NONE}",
        ") AS each",
    )
    missing = [name for name in table.names if name not in found]
    more = [name for name in found if name not in table.names]
    if missing or more:
        fault = (
            f"gives no column {missing[0]}"
            if missing
            else f"gives a column {more[0][:60]!r}, which is not declared"
        )
        return [(query.line, f"table {table.name}: the SELECT {fault}; name its columns with AS")]
    types = ", ".join(f"'{name}', pg_typeof(answer.\"{name}\")::text" for name in table.names)
    found = _describe(connection, query, text, f"SELECT jsonb_build_object({types}) FROM {_EVEN_OF_NONE}", "")
    return [
        (
            query.line,
            f"table {table.name}: column {name} is of type {found[name]}: cast it with ::{WORDS[kind]}",
        )
        for name, kind in ((column.name, column.kind) for column in table.columns)
        if found[name] != WORDS[kind]
    ]


def _describe(connection: Connection, query: CustomQuery, text: str, head: str, tail: str) -> dict[str, str]:
    rows = run_select(
        connection,
        query,
        sql.SQL(head),
        text,
        f" AS answer ON true{tail}",
        sql.SQL("value jsonb"),
        encode_batch([]),
    )
    found: dict[str, str] = rows[0][0]
    return found
