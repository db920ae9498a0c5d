"""The worker of `ingest`, from the settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from audit_trail.cases.worker import CaseWorker
from audit_trail.ingest_settings import ingest_settings
from audit_trail.requests.workers import publishing_to
from audit_trail.settings import Settings
from audit_trail.trust.keys import key_text
from detection.cases.case_book import CaseBook
from event_store.database import Database
from ingest.publisher import Publisher


@contextmanager
def cases_of_ingest(settings: Settings, database: Database) -> Iterator[None]:
    """Carry out commands about cases, and take new alerts, until the end of the block."""
    with (
        closing(CaseBook(settings.require_database_url(), key_text(settings))) as book,
        closing(Publisher(ingest_settings(settings))) as publisher,
    ):
        worker = CaseWorker(database, book, publishing_to(settings.kafka_topics[0], publisher.publish))
        worker.start()
        try:
            yield
        finally:
            worker.stop()
