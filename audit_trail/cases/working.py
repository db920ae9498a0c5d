"""The worker of `ingest`, from the settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from audit_trail.cases.worker import CaseWorker
from audit_trail.settings import Settings
from audit_trail.trust.keys import key_text
from detection.cases.case_book import CaseBook
from event_store.database import Database


@contextmanager
def cases_of_ingest(settings: Settings, database: Database) -> Iterator[None]:
    """Carry out commands about cases, and take new alerts, until the end of the block."""
    with closing(CaseBook(settings.require_database_url(), key_text(settings))) as book:
        worker = CaseWorker(database, book)
        worker.start()
        try:
            yield
        finally:
            worker.stop()
