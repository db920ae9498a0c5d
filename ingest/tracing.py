"""The span of a batch: linked to the traces of the services whose records it has."""

from __future__ import annotations

from collections.abc import Sequence

from event_store.tracing import MAX_LINKS, NO_SPAN, Kind, Span, TraceContext, Tracer, of_headers
from ingest.batch import Polled


def batch_span(tracer: Tracer, polled: Sequence[Polled], group: str) -> Span:
    """Begin the span of a batch. Names and attributes are those of OpenTelemetry's conventions for messaging.

    It links to the traces in the records' headers, as far as `MAX_LINKS` goes: a batch has thousands of records, and a
    span for each would cost more than the record.
    """
    if not tracer.on:
        return NO_SPAN
    topics = sorted({part.partition.topic for part in polled})
    one = {"messaging.destination.name": topics[0]} if len(topics) == 1 else {}
    return tracer.start(
        f"process {topics[0]}" if one else "process",
        Kind.CONSUMER,
        links=_contexts(polled),
        attributes={
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.consumer.group.name": group,
            "messaging.batch.message_count": sum(len(part.records) for part in polled),
            **one,
        },
    )


def _contexts(polled: Sequence[Polled]) -> list[TraceContext]:
    found: dict[TraceContext, None] = {}
    for part in polled:
        for record in part.records:
            context = of_headers(record.headers) if record.headers else None
            if context is not None:
                found[context] = None
                if len(found) == MAX_LINKS:
                    return list(found)
    return list(found)
