"""The worker of reviews: it draws work lists, carries out decisions, and notices what is overdue.

It is not the worker of cases, because drawing a work list reads the log, which can take minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from audit_trail.cases.command_worker import CommandWorker
from detection.reviews.overdue import overdue_reviews
from detection.reviews.review_book import ReviewBook
from domain.cases.commands import CaseCommand
from domain.reviews.commands import ReviewCommand
from event_store.database import Database

log = structlog.get_logger(__name__)

PART = "reviews"
OVERDUE_SECONDS = 60.0
"""How often it looks for overdue reviews."""
_AT_ONCE = 100


def _now() -> datetime:
    return datetime.now(UTC)


class ReviewWorker(CommandWorker):
    """The worker of reviews."""

    def __init__(self, database: Database, book: ReviewBook, now: Callable[[], datetime] = _now) -> None:
        super().__init__(database, PART, reviews=True)
        self._book = book
        self._now = now
        self._next_look = 0.0

    def carry_out(self, command: CaseCommand | ReviewCommand) -> int:
        """See `ReviewBook.carry_out`."""
        assert isinstance(command, ReviewCommand)
        return self._book.carry_out(command)

    def other_work(self) -> bool:
        """Notice overdue reviews, each once."""
        if time.monotonic() < self._next_look:
            return False
        now = self._now()
        found = overdue_reviews(self._database, now, _AT_ONCE)
        for each in found:
            if self._book.notice_overdue(each, now):
                log.info("review_overdue", review=str(each))
        self._next_look = time.monotonic() + OVERDUE_SECONDS
        return False
