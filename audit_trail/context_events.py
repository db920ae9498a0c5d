"""Publishes the loads of context, as ingest reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from audit_trail.ingest_settings import ingest_settings
from audit_trail.settings import Settings
from domain.event import AuditEvent
from domain.validation import encode_event
from ingest.publisher import Message, Publisher


@contextmanager
def publishing(settings: Settings) -> Iterator[Callable[[AuditEvent], None]]:
    """What publishes an event of the trail. Events keep their order: they have one key."""
    topic = settings.kafka_topics[0]
    with closing(Publisher(ingest_settings(settings))) as publisher:

        def publish(event: AuditEvent) -> None:
            publisher.publish([Message(topic, event.source.service.encode(), encode_event(event))])

        yield publish
