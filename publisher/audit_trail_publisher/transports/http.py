"""The transport over HTTP: `POST /v1/events` of the trail's API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from audit_trail_publisher.errors import DeniedError, TransportError
from audit_trail_publisher.messages import Message
from audit_trail_publisher.transports.http_connection import Answer, HttpConnection, Tls, Token
from audit_trail_publisher.transports.transport import BatchTooLargeError, Delivery, Rejection

PATH = "/v1/events"
_LONGEST_LINE = 300


class _Item(Struct):
    """The outcome of one item; without an `event_id` and without a `reason` it was denied."""

    index: int
    event_id: UUID | None = None
    reason: str | None = None
    field: str | None = None
    message: str | None = None


class _Source(Struct):
    service: str


class _Named(Struct):
    """The part of an event that names its source."""

    source: _Source


class _Published(Struct):
    events: list[_Item]


class _Problem(Struct):
    """An RFC 9457 problem; `errors` has an entry for each event when all were rejected."""

    detail: str = ""
    errors: list[_Item] = []


class HttpTransport:
    """Sends batches to `url`, the trail's API, over one connection.

    `token` is a bearer token with the role `publisher`, or a function that returns one; it is called for each request.
    `seconds`: for each step, which are to connect, to send, and the whole answer. `tls` trusts other authorities, or
    has a client's certificate.
    """

    max_events = 500
    max_bytes = 4 << 20
    """The trail takes 1,000 events and 5 MiB at once by default."""

    def __init__(
        self, url: str, token: Token | None = None, *, seconds: float = 30.0, tls: Tls | None = None
    ) -> None:
        self._connection = HttpConnection(url, token, seconds=seconds, tls=tls)

    def send(self, messages: Sequence[Message]) -> Delivery:
        """See `Transport.send`."""
        body = b"[%s]" % b",".join(message.body for message in messages)
        answer = self._connection.request("POST", PATH, body)
        if answer.status == 202:
            return _delivery(messages, _decoded(answer, _Published).events)
        if answer.status == 422:
            return _delivery(messages, _decoded(answer, _Problem).errors)
        if answer.status == 413:
            raise BatchTooLargeError(f"the trail answered {answer.status}: {_detail(answer)}")
        if answer.status == 408:
            late = "the trail did not get the request in time"
            # Over a slow line the same batch would be late again.
            raise BatchTooLargeError(late) if len(messages) > 1 else TransportError(late)
        if answer.status == 403:
            raise _may_not_publish(messages, f"the trail answered 403: {_detail(answer)}")
        raise refusal(answer)

    def close(self) -> None:
        """See `Transport.close`."""
        self._connection.close()

    def forget(self) -> None:
        """See `Transport.forget`."""
        self._connection.forget()


def refusal(answer: Answer) -> TransportError:
    """The error for an answer that did not do what was asked."""
    said = f"the trail answered {answer.status}: {_detail(answer)}"
    if answer.status in {401, 403}:
        return DeniedError(said, retry_after=answer.retry_after)
    if answer.status in {404, 405, 415} or 300 <= answer.status < 400:
        said += "; check the url of the publisher"
    return TransportError(said, retry_after=answer.retry_after)


def token_from_file(path: str | Path) -> Callable[[], str]:
    """A token that is read from a file for each request, as platforms that renew tokens write it."""

    def read() -> str:
        return Path(path).read_text("utf-8").strip()

    return read


def _delivery(messages: Sequence[Message], items: Sequence[_Item]) -> Delivery:
    accepted: set[UUID] = set()
    rejected: dict[UUID, Rejection] = {}
    denied: list[Message] = []
    said = ""
    for item in items:
        if not 0 <= item.index < len(messages):
            raise TransportError("the trail answered for an event that was not sent")
        event_id = messages[item.index].event_id
        if item.reason is not None:
            rejected[event_id] = Rejection(*map(_line, (item.reason, item.field, item.message)))
        elif item.event_id == event_id:
            accepted.add(event_id)
        else:
            denied.append(messages[item.index])
            said = _line(item.message) or "not allowed"
    if len(accepted) + len(rejected) == len(messages):
        return Delivery(accepted=frozenset(accepted), rejected=rejected)
    error = _may_not_publish(denied, said) if denied else TransportError("an incomplete answer")
    return Delivery(accepted=frozenset(accepted), rejected=rejected, error=error)


def _may_not_publish(messages: Sequence[Message], said: str) -> DeniedError:
    names = sorted({msgspec.json.decode(message.body, type=_Named).source.service for message in messages})
    return DeniedError(
        f"this token may not publish as {', '.join(names)}, for which it needs the role `publisher`: {said}"
    )


def _line(text: str | None) -> str:
    """What the server says, as a short line for logs: it must not look like other lines."""
    return "".join(each if each.isprintable() else " " for each in (text or "")[:_LONGEST_LINE])


def _decoded(answer: Answer, kind: type[Struct]) -> Any:
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise TransportError(
            f"the trail answered {answer.status} with something else than it documents"
        ) from None


def _detail(answer: Answer) -> str:
    """The detail of a problem: the trail's own text, which quotes no event. Another server's text is left out."""
    try:
        return _line(msgspec.json.decode(answer.body, type=_Problem).detail)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "no reason given"
