"""Django middleware, for WSGI and for ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from operator import attrgetter
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.encoding import escape_uri_path

from audit_trail_publisher.django.settings import current_trail, load
from audit_trail_publisher.django.users import identity_of_request, may_have_user, remember_user
from audit_trail_publisher.errors import PublisherError
from audit_trail_publisher.web.request_record import (
    CLIENT_LEFT,
    RETRY_SECONDS,
    Arrival,
    Failure,
    RequestAuditing,
    RequestRecord,
    failed_with,
    log_unrecorded,
    logged,
    may_fit,
)

_EXCEPTION = "_audit_trail_exception"


class AuditMiddleware:
    """Records each request: `api.called`, or `access.denied` for 401 and 403. It comes after AuthenticationMiddleware.

    The event is recorded before the response leaves the middleware. `duration_ms` is the time until then. A streaming
    response that breaks off later gets a second event with the same correlation id.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._auditing = RequestAuditing[HttpRequest](identity_of_request, **load().request_options())
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Pass the request on, and record it."""
        if self._auditing.skips(request.path):
            return self._get_response(request)
        return self._call_async(request) if iscoroutinefunction(self) else self._call(request)

    def _call(self, request: HttpRequest) -> HttpResponseBase:
        if may_have_user(request):
            remember_user(request, request.user)
        record = self._auditing.open(request, _arrival(request))
        with record.current():
            try:
                response = self._get_response(request)
            except BaseException as exc:
                with logged():
                    _keep(record, 500, failed_with(exc))
                raise
            unkept = record.unkept(response.status_code)
            if unkept is not None:
                if may_fit(unkept):
                    with suppress(PublisherError):
                        _keep(record, 503, failed_with(unkept))
                return self._unrecorded(unkept, response)
            try:
                _keep(record, response.status_code, reason=_reason(request))
            except PublisherError as exc:
                return self._unrecorded(exc, response)
        return _watched(response, record)

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        if may_have_user(request):
            remember_user(request, await request.auser())
        record = self._auditing.open(request, _arrival(request))
        with record.current():
            try:
                response = await self._get_response(request)
            except BaseException as exc:
                left = isinstance(exc, asyncio.CancelledError)
                with logged():
                    await _keep_async(
                        record, None if left else 500, CLIENT_LEFT if left else failed_with(exc)
                    )
                raise
            unkept = record.unkept(response.status_code)
            if unkept is not None:
                if may_fit(unkept):
                    with suppress(PublisherError):
                        await _keep_async(record, 503, failed_with(unkept))
                return self._unrecorded(unkept, response)
            try:
                await _keep_async(record, response.status_code, reason=_reason(request))
            except PublisherError as exc:
                return self._unrecorded(exc, response)
        return _watched(response, record)

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Keep the name of a view's exception: Django makes a response of it, and only that comes back."""
        setattr(request, _EXCEPTION, type(exception).__name__)

    def _unrecorded(self, exc: PublisherError, response: HttpResponseBase) -> HttpResponseBase:
        log_unrecorded(exc)
        if not self._auditing.refuses:
            return response
        response.close()
        return HttpResponse(status=503, headers={"Retry-After": str(RETRY_SECONDS)})


def _arrival(request: HttpRequest) -> Arrival:
    def values(name: str) -> list[str]:
        value = request.headers.get(name)
        return [] if value is None else [value]

    peer = request.META.get("REMOTE_ADDR") or None
    return Arrival(request.method or "", escape_uri_path(request.path), peer, values)


def _reason(request: HttpRequest) -> str | None:
    found: str | None = getattr(request, _EXCEPTION, None)
    return found


def _keep(
    record: RequestRecord[Any], status: int | None, failure: Failure | None = None, reason: str | None = None
) -> None:
    type, fields = record.event(status, failure, reason)
    attrgetter(type)(current_trail().durable)(**fields)


async def _keep_async(
    record: RequestRecord[Any], status: int | None, failure: Failure | None = None, reason: str | None = None
) -> None:
    type, fields = record.event(status, failure, reason)
    await attrgetter(type)(current_trail().aio.durable)(**fields)


def _watched(response: HttpResponseBase, record: RequestRecord[Any]) -> HttpResponseBase:
    """`response`; when it streams, a break of the stream is recorded."""
    if isinstance(response, StreamingHttpResponse):
        status, content = response.status_code, response.streaming_content
        follow = _followed_async if response.is_async else _followed
        response.streaming_content = follow(content, record, status)
    return response


def _followed(content: Iterator[bytes], record: RequestRecord[Any], status: int) -> Iterator[bytes]:
    try:
        yield from content
    except BaseException as exc:
        with logged():
            _keep(record, status, _broken(exc))
        raise


async def _followed_async(
    content: AsyncIterator[bytes], record: RequestRecord[Any], status: int
) -> AsyncIterator[bytes]:
    try:
        async for chunk in content:
            yield chunk
    except BaseException as exc:
        with logged():
            await _keep_async(record, status, _broken(exc))
        raise


def _broken(exc: BaseException) -> Failure:
    return CLIENT_LEFT if isinstance(exc, GeneratorExit | asyncio.CancelledError) else failed_with(exc)
