"""The tracer by OpenTelemetry: spans are sent by OTLP over HTTP.

Spans wait in a bounded queue for the collector. While it is away they are dropped, and the work that they describe goes
on. The library's variables apply too, such as `OTEL_EXPORTER_OTLP_HEADERS` and `OTEL_RESOURCE_ATTRIBUTES`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import requests
import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from event_store.tracing import MAX_LINKS, Attributes, Kind, Span, TraceContext

log = structlog.get_logger(__name__)

_PATH = "/v1/traces"
_EXPORT_SECONDS = 5.0
"""How long the collector may take for one request."""
_END_SECONDS = 3.0
"""How long the last spans may take at the end of a process."""
_QUIET_SECONDS = 60.0
"""Between two log lines about spans that can't be sent."""
_SENDERS = ("opentelemetry.exporter", "opentelemetry.sdk")
_propagator = TraceContextTextMapPropagator()


class OpenTelemetry:
    """A `Tracer` of its own provider: other users of the library in this process are not affected."""

    on = True

    def __init__(self, endpoint: str, service: str, sample_ratio: float) -> None:
        """`sample_ratio` is the share of traces that begin here. A trace that came from outside keeps its decision."""
        _quieten()
        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": service}
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
            resource=Resource.create({**named, "service.namespace": "audit-trail"}),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(
            _full(endpoint), timeout=_EXPORT_SECONDS, compression=Compression.Gzip, session=_StatusOnly()
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("audit_trail")

    def start(
        self,
        name: str,
        kind: Kind = Kind.INTERNAL,
        *,
        parent: Span | TraceContext | None = None,
        links: Iterable[TraceContext] = (),
        attributes: Attributes | None = None,
    ) -> Span:
        """Begin a span."""
        context = Context()  # of its own: the library's current span is not used
        if isinstance(parent, TraceContext):
            context = _extracted(parent)
        elif isinstance(parent, _Span):
            context = trace.set_span_in_context(parent.span, context)
        span = self._tracer.start_span(
            name,
            context=context,
            kind=trace.SpanKind[kind.name],
            links=[
                trace.Link(trace.get_current_span(_extracted(link)).get_span_context())
                for link in islice(links, MAX_LINKS)
            ],
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        )
        return _Span(span)

    def close(self) -> None:
        """Send the last spans, within a time: the library would wait for a collector as long as it takes."""
        closing = threading.Thread(target=self._provider.shutdown, name="tracing-end", daemon=True)
        closing.start()
        closing.join(_END_SECONDS)


class _Span:
    def __init__(self, span: trace.Span) -> None:
        self.span = span
        found = span.get_span_context()
        self.context: TraceContext | None = TraceContext(
            f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}",
            found.trace_state.to_header(),
        )

    def rename(self, name: str) -> None:
        self.span.update_name(name)

    def set(self, attributes: Attributes) -> None:
        self.span.set_attributes(attributes)

    def end(self, error: str | None = None) -> None:
        if not self.span.is_recording():  # not sampled, or ended already
            return
        if error is not None:
            self.span.set_attribute("error.type", error)
            self.span.set_status(trace.StatusCode.ERROR)
        self.span.end()


def _extracted(given: TraceContext) -> Context:
    return _propagator.extract(given._asdict(), context=Context())


def _full(endpoint: str) -> str:
    """The address for traces; the address of a collector alone gets the path that OTLP has for them."""
    return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + _PATH


class _StatusOnly(requests.Session):
    """Reads no body of an answer, which nothing would limit: only its status counts."""

    def request(self, *arguments: Any, **options: Any) -> requests.Response:
        """Send a request."""
        answer = super().request(*arguments, **options | {"stream": True})
        answer.close()
        return answer


class _Quiet(logging.Handler):
    """One line a minute instead of several for each failed request, and none of their texts: these have the address.

    Other lines of the library are dropped: a client's `tracestate` that is not valid is no concern of an operator.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._next = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Log that spans are lost."""
        now = time.monotonic()
        if now >= self._next and record.name.startswith(_SENDERS):
            self._next = now + _QUIET_SECONDS
            log.warning("spans_not_sent", hint="is the collector away?", logger=record.name)


_quiet = _Quiet()


def _quieten() -> None:
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.addHandler(_quiet)  # once, however often it is called
