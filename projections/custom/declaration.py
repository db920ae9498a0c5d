"""Checks the tables that an analyst's file declares, before anything is created in the database."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct

from projections import merges
from projections.custom_tables import WHERE
from projections.merges import Merge
from projections.registry import declared
from projections.tables import Column, Index, Kind, Table

NAME = re.compile(r"(?!pg_)[a-z][a-z0-9_]{0,39}")
_TABLE = re.compile(r"(?!pg_|partial_|staged_)[a-z][a-z0-9_]{0,29}")
_COLUMN = re.compile(r"[a-z][a-z0-9_]{0,28}")
_KEYS = frozenset(Kind) - {Kind.TEXTS, Kind.JSON}
_SUMMED = frozenset({Kind.BIGINT, Kind.INTEGER, Kind.SMALLINT})
"""A sum of floats depends on the order of its terms, and a rebuild has another order than the live projection."""
MAX_TABLES, MAX_COLUMNS, MAX_INDEXES = 20, 100, 20
"""The limits of the function projection_limit of migration 0008."""
MAX_INDEX_COLUMNS = 32
"""PostgreSQL has no wider index; carried columns count too."""


_BUILT_IN = re.compile(rf"({'|'.join(each.name for each in declared())})(_[vb][0-9]+)*")
"""The names that the function is_reserved_name of migration 0008 reserves."""


def is_reserved(name: str) -> bool:
    """Whether a name belongs to a built-in projection or to the schema of one of its builds."""
    return _BUILT_IN.fullmatch(name) is not None


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What PostgreSQL 18 takes only in quotes (pg_get_keywords, categories R and T) or knows in every table.
RESERVED = _words(
    """all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation
    column concurrently constraint create cross current_catalog current_date current_role current_schema current_time
    current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze
    from full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit
    localtime localtimestamp natural not notnull null offset on only or order outer overlaps placing primary references
    returning right select session_user similar some symmetric system_user table tablesample then to trailing true
    union unique user using variadic verbose when where window with
    ctid cmax cmin oid tableoid xmax xmin"""
)


class Fault(Struct, frozen=True):
    """A fault. `about` is the name in the file that it concerns."""

    about: str
    message: str


def faults(tables: Sequence[Table]) -> list[Fault]:
    """All faults, in the order of the declaration."""
    if not 1 <= len(tables) <= MAX_TABLES:
        return [Fault("tables", f"declare from 1 to {MAX_TABLES} tables")]
    names = [table.name for table in tables]
    found = [Fault(name, f"table {name} is declared twice") for name in names if names.count(name) > 1][:1]
    for table in tables:
        found.extend(_shape(table) or _meaning(table))
    return found


def _shape(table: Table) -> list[Fault]:
    """Faults of the table's shape. With one of them, nothing else can be checked."""
    name = str(table.name)[:60]
    if not _is(table.name, str) or not _TABLE.fullmatch(table.name) or table.name in RESERVED:
        return [
            Fault(
                name,
                f"{name!r} can't be a table's name: lower-case letters, digits and underscores, at most 30,"
                " no word that SQL reserves, and not beginning with pg_, partial_ or staged_",
            )
        ]
    if not _all(table.columns, Column) or not 1 <= len(table.columns) <= MAX_COLUMNS:
        return [Fault(name, f"table {name} needs a tuple of 1 to {MAX_COLUMNS} Columns")]
    if not _all(table.key, str) or not table.key:
        return [Fault(name, f"table {name} needs a key: a tuple of column names")]
    if not _all(table.indexes, Index) or not all(
        _all(each.columns, str) and each.columns for each in table.indexes
    ):
        return [
            Fault(
                name, f"the indexes of table {name} are a tuple of Indexes, each of a tuple of column names"
            )
        ]
    if not _all(table.carried, str):
        return [Fault(name, f"what table {name} carries is a tuple of column names")]
    return _sizes(table, name) or [
        Fault(
            str(column.name),
            f"table {name}: {str(column.name)[:60]!r} can't be a column's name: lower-case letters, digits and"
            " underscores, at most 29, and no word that SQL reserves",
        )
        for column in table.columns
        if not _is(column.name, str) or not _COLUMN.fullmatch(column.name) or column.name in RESERVED
    ]


