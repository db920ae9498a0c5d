"""`GET /v1/export`: all events that match, or a read model's rows, as one stream.

The length is not known before, so the answer is chunked (RFC 9112, section 7.1). When the export breaks off, the
connection is closed without the last chunk: an HTTP client reports an incomplete answer, and a Parquet file lacks its
footer. With `manifest=true` NDJSON also ends in a line that only a whole export has.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from typing import Annotated, Any, Protocol

import structlog
from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from domain.errors import ConfigurationError, ConflictError, Reason, RejectedError, UnauthenticatedError
from queries.export.batches import ExportRequest, Format, Opened, check_request
from queries.export.stream import stream
from queries.thread_pool import Threads
from web.access import Access
from web.http.problems import problem
from web.openapi.bodies import EVENT_EXAMPLE, problems
from web.parameters.filter_query import FilterQuery, refuse_repeated, renamed
from web.parameters.freshness import Switch
from web.parameters.schemas import NO_NUL
from web.read_audit.access_record import access_record_of
from web.read_audit.export_record import RecordedExports
from web.settings import WebSettings

log = structlog.get_logger(__name__)

_CANCEL_SECONDS = 0.2


class Exportable(Protocol):
    """See `queries.export.batches.Exports`."""

    def open(self, request: ExportRequest) -> AbstractContextManager[Opened]:
        """Blocks; what is opened has a snapshot of its own."""
        ...


class ExportQuery(FilterQuery):
    """The filters of `GET /v1/events`, and what belongs to an export."""

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
        """What is to be exported. Raises `RejectedError` that names the parameter."""
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


def export_routes(exports: Exportable, access: Access, threads: Threads, settings: WebSettings) -> APIRouter:
    """The route that exports. `threads` are its own: an export occupies one for as long as it runs."""
    router = APIRouter(prefix="/v1/export", tags=["events"])
    places = asyncio.Semaphore(settings.max_exports)

    @router.get(
        "",
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
        wanted = query.request()
        try:
            check_request(wanted)
        except ConfigurationError as exc:
            return problem(501, str(exc))
        except RejectedError as exc:
            raise renamed(exc) from exc
        scoped = await access.exports_of(request, exports)
        scoped.check(wanted)
        if places.locked():
            return problem(
                503,
                f"{settings.max_exports} exports are running, and no more may at once; try again",
                headers={"Retry-After": str(settings.retry_after)},
            )
        record = access_record_of(request)
        opening: Exportable = scoped if record is None else RecordedExports(scoped, record)
        return _Download(opening, wanted, query.manifest, threads, places, settings.export_stall)

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
    """Reads a piece in a thread, sends it, reads the next. A client that is away or stalls ends the query too."""

    def __init__(
        self,
        exports: Exportable,
        request: ExportRequest,
        manifest: bool,
        threads: Threads,
        places: asyncio.Semaphore,
        stall: float,
    ) -> None:
        super().__init__(media_type=request.format.media_type)
        del self.headers["content-length"]
        self._exports = exports
        self._request = request
        self._manifest = manifest
        self._threads = threads
        self._places = places
        self._stall = stall
        self._has_place = False
        self._stack = ExitStack()
        self._opened: Opened | None = None
        self._pieces: Iterator[bytes] = iter(())

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        """Send it all. What fails before the first byte is raised and becomes a problem answer."""
        await self._places.acquire()
        self._has_place = True
        away = asyncio.create_task(_away(receive))
        sending = asyncio.create_task(self._send_all(send))
        try:
            await asyncio.wait((away, sending), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
            else:
                log.info("export_client_gone")
        except UnauthenticatedError:
            log.info("export_token_ended")  # the answer stays without its end, and the connection is closed
        finally:
            away.cancel()
            sending.cancel()
            await asyncio.wait((away, sending))
            if not sending.cancelled():
                sending.exception()  # seen already, or of no use to a client that has gone
            await self._close()

    async def _send_all(self, send: Send) -> None:
        first = await self._step(self._begin)
        assert self._opened is not None
        snapshot = self._opened.snapshot
        self.headers["X-Log-Size"] = str(snapshot.log_size)
        self.headers["X-Root-Hash"] = snapshot.root_hash
        self.headers["X-As-Of-Position"] = str(snapshot.as_of_position)
        name = self._request.table or "events"
        self.headers["Content-Disposition"] = f'attachment; filename="{name}.{self._request.format}"'
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        piece: bytes | None = first
        while piece is not None:
            # The server waits here until the client has taken what was sent before.
            async with asyncio.timeout(self._stall):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await self._step(self._next)
        # Before the end is sent: whoever has the whole answer may ask for the next export at once.
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
        """One blocking call, which is over when this returns, even when this was cancelled."""
        call = asyncio.ensure_future(self._threads.run(function))
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            # More than once: one call is several statements, and between two there is nothing to cancel.
            while not call.done():
                await self._threads.run(self._cancel)
                await asyncio.wait((call,), timeout=_CANCEL_SECONDS)
            call.exception()
            raise

    def _begin(self) -> bytes | None:
        self._opened = self._stack.enter_context(self._exports.open(self._request))
        self._pieces = self._stack.enter_context(closing(stream(self._opened, manifest=self._manifest)))
        return self._next()

    def _next(self) -> bytes | None:
        return next(self._pieces, None)

    def _cancel(self) -> None:
        if self._opened is not None:
            self._opened.cancel()


async def _away(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
