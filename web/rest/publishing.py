"""What every route that publishes events shares: who may, how many at once, and the outcome of each item."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import UUID

import msgspec
from fastapi import Request
from starlette.responses import Response

from domain.access.grants import Operation
from domain.access.scope import Scope
from domain.errors import AccessDeniedError, Reason, RejectedError, UnavailableError
from domain.event import AuditEvent
from domain.read_audit.query_log import QueryLog
from ingest.publisher import Message
from queries.thread_pool import Threads
from web.access import Access, query_log_of
from web.http.problems import problem
from web.read_audit.access_record import AccessRecord, access_record_of
from web.settings import WebSettings


class EventPublisher(Protocol):
    """Puts messages on Kafka; see `ingest.publisher`."""

    def publish(self, messages: Sequence[Message]) -> None:
        """Blocks until every in-sync replica has all of them. Raises `UnavailableError` while the broker is away."""
        ...


class Item(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of one item: an event id, or the reason why it was rejected. Without a `reason` it was denied."""

    index: int
    event_id: UUID | None = None
    reason: Reason | None = None
    field: str | None = None
    message: str | None = None


class UnreadableError(Exception):
    """The request as a whole is invalid; carries the response."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.response = problem(status, detail)


class Publishing:
    """The places of requests that publish: a bounded number of them, in threads of their own."""

    def __init__(
        self, publisher: EventPublisher, access: Access, threads: Threads, settings: WebSettings
    ) -> None:
        self.publisher = publisher
        self.settings = settings
        self._access = access
        self._threads = threads
        self._places = asyncio.Semaphore(settings.max_publishing)

    async def run(self, request: Request, publish: Callable[[Scope, QueryLog, bytes], Response]) -> Response:
        """The answer of `publish`, which blocks: for a principal that may publish, and while a place is free.

        Denied items are those that `publish` adds to the query log; they are recorded.
        """
        scope = await self._access.scope_of(request)
        scope.require(Operation.PUBLISH)
        record = access_record_of(request)
        body = await request.body()
        if self._places.locked():
            return problem(
                503,
                f"{self.settings.max_publishing} requests are being published, the limit; try again",
                headers={"Retry-After": str(self.settings.retry_after)},
            )
        async with self._places:
            until = time.monotonic() + self.settings.publishing_wait
            try:
                response = await self._threads.run(
                    _in_time, publish, scope, query_log_of(record), body, until
                )
            except UnreadableError as exc:
                return exc.response
            except UnavailableError:
                _write_denial(record, 503)
                raise
        _write_denial(record, response.status_code)
        return response


def _in_time(
    publish: Callable[[Scope, QueryLog, bytes], Response],
    scope: Scope,
    query_log: QueryLog,
    body: bytes,
    until: float,
) -> Response:
    if time.monotonic() > until:
        raise UnavailableError("this request waited too long for those before it")
    return publish(scope, query_log, body)


def _write_denial(record: AccessRecord | None, status: int) -> None:
    if record is not None and record.query_log.has_denied:
        record.denied("a report that these credentials may not make, among others", status)


def deny(query_log: QueryLog, refused: Sequence[AuditEvent], items: int) -> None:
    """Add denied events to the query log. Raises `AccessDeniedError` when all `items` are denied."""
    if refused:
        services = dict.fromkeys(event.source.service for event in refused)
        types = dict.fromkeys(event.type for event in refused)
        query_log.deny("publish", {"sources": [*services], "types": [*types]})
    if refused and len(refused) == items:
        raise AccessDeniedError(Operation.PUBLISH)


def rejected(index: int, exc: RejectedError) -> Item:
    """The outcome of an item that is no valid event."""
    return Item(index=index, reason=exc.reason, field=exc.field, message=exc.message)


def key_of(event: AuditEvent) -> bytes:
    """The key, within which Kafka keeps order: events of one patient, else of one actor, stay in order."""
    if event.patients:
        return event.patients[0].id.encode()
    return (event.actor.id or event.source.service).encode()
