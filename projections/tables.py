"""Read-model tables, declared as data: columns, keys, merges, and the DDL and SQL that follow from them.

A table is either append-only (rows are copied straight into it) or merged (rows with the same key become one). Every
merge is associative and commutative, so batches may be combined in any grouping and order. A rebuild relies on that to
work on position ranges in parallel.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import cached_property
from typing import Any

from msgspec import Struct

from projections import merges

Row = tuple[Any, ...]
Groups = dict[Any, list[Any]]
"""The values of each key, in the order of the columns; a key of one column is its value, else a tuple."""


class Kind(StrEnum):
    """A column's PostgreSQL type. Text compares by code point, in Python as in the database."""

    TEXT = 'text COLLATE "C"'
    TEXTS = 'text [] COLLATE "C"'
    BIGINT = "bigint"
    INTEGER = "integer"
    SMALLINT = "smallint"
    BOOLEAN = "boolean"
    DOUBLE = "double precision"
    TIMESTAMP = "timestamp with time zone"
    JSON = "jsonb"


class Column(Struct, frozen=True):
    """`merge` combines two values of one key. In a merged table every column outside the key has one."""

    name: str
    kind: Kind
    merge: merges.Merge | None = None
    nullable: bool = False


class Index(Struct, frozen=True):
    """An index beside the key, on columns or expressions; `where` makes it a partial index."""

    columns: tuple[str, ...]
    where: str = ""


class Table(Struct, frozen=True, dict=True):
    """A table of a projection. `key` is its primary key; it holds the position when the table is append-only.

    The key's index includes the `carried` columns, so that it answers without reading rows. `counted_in_index`: rows
    are counted in an index. That reads no rows of pages that vacuum has seen, so vacuum comes sooner than when a fifth
    of the table is new.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...] = ()
    carried: tuple[str, ...] = ()
    counted_in_index: bool = False

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in the order of a row's values."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def merged(self) -> bool:
        """Whether rows with the same key become one."""
        return any(column.merge for column in self.columns)

    @cached_property
    def fold(self) -> Callable[[Groups, Iterable[Row]], None]:
        """Puts rows into groups, one list of values per key. Compiled, as `binary_rows` compiles its encoders.

        The source holds column numbers only, and no declared text.
        """
        at = {name: index for index, name in enumerate(self.names)}
        key = ", ".join(f"c{at[name]}" for name in self.key)
        row = ", ".join(f"c{index}" for index in range(len(self.columns)))
        # LATEST compares its `by` column, which therefore changes after it.
        columns = sorted(
            ((index, column) for index, column in enumerate(self.columns) if column.merge),
            key=lambda each: not (each[1].merge and each[1].merge.by),
        )
        rules = [
            _fold_column(index, at[column.merge.by or column.name], column)
            for index, column in columns
            if column.merge
        ]
        source = "\n".join(
            (
                "def fold(groups, rows):",
                "    get = groups.get",
                f"    for ({row},) in rows:",
                f"        key = ({key}{',' if len(self.key) > 1 else ''})",
                "        held = get(key)",
                "        if held is None:",
                f"            groups[key] = [{row}]",
                "        else:",
                *(f"            {rule}" for rule in rules or ["pass"]),
            )
        )
        names: dict[str, Any] = {
            f"rule{index}": column.merge.rule for index, column in columns if column.merge
        }
        exec(source, names)  # noqa: S102 - see above  # nosec B102
        fold: Callable[[Groups, Iterable[Row]], None] = names["fold"]
        return fold

    def combine(self, rows: Iterable[Row]) -> list[Row]:
        """One row per key."""
        groups: Groups = {}
        self.fold(groups, rows)
        return list(map(tuple, groups.values()))

    def merge_partial(self) -> str:
        """The finished rows of a merged table from its partial ones, in one statement and in the order of the key."""
        names = ", ".join(self.names)
        values = ", ".join(
            f"{column.merge.over(column.name, column.kind)} AS {column.name}" if column.merge else column.name
            for column in self.columns
        )
        key = ", ".join(self.key)
        return f"INSERT INTO {self.name} ({names}) SELECT {values} FROM {partial_name(self)} GROUP BY {key}"

    def merge_staged(self, schema: str) -> str:
        """The upsert of the staged rows; at most one staged row per key."""
        names = ", ".join(self.names)
        updates = ", ".join(
            f"{column.name} = {column.merge.sql(column.name)}" for column in self.columns if column.merge
        )
        return (
            f"INSERT INTO {schema}.{self.name} AS held ({names}) SELECT {names} FROM {staging_name(self)}"
            f" ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {updates}"
        )


def _fold_column(index: int, by: int, column: Column) -> str:
    """The statement that merges `c<index>` into `held[<index>]`; the most frequent rules without a call."""
    new, held = f"c{index}", f"held[{index}]"
    assert column.merge is not None
    if column.merge is merges.SUM:
        return f"{held} += {new}"
    if (column.merge is merges.MIN or column.merge is merges.MAX) and not column.nullable:
        return f"if {new} {'<' if column.merge is merges.MIN else '>'} {held}: {held} = {new}"
    if column.merge is merges.UNION:
        return f"if {new} != {held}: {held} = rule{index}({held}, {new}, None, None)"
    return f"{held} = rule{index}({held}, {new}, held[{by}], c{by})"


def create_table(table: Table) -> str:
    """The table without keys and indexes, for a bulk load. Its schema is the first of the search path."""
    columns = ", ".join(
        f"{column.name} {column.kind}{'' if column.nullable else ' NOT NULL'}" for column in table.columns
    )
    options = ""
    if table.merged:  # rows are updated in place: room on the page keeps the updates out of the indexes
        options = " WITH (fillfactor = 80)"
    elif table.counted_in_index:
        options = " WITH (autovacuum_vacuum_insert_scale_factor = 0.02)"
    return f"CREATE TABLE {table.name} ({columns}){options}"


def create_indexes(table: Table) -> list[str]:
    """The primary key and the indexes, of an empty table."""
    key = f"ALTER TABLE {table.name} ADD PRIMARY KEY {_key_columns(table)}"
    return [key, *(_create_index(table, index) for index in table.indexes)]


def bulk_indexes(table: Table) -> dict[str, str]:
    """The same by name. The statements may run side by side; `adopt_key` comes last."""
    key = f"CREATE UNIQUE INDEX {key_name(table)} ON {table.name} {_key_columns(table)}"
    return {key_name(table): key} | {
        _index_name(table, index): _create_index(table, index) for index in table.indexes
    }


def _key_columns(table: Table) -> str:
    carried = f" INCLUDE ({', '.join(table.carried)})" if table.carried else ""
    return f"({', '.join(table.key)}){carried}"


def key_name(table: Table) -> str:
    """PostgreSQL's name for the index of the primary key."""
    return f"{table.name}_pkey"


