"""Conditions on the columns of a projection's table, as SQL with parameters. Names are the database's, quoted."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct

from domain.errors import Reason, RejectedError
from event_store.database import sql
from projections.custom.rows import WORDS
from projections.tables import Kind
from queries.filters.event_filter import MAX_VALUES
from queries.live_tables.values import column_value

KINDS = {word: kind for kind, word in WORDS.items()}
"""The kind of each PostgreSQL type."""
MAX_CONDITIONS = 20


class TableColumn(Struct, frozen=True):
    """A column. `type` is the name of its type in PostgreSQL."""

    name: str
    type: str
    nullable: bool

    @property
    def kind(self) -> Kind:
        """The kind that was declared."""
        return KINDS[self.type]


class LiveTable(Struct, frozen=True):
    """A table of a live build. `key` is its primary key, and the default order of its rows."""

    name: str
    columns: tuple[TableColumn, ...]
    key: tuple[str, ...]

    def column(self, name: str) -> TableColumn | None:
        """The column of this name."""
        return next((each for each in self.columns if each.name == name), None)


class Op(StrEnum):
    """How a column is compared with a value."""

    EQ = "eq"
    IN = "in"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    PREFIX = "prefix"


_SIGNS = {Op.EQ: "=", Op.LT: "<", Op.LE: "<=", Op.GT: ">", Op.GE: ">=", Op.PREFIX: "^@"}


class TableCondition(Struct, frozen=True):
    """A condition on a column. `value` is JSON or text; a list for IN; None with EQ matches rows without a value.

    `argument` is the client's name for this condition, for errors.
    """

    column: str
    op: Op
    value: Any
    argument: str


def conditions_of(
    table: LiveTable, wanted: Sequence[TableCondition]
) -> tuple[list[sql.Composable], list[Any]]:
    """The conditions, and their parameters. Raises `RejectedError` that names the one at fault."""
    if len(wanted) > MAX_CONDITIONS:
        raise RejectedError(Reason.INVALID_FIELD, f"at most {MAX_CONDITIONS} conditions", field="filter")
    found: list[sql.Composable] = []
    values: list[Any] = []
    for each in wanted:
        column = table.column(each.column)
        if column is None:
            known = ", ".join(column.name for column in table.columns)
            raise RejectedError(
                Reason.UNKNOWN_FIELD,
                f"table {table.name} has no such column; it has {known}",
                field=each.argument,
            )
        found.append(_condition(column, each, values))
    return found, values


def _condition(column: TableColumn, wanted: TableCondition, values: list[Any]) -> sql.Composable:
    name, op, argument = sql.Identifier(column.name), wanted.op, wanted.argument
    if column.kind is Kind.JSON or (column.kind is Kind.TEXTS and op not in {Op.EQ, Op.IN}):
        raise RejectedError(
            Reason.INVALID_FIELD, f"a column of type {column.type} is not compared so", field=argument
        )
    if op is Op.PREFIX and column.kind is not Kind.TEXT:
        raise RejectedError(Reason.INVALID_FIELD, "only a text has a prefix", field=argument)
    if op is Op.EQ and wanted.value is None:
        return sql.SQL("{} IS NULL").format(name)
    if op is Op.IN:
        if not isinstance(wanted.value, list) or not 1 <= len(wanted.value) <= MAX_VALUES:
            raise RejectedError(Reason.INVALID_FIELD, f"a list of 1 to {MAX_VALUES} values", field=argument)
        many = [column_value(column.kind, value, argument) for value in wanted.value]
        if column.kind is Kind.TEXTS:
            values.append(many)
            return sql.SQL("{} && %s::text[]").format(name)
        values.append(tuple(many))
        return sql.SQL("{} IN %s").format(name)
    values.append(column_value(column.kind, wanted.value, argument))
    if column.kind is Kind.TEXTS:
        return sql.SQL("%s = ANY({})").format(name)
    return sql.SQL("{} {} %s").format(name, sql.SQL(_SIGNS[op]))
