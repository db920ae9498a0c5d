"""The worker of reviews in `ingest`, from the settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Event

from audit_trail.reviews.filters import matcher
from audit_trail.reviews.worker import ReviewWorker
from audit_trail.settings import Settings
from audit_trail.trust.keys import key_text
from detection.reviews.reading import LogReading
from detection.reviews.review_book import ReviewBook
from domain.errors import UnavailableError
from event_store.database import Database


@contextmanager
def reviews_of_ingest(settings: Settings, database: Database) -> Iterator[None]:
    """Carry out commands about reviews until the end of the block."""
    stopping = Event()

    def proceed() -> None:
        if stopping.is_set():
            raise UnavailableError("the process stops: the work list is drawn after its next start")

    reading = LogReading(database, proceed)
    url, key = settings.require_database_url(), key_text(settings)
    with closing(ReviewBook(url, key, reading, matcher)) as book:
        worker = ReviewWorker(database, book)
        worker.start()
        try:
            yield
        finally:
            stopping.set()
            worker.stop()
