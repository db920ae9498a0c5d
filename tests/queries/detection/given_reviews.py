"""A trail with reviews that people work on, and a worker that carries out commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID, uuid4

from audit_trail.reviews.worker import ReviewWorker
from domain.access.principal import Principal
from domain.access.scope import Scope
from domain.cases.commands import Person
from domain.read_audit.query_log import QueryLog
from domain.reviews.commands import CloseReview, DecideItem, ReassignItem, ReviewBody, ReviewVerdict, Strata
from event_store.case_commands import Outcome
from queries.case_commands import CaseCommands
from queries.detection.review_results import ReviewItemFilter, ReviewItemView
from queries.scoped.read_models import ScopedModels
from tests.detection.live.logs import detect
from tests.detection.reviews.given_reviews import PAUL, a_book, accesses, begin
from tests.trail import Trail

SEEN = ("ada", "rita", "paul", "ada")
"""Who did the four accesses. Items 1 and 3 are Rita's, the others Rob's; 2 is about Rita, 3 about the officer."""


class GivenReviews:
    """What the parts of an installation do, one step at a time."""

    def __init__(self, trail: Trail, worker: ReviewWorker) -> None:
        self.trail = trail
        self.commands = CaseCommands(trail.reader)
        self._worker = worker

    def carried_out(self, review: UUID, body: ReviewBody, by: Principal = PAUL) -> Outcome:
        """Give a command, carry it out, and show its result in the read model."""
        id = uuid4()
        self.commands.give_review(by, id, review, body)
        self._worker.step()
        detect(self.trail)
        found = self.commands.wait(id, 0)
        assert found is not None
        return found

    def begun(self, **fields: Any) -> UUID:
        """A new review."""
        review = uuid4()
        outcome = self.carried_out(review, begin(**fields))
        assert outcome.error is None, outcome
        return review

    def given(self) -> UUID:
        """A review of four accesses, by type; each reviewer has two of them."""
        accesses(self.trail, SEEN)
        return self.begun(strata=Strata.TYPE, filter={"category": ["data"]})

    def decided(self, review: UUID, item: int, by: Principal, **fields: Any) -> Outcome:
        """Decide an item."""
        given: dict[str, Any] = {"verdict": ReviewVerdict.JUSTIFIED, "reason": "On duty.", "seconds": 40}
        return self.carried_out(review, DecideItem(item=item, **given | fields), by)

    def reassigned(self, review: UUID, item: int, reviewer: str, by: Principal = PAUL) -> Outcome:
        """Give an item to somebody else."""
        body = ReassignItem(item=item, reviewer=Person(id=reviewer), reason="A leave.")
        return self.carried_out(review, body, by)

    def closed(self, review: UUID) -> Outcome:
        """Close a review."""
        return self.carried_out(review, CloseReview(reason="Enough was seen."))

    def models(self, principal: Principal = PAUL, log: QueryLog | None = None) -> ScopedModels:
        return ScopedModels(self.trail.read, Scope(principal), QueryLog() if log is None else log)

    def items(self, review: UUID, by: Principal = PAUL, **conditions: Any) -> list[ReviewItemView]:
        """The items that somebody sees."""
        page = self.models(by).review_items(str(review), ReviewItemFilter(**conditions))
        return [] if page is None else page.items

    def mine(self, review: UUID, by: Principal) -> list[int]:
        """The numbers of the items that somebody decides."""
        return [each.item for each in self.items(review, by, mine=True)]


@contextmanager
def given_reviews(trail: Trail) -> Iterator[GivenReviews]:
    with closing(a_book(trail)) as book, closing(ReviewWorker(trail.ingest, book)) as worker:
        yield GivenReviews(trail, worker)