def _sizes(table: Table, name: str) -> list[Fault]:
    if len(table.indexes) > MAX_INDEXES:
        return [Fault(name, f"table {name} has at most {MAX_INDEXES} indexes")]
    if len(table.key) + len(table.carried) > MAX_INDEX_COLUMNS:
        text = f"table {name}: key and carried columns together are at most {MAX_INDEX_COLUMNS}"
        return [Fault(name, text)]
    if any(len(each.columns) > MAX_INDEX_COLUMNS for each in table.indexes):
        return [Fault(name, f"table {name}: an index has at most {MAX_INDEX_COLUMNS} columns")]
    return []


def _all(values: object, kind: type) -> bool:
    return isinstance(values, tuple) and all(isinstance(each, kind) for each in values)


def _meaning(table: Table) -> list[Fault]:
    columns = {column.name: column for column in table.columns}
    found: list[Fault] = []
    found.extend(
        Fault(name, f"table {table.name}: column {name} is declared twice")
        for name in columns
        if table.names.count(name) > 1
    )
    for name in table.key:
        held = columns.get(name)
        if held is None:
            found.append(Fault(name, f"table {table.name}: the key names {name}, which is no column of it"))
        elif held.nullable or held.kind not in _KEYS:
            found.append(
                Fault(
                    name,
                    f"table {table.name}: key column {name} is neither nullable nor of kind TEXTS or JSON",
                )
            )
    for column in table.columns:
        found.extend(
            Fault(column.name, f"table {table.name}: {each}") for each in _column(table, column, columns)
        )
    if not table.merged and not ("position" in table.key and columns["position"].kind is Kind.BIGINT):
        found.append(
            Fault(
                table.name,
                f"table {table.name} has no merges, so rows are only added: its key needs the BIGINT column position"
                " (and whatever tells several rows of one event apart)",
            )
        )
    found.extend(
        Fault(name, f"table {table.name}: it carries {name[:60]!r}, which is no column of it")
        for name in table.carried
        if name not in columns
    )
    firsts = [index.columns[0] for index in table.indexes]
    for index in table.indexes:
        unknown = [name for name in index.columns if name not in columns]
        if unknown:
            found.append(
                Fault(
                    unknown[0], f"table {table.name}: an index names {unknown[0][:60]!r}, which is no column"
                )
            )
        elif firsts.count(index.columns[0]) > 1:
            found.append(
                Fault(table.name, f"table {table.name}: two indexes begin with column {index.columns[0]}")
            )
        where = WHERE.fullmatch(index.where)
        if index.where and (where is None or where["column"] not in columns):
            found.append(
                Fault(
                    index.where,
                    f"table {table.name}: an index's where is one column IS [NOT] NULL, or compared once",
                )
            )
    return found


def _column(table: Table, column: Column, columns: dict[str, Column]) -> list[str]:
    name, merge = column.name, column.merge
    if not _is(column.kind, Kind):
        return [f"the kind of column {name} is one of Kind"]
    if name in table.key:
        return [f"column {name} is of the key, and has no merge"] if merge else []
    if merge is None:
        return [f"column {name} needs a merge, since another column has one"] if table.merged else []
    return _merge(column, merge, columns)


def _merge(column: Column, merge: Merge, columns: dict[str, Column]) -> list[str]:
    name, by = column.name, columns.get(merge.by if _is(merge, Merge) else "")
    rules = {
        merges.SUM: (
            column.kind in _SUMMED and not column.nullable,
            f"column {name} with SUM is a whole number (BIGINT, say), and not nullable",
        ),
        merges.UNION: (column.kind is Kind.TEXTS, f"column {name} with UNION is of kind TEXTS"),
        merges.MIN: (column.kind is not Kind.JSON, f"column {name} of kind JSON has no MIN"),
        merges.MAX: (column.kind is not Kind.JSON, f"column {name} of kind JSON has no MAX"),
    }
    if _is(merge, Merge) and merge.by and merge.template == merges.latest(merge.by).template:
        fits = by is not None and by.merge == merges.MAX and by.kind is Kind.BIGINT
        return (
            [] if fits else [f"column {name} follows {merge.by!r}, which has to be a BIGINT column with MAX"]
        )
    fits, complaint = rules.get(
        merge, (False, f"the merge of column {name} is SUM, MIN, MAX, UNION or latest(column)")
    )
    return [] if fits else [complaint]


def _is(value: object, kind: type) -> bool:
    """A check at run time: nobody type-checks an analyst's file."""
    return isinstance(value, kind)
