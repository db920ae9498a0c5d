"""Traces, as the parts of the program see them: the trace context of W3C, and what they ask of a tracer.

Unless a setting turns tracing on, the tracer is `OFF` and no library for it is loaded. A span has no patient data: its
attributes are numbers, names from this program, and names of topics and routes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import NamedTuple, Protocol

Attributes = Mapping[str, str | int]

MAX_LINKS = 128
"""Links of one span: OpenTelemetry's own limit."""
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_FIRST_VERSION = "00"
_LENGTH = 55
_MOST_STATE = 512
_STATE = re.compile(r"[\x20-\x7e]*")
_NAMES = frozenset({"traceparent", "tracestate", "ce_traceparent", "ce_tracestate"})


class TraceContext(NamedTuple):
    """The headers `traceparent` and `tracestate` (W3C Trace Context)."""

    traceparent: str
    tracestate: str = ""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return self.traceparent[3:35]

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""
        return self.traceparent[36:52]

    def headers(self) -> list[tuple[str, bytes]]:
        """The headers of a Kafka record."""
        state = [("tracestate", self.tracestate.encode())] if self.tracestate else []
        return [("traceparent", self.traceparent.encode()), *state]


def parse(traceparent: str, tracestate: str = "") -> TraceContext | None:
    """The context in these headers; None when the first is not valid. A state that is not valid is dropped.

    A later version may have more fields, which are not passed on (section 4.3, versioning of traceparent).
    """
    known = traceparent[:_LENGTH]
    if not _TRACEPARENT.fullmatch(known):
        return None
    rest = traceparent[_LENGTH:]
    if rest and (known.startswith(_FIRST_VERSION) or not rest.startswith("-")):
        return None
    usable = len(tracestate) <= _MOST_STATE and _STATE.fullmatch(tracestate)
    return TraceContext(_FIRST_VERSION + known[2:], tracestate if usable else "")


def of_headers(headers: Sequence[tuple[str, bytes | None]]) -> TraceContext | None:
    """The context in the headers of a Kafka record, by their own names or by those of the CloudEvents extension."""
    found = {
        name.lower(): value.decode("ascii", "replace")
        for name, value in headers
        if name.lower() in _NAMES and value is not None and len(value) <= _MOST_STATE
    }
    for prefix in ("", "ce_"):
        context = parse(found.get(f"{prefix}traceparent", ""), found.get(f"{prefix}tracestate", ""))
        if context is not None:
            return context
    return None


class Kind(StrEnum):
    """The kinds of spans that are used here."""

    INTERNAL = "internal"
    SERVER = "server"
    CONSUMER = "consumer"


class Span(Protocol):
    """A span that has begun. Any thread may end it; the first end counts."""

    @property
    def context(self) -> TraceContext | None:
        """Identifies the span; None when nothing is traced."""
        ...

    def rename(self, name: str) -> None:
        """Change the name, when it is known only later."""
        ...

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""
        ...

    def end(self, error: str | None = None) -> None:
        """End the span. `error` is the type of what failed, or an HTTP status, never a text."""
        ...


class Tracer(Protocol):
    """Begins spans."""

    @property
    def on(self) -> bool:
        """Whether spans are kept: what a span needs may be costly to collect."""
        ...

    def start(
        self,
        name: str,
        kind: Kind = Kind.INTERNAL,
        *,
        parent: Span | TraceContext | None = None,
        links: Iterable[TraceContext] = (),
        attributes: Attributes | None = None,
    ) -> Span:
        """Begin a span: a child of `parent`, or a trace of its own. At most `MAX_LINKS` links are kept."""
        ...


class _NoSpan:
    @property
    def context(self) -> TraceContext | None:
        return None

    def rename(self, name: str) -> None:
        del name

    def set(self, attributes: Attributes) -> None:
        del attributes

    def end(self, error: str | None = None) -> None:
        del error


class _NoTracer:
    on = False

    def start(
        self,
        name: str,
        kind: Kind = Kind.INTERNAL,
        *,
        parent: Span | TraceContext | None = None,
        links: Iterable[TraceContext] = (),
        attributes: Attributes | None = None,
    ) -> Span:
        del name, kind, parent, links, attributes
        return NO_SPAN


NO_SPAN: Span = _NoSpan()
OFF: Tracer = _NoTracer()

_current: ContextVar[TraceContext | None] = ContextVar("trace_context", default=None)


def current() -> TraceContext | None:
    """The context of the span that this thread or task works in."""
    return _current.get()


def current_headers() -> list[tuple[str, bytes]]:
    """The headers of a Kafka record that is published in the current span."""
    context = _current.get()
    return [] if context is None else context.headers()


@contextmanager
def within(span: Span) -> Iterator[Span]:
    """Make `span` the current one, and end it at the end of the block."""
    token = _current.set(span.context)
    try:
        yield span
    except BaseException as exc:
        span.end(type(exc).__name__)
        raise
    else:
        span.end()
    finally:
        _current.reset(token)
