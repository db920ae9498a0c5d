"""The book of reviews: draws work lists and carries out commands. It alone appends the events of reviews.

Failures: as `detection.cases.case_book`. A kill while a work list is drawn leaves nothing behind.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from eventsourcing.persistence import Mapper

from detection.cases.book import Book, taken
from detection.reviews.populations import Matcher
from detection.reviews.reading import LogReading, Staff
from detection.reviews.review import Review
from detection.reviews.stored_events import REVIEW_EVENTS
from detection.reviews.work_list import work_list
from domain.errors import Reason, RejectedError
from domain.reviews.access import require_decision, require_reassignment, require_review_role
from domain.reviews.commands import BeginReview, DecideItem, ReassignItem, ReviewCommand


class ReviewBook(Book):
    """The reviews of one log, which `log` reads. `matcher` knows the filters of events."""

    def __init__(self, url: str, key: str, log: LogReading, matcher: Matcher) -> None:
        super().__init__(url, key)
        self._log = log
        self._matcher = matcher

    def construct_mapper(self) -> Mapper[UUID]:
        """The stored form of the events, which is not the library's own."""
        return REVIEW_EVENTS

    def carry_out(self, command: ReviewCommand) -> int:
        """Carry out a command, once. Returns the version of the review at which its event lies.

        Raises `AccessDeniedError`, or a `RejectedError` that says what to change.
        """
        return self.decide(lambda: self._carry_out(command))

    def notice_overdue(self, id: UUID, at: datetime) -> bool:
        """Append, once, that a review is overdue. False when it is not."""
        return self.decide(lambda: self._notice(id, at))

    def _carry_out(self, command: ReviewCommand) -> int:
        body = command.body
        require_review_role(command.by, body)
        find = self.find if isinstance(body, BeginReview) else self.find_only
        review = find(Review, command.target)
        if isinstance(body, BeginReview):
            return self._begin(command, body, review)
        if review is None:
            raise RejectedError(Reason.INVALID_FIELD, "there is no such review", field="target")
        if command.id not in review.commands:
            if isinstance(body, DecideItem):
                item = review.item(body.item)
                reviewer = review.reviewers[body.item]
                require_decision(
                    command.by, reviewer=None if reviewer is None else reviewer.id, subject=item.subject
                )
            elif isinstance(body, ReassignItem):
                require_reassignment(command.by, subject=review.item(body.item).subject)
                self._require_other(review, body)
            review.change(command, body)
            self.save(review)
        return review.commands[command.id]

    def _begin(self, command: ReviewCommand, body: BeginReview, review: Review | None) -> int:
        if review is None:
            plan, items = work_list(command.target, body, self._log, self._matcher)
            review = Review.begin(command, body, plan, items)
            self.save(review)
        elif command.id not in review.commands:
            raise taken()
        return review.commands[command.id]

    def _require_other(self, review: Review, body: ReassignItem) -> None:
        """The new reviewer is not the subject, under any id that the staff has now."""
        subject = review.item(body.item).subject
        staff: Staff = self._log.staff(self._log.pinned().size)
        if subject is not None and staff.are_one(body.reviewer.id, subject):
            raise RejectedError(
                Reason.INVALID_FIELD, "the item is about this person: choose another", field="reviewer"
            )

    def _notice(self, id: UUID, at: datetime) -> bool:
        review = self.find(Review, id)
        if review is None or not review.notice_overdue(at):
            return False
        self.save(review)
        return True
