"""`GET /v1/export`: all events that match, or a read model's rows, as one stream.

The length is not known in advance, so the answer is chunked (RFC 9112, section 7.1). When the export breaks off, the
connection is closed without the last chunk: an HTTP client reports an incomplete answer, and a Parquet file lacks its
footer. With `manifest=true` NDJSON also ends in a line that only a complete export has.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from functools import partial
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from domain.errors import ConfigurationError, ConflictError, Reason, RejectedError, UnauthenticatedError
from queries.export.manifest import query_of
from queries.export.pipeline import Export, Exports
from queries.export.request import ExportRequest, Format
from queries.export.stream import stream
from queries.thread_pool import Threads
from web.access import Access
from web.authentication.long_responses import EXPIRED, seconds_left
from web.authentication.middleware import REALM, principal_of
from web.http.problems import problem
from web.openapi.bodies import EVENT_EXAMPLE, problems
from web.parameters.filter_query import FilterQuery, refuse_repeated, renamed
from web.parameters.freshness import Switch
from web.parameters.schemas import NO_NUL
from web.read_audit.access_record import access_record_of
from web.read_audit.export_record import HttpExportRecord
from web.settings import WebSettings

log = structlog.get_logger(__name__)

_CANCEL_SECONDS = 0.2


class ExportQuery(FilterQuery):
    """The filters of `GET /v1/events`, and the parameters of an export."""

    format: Format = Field(default=Format.NDJSON, description="How rows are written.")
    table: str | None = Field(
        default=None,
        max_length=256,
        description="A table of a live projection, instead of events.",
        json_schema_extra={"minLength": 1, "pattern": NO_NUL},
    )
    where: list[str] = Field(
        default_factory=list,
        description="COLUMN=VALUE that rows of the table must have; may be repeated.",
        json_schema_extra={"items": {"type": "string", "pattern": "^[^=\\u0000]*=[^\\u0000]*$"}},
    )
    manifest: Switch = Field(default=False, description="NDJSON: a last line that says what the export is.")

    def request(self) -> ExportRequest:
        """The requested export. Raises `RejectedError`, and `ConfigurationError` without pyarrow."""
        if self.manifest and self.format is not Format.NDJSON:
            raise ConflictError(Reason.INVALID_FIELD, "only NDJSON has a last line for it", field="manifest")
        pairs = [text.partition("=") for text in self.where]
        if any(not equal for _, equal, _ in pairs):
            raise RejectedError(Reason.INVALID_FIELD, "give COLUMN=VALUE", field="where")
        return ExportRequest(
            format=self.format,
            filter=self.filter(),
            table=self.table,
            where=tuple((name, value) for name, _, value in pairs),
        )


def export_routes(exports: Exports, access: Access, threads: Threads, settings: WebSettings) -> APIRouter:
    """The route. No other route may use `threads`: an export occupies one for as long as it runs."""
    router = APIRouter(prefix="/v1/export", tags=["events"])
    places = asyncio.Semaphore(settings.max_exports)

    @router.get(
        "",
        operation_id="exportEvents",
        summary="All events that match, or a read model's rows, as a file",
        response_class=Response,
        responses={
            200: {
                "description": "OK",
                "content": {format.media_type: _documented(format) for format in Format},
            },
            **problems(400, 403, 409, 501, 503),
        },
    )
    async def export(request: Request, query: Annotated[ExportQuery, Query()]) -> Response:
        refuse_repeated(request, "where")
        try:
            wanted = query.request()
        except ConfigurationError as exc:
            return problem(501, str(exc))
        except RejectedError as exc:
            raise renamed(exc) from exc
        scoped = await access.export_of(request, wanted)
        if places.locked():
            return problem(
                503,
                f"{settings.max_exports} exports are running, and no more may at once; try again",
                headers={"Retry-After": str(settings.retry_after)},
            )
        access_record = access_record_of(request)
        record = None if access_record is None else HttpExportRecord(access_record, query_of(wanted))
        opening = partial(exports.open, scoped.request, access=scoped, record=record)
        left = seconds_left(principal_of(request.scope))
        return _Download(opening, wanted, query.manifest, threads, places, settings.export_stall, left)

    return router


def _documented(format: Format) -> dict[str, Any]:
    examples = {
        Format.NDJSON: json.dumps(EVENT_EXAMPLE) + "\n",
        Format.CSV: "position,event_id,type\r\n1042,0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a01,record.read\r\n",
    }
    if format in examples:
        return {"schema": {"type": "string"}, "example": examples[format]}
    return {"schema": {"type": "string", "format": "binary"}}


class _Download(Response):
    """The sink: it reads a piece in a thread, sends it, reads the next.

    It cancels the query when the client disconnects or stalls, and when the token expires, in `seconds`.
    """

    def __init__(
        self,
        opening: Callable[[], AbstractContextManager[Export]],
        request: ExportRequest,
        manifest: bool,
        threads: Threads,
        places: asyncio.Semaphore,
        stall: float,
        seconds: float | None,
    ) -> None:
        super().__init__(media_type=request.format.media_type)
        del self.headers["content-length"]
        self._open = opening
        self._request = request
        self._manifest = manifest
        self._threads = threads
        self._places = places
        self._stall = stall
        self._ends = None if seconds is None else time.monotonic() + seconds
        self._started = False
        self._has_place = False
        self._stack = ExitStack()
        self._export: Export | None = None
        self._pieces: Iterator[bytes] = iter(())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the export. An error before the first byte is raised, and becomes a problem answer."""
        await self._places.acquire()
        self._has_place = True
        away = asyncio.create_task(_away(receive))
        sending = asyncio.create_task(self._send_all(send))
        try:
            left = None if self._ends is None else max(0.0, self._ends - time.monotonic())
            await asyncio.wait((away, sending), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            elif away.done():
                log.info("export_client_gone")
            else:
                sending.cancel()
                await asyncio.wait((sending,))
                await self._expire(scope, receive, send)
        except UnauthenticatedError:
            log.info("export_token_ended")  # the answer lacks its end, and the connection is closed
        finally:
            away.cancel()
            sending.cancel()
            await asyncio.wait((away, sending))
            if not sending.cancelled():
                sending.exception()  # handled above, or of no use to a client that has gone
            await self._close()

    async def _expire(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._started:
            # Refused and recorded as each part after the token's expiry; raises `UnauthenticatedError`.
            await send({"type": "http.response.body", "body": b"", "more_body": True})
        else:
            await problem(401, EXPIRED, headers={"WWW-Authenticate": REALM})(scope, receive, send)

    async def _send_all(self, send: Send) -> None:
        first = await self._step(self._begin)
        assert self._export is not None
        snapshot = self._export.snapshot
        self.headers["X-Log-Size"] = str(snapshot.log_size)
        self.headers["X-Root-Hash"] = snapshot.root_hash
        self.headers["X-As-Of-Position"] = str(snapshot.as_of_position)
        name = self._request.table or "events"
        self.headers["Content-Disposition"] = f'attachment; filename="{name}.{self._request.format}"'
        self._started = True
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        piece: bytes | None = first
        while piece is not None:
            # The server waits here until the client has taken what was sent before.
            async with asyncio.timeout(self._stall):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await self._step(self._next)
        # Before the end is sent: a client that has the whole answer may start the next export at once.
        await self._close()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _close(self) -> None:
        try:
            await self._threads.run(self._stack.close)
        finally:
            if self._has_place:
                self._has_place = False
                self._places.release()

    async def _step(self, function: Callable[[], bytes | None]) -> bytes | None:
        """Make one blocking call. It is over when this returns, also after a cancellation."""
        call = asyncio.ensure_future(self._threads.run(function))
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            # Repeated: a call is several statements, and between two of them there is nothing to cancel.
            while not call.done():
                await self._threads.run(self._cancel)
                await asyncio.wait((call,), timeout=_CANCEL_SECONDS)
            call.exception()
            raise

    def _begin(self) -> bytes | None:
        self._export = self._stack.enter_context(self._open())
        self._pieces = self._stack.enter_context(closing(stream(self._export, manifest=self._manifest)))
        return self._next()

    def _next(self) -> bytes | None:
        return next(self._pieces, None)

    def _cancel(self) -> None:
        if self._export is not None:
            self._export.cancel()


async def _away(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
