"""`GET /v1/projections/{name}/{table}`: rows of any live projection's tables, built-in or custom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from domain.errors import Reason, RejectedError
from queries.cursors import decode_row_cursor, encode_row_cursor
from queries.freshness import Freshness, FreshnessWaiter, least_of
from queries.live_tables.conditions import Op, TableCondition
from queries.live_tables.pages import RowPage, RowRequest
from queries.thread_pool import Threads
from web.access import Access
from web.http.problems import problem
from web.openapi.bodies import answer, problems
from web.parameters.filter_query import refuse_repeated
from web.parameters.freshness import MinPosition, Switch, WaitForPosition, WaitSeconds
from web.parameters.schemas import ROW_CURSOR
from web.rest.pages import DEFAULT_PAGE, page_link, page_size

_OWN = frozenset(
    {"order_by", "descending", "min_position", "wait_for_position", "wait_seconds", "first", "after"}
)
_DESCRIPTION = (
    "Every other parameter is a condition on a column of the table: `column=value`, or `column.ge=value` with one of"
    " `eq`, `in` (repeated), `lt`, `le`, `gt`, `ge` and `prefix`. All of them must hold. A column that is called like a"
    " parameter above is meant by `column.eq`."
)
_ROWS_EXAMPLE: dict[str, Any] = {
    "rows": [{"actor_id": "ada", "events": 2, "last_at": "2026-03-01T08:15:30.120000Z"}],
    "as_of_position": 1044,
    "next": "/v1/projections/night_reads/night_reads?first=1&after=cjE6WyJuaWdodF9yZWFkcyIsIiIsZmFsc2UsWyJhZGEiXV0",
}
_MODEL_EXAMPLE: dict[str, Any] = {
    "name": "night_reads",
    "version": 1,
    "as_of_position": 1044,
    "tables": [
        {
            "name": "night_reads",
            "key": ["actor_id"],
            "columns": [{"name": "actor_id", "type": "text", "nullable": False}],
        }
    ],
}


class RowList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of rows, complete up to `as_of_position`. `next` is a link or null."""

    rows: list[dict[str, Any]]
    as_of_position: int
    next: str | None


class ColumnDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A column. `type` is PostgreSQL's name of its type."""

    name: str
    type: str
    nullable: bool


class TableDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A table. Its rows are in the order of `key`."""

    name: str
    key: Sequence[str]
    columns: list[ColumnDescription]


class ProjectionDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A projection that is served, complete up to `as_of_position`."""

    name: str
    version: int
    as_of_position: int
    tables: list[TableDescription]


Name = Annotated[str, Path(description="The projection's name.", max_length=256, examples=["user"])]

_NO_PROJECTION = "no live projection has this name"


def projection_routes(access: Access, threads: Threads, waiting: FreshnessWaiter, max_page: int) -> APIRouter:
    """The routes that read the tables of projections."""
    router = APIRouter(prefix="/v1/projections", tags=["projections"])

    @router.get(
        "/{name}",
        operation_id="getProjection",
        summary="A projection and its tables",
        responses={
            **answer(200, ProjectionDescription, _MODEL_EXAMPLE),
            **problems(400, 403, 404, 503, missing=_NO_PROJECTION),
        },
    )
    async def get_projection(request: Request, name: Name) -> Response:
        models = await access.models_of(request)
        live = await threads.run(models.projection, name)
        if live is None:
            return problem(404, _NO_PROJECTION)
        return _json(
            msgspec.convert(live, ProjectionDescription, from_attributes=True),
        )

    @router.get(
        "/{name}/{table}",
        operation_id="listRows",
        summary="Rows of a projection's table",
        description=_DESCRIPTION,
        responses={
            **answer(200, RowList, _ROWS_EXAMPLE),
            **problems(400, 403, 404, 409, 503, missing=_NO_PROJECTION),
        },
    )
    async def list_rows(
        request: Request,
        name: Name,
        table: Annotated[
            str, Path(description="The table's name.", max_length=256, examples=["user_action"])
        ],
        first: Annotated[int, Query(ge=1, description="How many rows.")] = min(DEFAULT_PAGE, max_page),
        after: Annotated[
            str | None, Query(pattern=ROW_CURSOR, description="Only rows after this cursor.")
        ] = None,
        order_by: Annotated[
            str, Query(max_length=256, description="A column that always has one value, instead of the key.")
        ] = "",
        *,
        descending: Annotated[Switch, Query(description="The other way round.")] = False,
        min_position: MinPosition = None,
        wait_for_position: WaitForPosition = None,
        wait_seconds: WaitSeconds = None,
    ) -> Response:
        wanted = RowRequest(
            projection=name,
            table=table,
            first=page_size(first, max_page),
            conditions=_conditions(request),
            after=None if after is None else decode_row_cursor(after, table, order_by, descending=descending),
            order_by=order_by,
            descending=descending,
        )
        # First, as waiting would disclose whether it exists.
        models = await access.models_of(request)
        models.require_rows(wanted)
        freshness = Freshness(min_position, wait_for_position, wait_seconds)
        await waiting.until(freshness, least_of([name]), models=models)
        try:
            page = await threads.run(models.table_rows, wanted)
        except RejectedError as exc:
            if exc.field in {"name", "table"}:
                return problem(404, exc.message)
            raise
        freshness.compare(page.as_of_position)
        return _json(_list(request, wanted, page))

    return router


def _conditions(request: Request) -> tuple[TableCondition, ...]:
    """The conditions among the parameters. Raises `RejectedError` that names an invalid one."""
    given = [(name, value) for name, value in request.query_params.multi_items() if name not in _OWN]
    refuse_repeated(request, *(name for name, _ in given if name.endswith(f".{Op.IN}")))
    found: dict[str, TableCondition] = {}
    for name, value in given:
        column, dot, word = name.rpartition(".")
        if dot and word not in set(Op):
            raise RejectedError(
                Reason.INVALID_FIELD, f"after the column stands one of {', '.join(Op)}", field=name[:256]
            )
        op = Op(word) if dot else Op.EQ
        if op is Op.IN:
            before = found[name].value if name in found else []
            found[name] = TableCondition(column, op, [*before, value], name)
        else:
            found[name] = TableCondition(column if dot else name, op, value, name[:256])
    return tuple(found.values())


def _list(request: Request, wanted: RowRequest, page: RowPage) -> RowList:
    following = None
    if page.has_next:
        cursor = encode_row_cursor(
            wanted.table, wanted.order_by, page.cursors[-1], descending=wanted.descending
        )
        following = page_link(request, first=wanted.first, after=cursor)
    return RowList(rows=page.objects(), as_of_position=page.as_of_position, next=following)


def _json(value: RowList | ProjectionDescription) -> Response:
    headers = {"Link": f'<{value.next}>; rel="next"'} if isinstance(value, RowList) and value.next else {}
    return Response(msgspec.json.encode(value), 200, headers, "application/json")