def adopt_key(table: Table) -> str:
    """The unique index becomes the primary key."""
    name = key_name(table)
    return f"ALTER TABLE {table.name} ADD CONSTRAINT {name} PRIMARY KEY USING INDEX {name}"


def _index_name(table: Table, index: Index) -> str:
    return re.sub(r"\W+", "_", "_".join((table.name, "by", index.columns[0])))


def _create_index(table: Table, index: Index) -> str:
    where = f" WHERE {index.where}" if index.where else ""
    return f"CREATE INDEX {_index_name(table, index)} ON {table.name} ({', '.join(index.columns)}){where}"


def partial_name(table: Table) -> str:
    """The table of a loading build with several partial rows per key, one for each range that had the key."""
    return f"partial_{table.name}"


def create_partial(table: Table) -> str:
    """The table of partial rows. It has no keys and no indexes, and is dropped once its rows are merged."""
    columns = ", ".join(f"{column.name} {column.kind}" for column in table.columns)
    return f"CREATE TABLE {partial_name(table)} ({columns})"


def staging_name(table: Table) -> str:
    """The session's temporary table to which a batch is copied before the merge."""
    return f"staged_{table.name}"


def create_staging(table: Table, schema: str) -> str:
    """A session's staging table for `table` of `schema`."""
    return f"CREATE TEMPORARY TABLE {staging_name(table)} (LIKE {schema}.{table.name}) ON COMMIT DELETE ROWS"
