"""The tables of custom and built-in projections in the schema, and pages of their rows."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import strawberry
from strawberry.scalars import JSON

from graphql_api.context import Info
from graphql_api.errors import QueryError, translated
from graphql_api.types.connection import PageInfo
from graphql_api.types.descriptions import described, documented
from graphql_api.types.event_order import Direction
from graphql_api.types.scalars import Long
from queries.cursors import decode_row_cursor, encode_row_cursor
from queries.error_codes import Code
from queries.live_tables.conditions import LiveTable, Op, TableCondition
from queries.live_tables.pages import LiveProjection, RowRequest


@strawberry.enum(name="ComparisonOp", description="How a column's value is compared with the given one.")
class ComparisonOp(Enum):
    """The operators of a filter."""

    EQ = Op.EQ
    IN = Op.IN
    LT = Op.LT
    LE = Op.LE
    GT = Op.GT
    GE = Op.GE
    PREFIX = Op.PREFIX


@strawberry.input(name="RowCondition", description="A condition on a column's value.")
class RowCondition:
    """One condition."""

    column: str = strawberry.field(description="A column of the table.")
    op: ComparisonOp = strawberry.field(
        default=ComparisonOp.EQ,
        description="The operator. For a column of type text[], EQ and IN check whether it contains a value.",
    )
    value: JSON | None = strawberry.field(
        default=None,
        description="The value: text, number, boolean, or a time as text; a list with IN; null with EQ for none.",
    )


@strawberry.input(
    name="RowOrder", description="The order of rows. Rows with equal values are in the order of the key."
)
class RowOrder:
    """The order of a page."""

    column: str = strawberry.field(description="A column without nulls.")
    direction: Direction = strawberry.field(default=Direction.ASC, description="Ascending or descending.")


@documented
class TableColumn:
    """A column of a projection's table."""

    name: str = described("Its name.")
    type: str = described("PostgreSQL's name of its type.")
    nullable: bool = described("Whether a row may have no value in it.")


@documented
class ProjectionTable:
    """A table of a projection."""

    name: str = described("Its name.")
    key: list[str] = described("The columns whose values tell its rows apart, and order them.")
    columns: list[TableColumn] = described("Its columns.")


@documented
class Row:
    """A row of a table."""

    values: JSON = described("An object from column to value.")


@documented
class RowEdge:
    """A row in a page, with its cursor."""

    # An object, and no scalar: Relay's `@connection` accepts no other node.
    node: Row = described("The row.")
    cursor: str = described("The opaque cursor of this row, for `after` and `before`.")


@documented
class RowConnection:
    """A page of a table's rows."""

    edges: list[RowEdge] = described("The rows with their cursors.")
    nodes: list[JSON] = described("The rows, as objects from column to value.")
    page_info: PageInfo = described("How to ask for the next page.")
    as_of_position: Long = described("The page is complete up to this position.")


async def _rows(
    self: ProjectionModel,
    info: Info,
    first: Annotated[
        int | None,
        strawberry.argument(
            description="How many rows, from the beginning. Either this or `last` is required."
        ),
    ] = None,
    table: Annotated[
        str | None, strawberry.argument(description="The table; optional if there is only one.")
    ] = None,
    after: Annotated[str | None, strawberry.argument(description="Only rows after this cursor.")] = None,
    filter: Annotated[
        list[RowCondition] | None, strawberry.argument(description="Conditions, which must all hold.")
    ] = None,
    order_by: Annotated[
        RowOrder | None, strawberry.argument(description="The order, if not that of the key.")
    ] = None,
    last: Annotated[int | None, strawberry.argument(description="How many rows, from the end.")] = None,
    before: Annotated[str | None, strawberry.argument(description="Only rows before this cursor.")] = None,
) -> RowConnection:
    chosen = table if table is not None else self.tables[0].name if len(self.tables) == 1 else None
    if chosen is None:
        names = ", ".join(each.name for each in self.tables)
        raise QueryError(
            Code.BAD_USER_INPUT, f"this projection has several tables: {names}", argument="table"
        )
    if (first is None) == (last is None):
        raise QueryError(Code.BAD_USER_INPUT, "give exactly one of `first` and `last`", argument="first")
    size = info.context.page_size(first) if first is not None else info.context.page_size(last or 0, "last")
    order = order_by.column if order_by else ""
    descending = order_by is not None and order_by.direction is Direction.DESC
    with translated():
        lower = None if after is None else decode_row_cursor(after, chosen, order, descending=descending)
        upper = (
            None
            if before is None
            else decode_row_cursor(before, chosen, order, descending=descending, argument="before")
        )
    request = RowRequest(
        projection=self.name,
        table=chosen,
        first=size,
        conditions=tuple(
            TableCondition(each.column, each.op.value, each.value, f"filter.{index}")
            for index, each in enumerate(filter or ())
        ),
        after=lower,
        before=upper,
        backward=last is not None,
        order_by=order,
        descending=descending,
    )
    page = await info.context.read(info.context.models.table_rows, request)
    cursors = [encode_row_cursor(chosen, order, values, descending=descending) for values in page.cursors]
    rows = [JSON(row) for row in page.objects()]
    return RowConnection(
        edges=[
            RowEdge(node=Row(values=row), cursor=cursor) for row, cursor in zip(rows, cursors, strict=True)
        ],
        nodes=rows,
        page_info=PageInfo(
            has_next_page=page.has_next if last is None else before is not None,
            has_previous_page=after is not None if last is None else page.has_next,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
        ),
        as_of_position=Long(page.as_of_position),
    )


@documented
class ProjectionModel:
    """A live projection, custom or built in, and its tables."""

    name: str = described("Its name.")
    version: int = described("The version of the code that made its tables.")
    as_of_position: Long = described(
        "Its tables are complete up to this position; -1 when nothing is applied yet."
    )
    tables: list[ProjectionTable] = described("Its tables.")
    rows: RowConnection = strawberry.field(resolver=_rows, description="A page of one table's rows.")


def model_from(live: LiveProjection) -> ProjectionModel:
    """The projection as the schema has it."""
    return ProjectionModel(
        name=live.name,
        version=live.version,
        as_of_position=Long(live.as_of_position),
        tables=[_table(table) for table in live.tables],
    )


def _table(table: LiveTable) -> ProjectionTable:
    return ProjectionTable(
        name=table.name,
        key=list(table.key),
        columns=[
            TableColumn(name=each.name, type=each.type, nullable=each.nullable) for each in table.columns
        ],
    )
