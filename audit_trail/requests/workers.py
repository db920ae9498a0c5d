"""The workers of `ingest` and `project`, from the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

import structlog

from audit_trail.databases import Pool, open_database
from audit_trail.ingest_settings import ingest_settings
from audit_trail.requests.dead_letters import DeadLetterRequests
from audit_trail.requests.rebuilds import RebuildRequests
from audit_trail.requests.worker import CarryOut, RequestWorker
from audit_trail.settings import Settings
from audit_trail.trust.keys import key_text
from domain.errors import ConfigurationError
from domain.event import AuditEvent
from domain.validation import decode_event, encode_event
from event_store.database import Database
from event_store.operation_requests import RequestQueue
from ingest.dead_letters import DeadLetterDesk, publishing
from ingest.publisher import Message, Publisher

log = structlog.get_logger(__name__)


@contextmanager
def requests_of_ingest(settings: Settings, database: Database) -> Iterator[None]:
    """Carry out decisions on dead letters until the end of the block."""
    with closing(Publisher(ingest_settings(settings))) as publisher:

        def open_desk() -> DeadLetterDesk:
            return DeadLetterDesk(database, settings.require_database_url(), key_text(settings))

        with _working(
            settings, database, "ingest", DeadLetterRequests(open_desk, publishing(publisher)), publisher
        ):
            yield


@contextmanager
def requests_of_project(settings: Settings) -> Iterator[None]:
    """Carry out rebuilds until the end of the block. Without Kafka, to which a rebuild is reported, there are none.

    `project` needs Kafka for nothing else, so wrong settings of Kafka do not end it.
    """
    try:
        kafka = ingest_settings(settings)
    except ConfigurationError as exc:
        log.info("takes_no_requests", hint=str(exc))
        yield
        return
    with (
        closing(open_database(settings, Pool.PROJECT_REQUESTS)) as database,
        closing(Publisher(kafka)) as publisher,
        _working(settings, database, "project", RebuildRequests(settings), publisher),
    ):
        yield


def publishing_all_to(
    topic: str, publish: Callable[[Sequence[Message]], None]
) -> Callable[[Sequence[AuditEvent]], None]:
    """Publishes events, after all were checked. Raises `RejectedError` for one that ingest would refuse."""

    def send(events: Sequence[AuditEvent]) -> None:
        messages = []
        for event in events:
            message = encode_event(event)
            decode_event(message)
            messages.append(Message(topic, event.source.service.encode(), message))
        publish(messages)

    return send


def publishing_to(topic: str, publish: Callable[[Sequence[Message]], None]) -> Callable[[AuditEvent], None]:
    """The same for one event.

    Whoever has the login of `serve` can store a request whose values no event may have.
    """
    send = publishing_all_to(topic, publish)
    return lambda event: send([event])


@contextmanager
def _working(
    settings: Settings, database: Database, part: str, carry_out: CarryOut, publisher: Publisher
) -> Iterator[None]:
    publish = publishing_to(settings.kafka_topics[0], publisher.publish)
    worker = RequestWorker(RequestQueue(database, part), carry_out, publish, part)
    worker.start()
    try:
        yield
    finally:
        worker.stop()
