"""Tables of a custom projection: described as data. Functions of the database check the description and make them.

The role of a custom projection can't create anything itself, so its code can't run in the session of another role.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from event_store.database import CUSTOM_ROLE_PREFIX, Cursor, only
from event_store.statements import load
from projections.tables import Index, Table, bulk_indexes

_SQL = load(__package__, "custom_tables.sql")

WHERE = re.compile(
    r"(?P<column>[a-z][a-z0-9_]*)"
    r"(?: (?P<null>IS NOT NULL|IS NULL)| (?P<op>=|<>|<|>) (?:'(?P<text>[\w .:/-]*)'|(?P<number>-?\d+)))?"
)
"""The condition of an index: one column, compared with nothing or with one value."""


def custom_role(cursor: Cursor) -> str:
    """The name of the custom projection whose role the session has; empty in any other role."""
    cursor.execute("SELECT current_user")
    role = str(only(cursor))
    return role.removeprefix(CUSTOM_ROLE_PREFIX) if role.startswith(CUSTOM_ROLE_PREFIX) else ""


def make_tables(cursor: Cursor, name: str, schema: str, tables: Sequence[Table], *, indexed: bool) -> None:
    """Make the schema and the tables of a build. Without `indexed`, a rebuild loads them first."""
    described = msgspec.json.encode([describe(table) for table in tables]).decode()
    cursor.execute(_SQL["make_schema"], {"name": name, "schema": schema})
    cursor.execute(
        _SQL["make_tables"], {"name": name, "schema": schema, "tables": described, "loading": not indexed}
    )


def index_table(cursor: Cursor, name: str, schema: str, table: Table, index: str) -> None:
    """Make one index of a loaded table, by its name."""
    number = list(bulk_indexes(table)).index(index)
    described = msgspec.json.encode(describe(table)).decode()
    cursor.execute(
        _SQL["index_table"], {"name": name, "schema": schema, "table": described, "number": number}
    )


def finish(cursor: Cursor, name: str, schema: str, table: Table) -> None:
    """Make the unique index the primary key, and analyse the table."""
    cursor.execute(_SQL["finish_table"], {"name": name, "schema": schema, "table": table.name})


def drop_partial(cursor: Cursor, name: str, schema: str, table: Table) -> None:
    """Drop the partial rows of a merged table."""
    cursor.execute(_SQL["drop_partial"], {"name": name, "schema": schema, "table": table.name})


def stage(cursor: Cursor, name: str, schema: str, table: Table) -> None:
    """Make the session's staging table."""
    cursor.execute(_SQL["stage_table"], {"name": name, "schema": schema, "table": table.name})


def drop_schema(cursor: Cursor, name: str, schema: str) -> None:
    """Drop all tables of a build."""
    cursor.execute(_SQL["drop_schema"], {"name": name, "schema": schema})


def delete_build(cursor: Cursor, name: str, number: int) -> bool:
    """Delete a build from the registry; False when it is live, or gone."""
    cursor.execute(_SQL["delete_build"], {"name": name, "build": number})
    return bool(only(cursor))


def forget_ranges(cursor: Cursor, name: str, number: int) -> None:
    """Delete the ranges of a build that is loaded."""
    cursor.execute(_SQL["forget_ranges"], {"name": name, "build": number})


def describe(table: Table) -> dict[str, Any]:
    """A table as the functions of migration 0008 take it."""
    return {
        "name": table.name,
        "merged": table.merged,
        "key": table.key,
        "carried": table.carried,
        "columns": [
            {"name": column.name, "kind": column.kind.name.lower(), "nullable": column.nullable}
            for column in table.columns
        ],
        "indexes": [
            {"columns": index.columns, "where": _condition(index) if index.where else None}
            for index in table.indexes
        ],
    }


def _condition(index: Index) -> dict[str, str | None]:
    found = WHERE.fullmatch(index.where)
    if found is None:
        raise ValueError("an index's where is one column IS [NOT] NULL, or compared once")
    op = found["null"] or found["op"] or "IS TRUE"
    return {"column": found["column"], "op": op, "text": found["text"], "number": found["number"]}
