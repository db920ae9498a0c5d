"""The review: a work list that is pinned to a state of the log, and what the reviewers decided about its items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from eventsourcing.domain import Aggregate
from msgspec import Struct

from detection.cases.alerts import TRAIL
from domain.cases.commands import Person
from domain.errors import ConflictError, InvalidEventError, Reason
from domain.reviews.commands import (
    BeginReview,
    CloseReview,
    DecideItem,
    ReassignItem,
    ReviewCommand,
    ReviewKind,
    ReviewVerdict,
    Strata,
)

_OVERDUE = UUID("7c1f4b0e-64a5-5d0b-9a57-0d5cf7a8c1e2")
"""Name space of the commands of the trail. They are stored, so it never changes."""
ITEMS_AT_ONCE = 500
"""Items of one event."""
MAX_EVENTS = 60_000
"""Events of one review: every process that decides reads them once."""


class Item(Struct, frozen=True, kw_only=True):
    """One item of the work list.

    `key` is what it was drawn by, `positions` its events in the log, `subject` the id of the person or service that it
    is about, `what` the item in words. `reviewer` is None when every reviewer is the subject.
    """

    number: int
    key: str
    stratum: str
    subject: str | None
    positions: list[int]
    what: str
    reviewer: Person | None


class Result(Struct, frozen=True, kw_only=True):
    """The numbers of a review. `verdicts` and `strata`: of decided items. `seconds`: as far as they were measured."""

    items: int
    decided: int
    undecided: int
    without_reviewer: int
    verdicts: dict[str, int]
    strata: dict[str, int]
    seconds: int


class Plan(Struct, frozen=True, kw_only=True):
    """What a work list was drawn from. `size` and `root` are the tree head, `first` and `end` the positions."""

    size: int
    root: str
    seed: str
    first: int
    end: int
    staff_version: int | None
    population: dict[str, int]
    """How many candidates each stratum had."""


class Review(Aggregate):
    """One review. Each event says who gave which command, and when (`timestamp`).

    Raises `ConflictError` for a command that the state does not allow. A command whose id is known changes nothing.
    """

    class Event(Aggregate.Event):
        """What all events of a review have. `command` is the idempotency key."""

        command: UUID
        by: Person

        def apply(self, aggregate: Review) -> None:
            """Remember the command."""
            aggregate.commands.setdefault(self.command, self.originator_version)

    class Begun(Event, Aggregate.Created):
        """Somebody began the review; the events after this one have the items."""

        TOPIC = "review.begun"
        name: str
        purpose: str
        kind: ReviewKind
        filter: dict[str, Any]
        period_from: datetime | None
        period_until: datetime | None
        dormant_days: int
        sample_size: int
        strata: Strata
        reviewers: list[Person]
        due_at: datetime
        plan: Plan
        items: int

    class ItemsAssigned(Event):
        """These items have these reviewers."""

        TOPIC = "review.items_assigned"
        items: list[Item]

        def apply(self, aggregate: Review) -> None:
            """The items are on the work list."""
            super().apply(aggregate)
            for item in self.items:
                aggregate.items[item.number] = item
                aggregate.reviewers[item.number] = item.reviewer

    class ItemReassigned(Event):
        """An item has another reviewer. `had_none`: it had no reviewer before."""

        TOPIC = "review.item_reassigned"
        item: int
        reviewer: Person
        reason: str
        had_none: bool

        def apply(self, aggregate: Review) -> None:
            """The reviewer is another one."""
            super().apply(aggregate)
            aggregate.reviewers[self.item] = self.reviewer

    class ItemDecided(Event):
        """The reviewer decided an item, or with `correction` decided it again. The last decision counts."""

        TOPIC = "review.item_decided"
        item: int
        verdict: ReviewVerdict
        reason: str
        seconds: int | None
        correction: bool

        def apply(self, aggregate: Review) -> None:
            """The decision counts."""
            super().apply(aggregate)
            aggregate.decisions[self.item] = self.verdict, self.seconds or 0

    class OverdueNoticed(Event):
        """The due date has passed, and items are not decided."""

        TOPIC = "review.overdue_noticed"
        name: str
        due_at: datetime
        items: int
        undecided: int

        def apply(self, aggregate: Review) -> None:
            """It is noticed once."""
            super().apply(aggregate)
            aggregate.overdue = True

    class Closed(Event):
        """The review has ended, with this result."""

        TOPIC = "review.closed"
        reason: str
        result: Result

        def apply(self, aggregate: Review) -> None:
            """Nothing changes any more."""
            super().apply(aggregate)
            aggregate.closed = True

    def __init__(self, command: UUID, name: str, kind: ReviewKind, due_at: datetime, items: int) -> None:
        self.name = name
        self.kind = kind
        self.due_at = due_at
        self.size = items
        """The number of items."""
        self.items: dict[int, Item] = {}
        self.reviewers: dict[int, Person | None] = {}
        self.decisions: dict[int, tuple[ReviewVerdict, int]] = {}
        self.overdue = False
        self.closed = False
        self.commands = {command: self.version}
        """The version that each command gave the review."""

    @classmethod
    def begin(cls, command: ReviewCommand, body: BeginReview, plan: Plan, items: Sequence[Item]) -> Review:
        """A new review with its work list. Raises `InvalidEventError` for a due date that has passed."""
        if body.due_at <= command.requested_at:
            raise InvalidEventError(Reason.INVALID_FIELD, "give a date in the future", field="due_at")
        common = {"timestamp": command.requested_at, "command": command.id, "by": command.person}
        review = cls._create(
            cls.Begun,
            id=command.target,
            name=body.name,
            purpose=body.purpose,
            kind=body.reviewed,
            filter=body.filter,
            period_from=body.period_from,
            period_until=body.period_until,
            dormant_days=body.dormant_days,
            sample_size=body.sample_size,
            strata=body.strata,
            reviewers=list(body.reviewers),
            due_at=body.due_at,
            plan=plan,
            items=len(items),
            **common,
        )
        for start in range(0, len(items), ITEMS_AT_ONCE):
            some = list(items[start : start + ITEMS_AT_ONCE])
            review.trigger_event(cls.ItemsAssigned, items=some, **common)
        return review

    @property
    def undecided(self) -> int:
        """The number of items without a decision."""
        return self.size - len(self.decisions)

    def item(self, number: int) -> Item:
        """The item. Raises `InvalidEventError` when there is none."""
        found = self.items.get(number)
        if found is None:
            raise InvalidEventError(
                Reason.INVALID_FIELD, f"this review has the items 1 to {self.size}", field="item"
            )
        return found

    def change(self, command: ReviewCommand, body: DecideItem | ReassignItem | CloseReview) -> None:
        """Carry out a command about this review."""
        if command.id in self.commands:
            return
        if self.closed:
            raise _conflict("this review is closed: begin another one")
        if self.version >= MAX_EVENTS and not isinstance(body, CloseReview):
            raise _conflict(f"this review has {MAX_EVENTS} entries: close it")
        common = {"timestamp": command.requested_at, "command": command.id, "by": command.person}
        match body:
            case DecideItem():
                self._decide(body, common)
            case ReassignItem():
                if self.item(body.item).subject == body.reviewer.id:
                    raise InvalidEventError(
                        Reason.INVALID_FIELD,
                        "the item is about this person: choose another",
                        field="reviewer",
                    )
                self.trigger_event(
                    self.ItemReassigned,
                    item=body.item,
                    reviewer=body.reviewer,
                    reason=body.reason,
                    had_none=self.reviewers[body.item] is None,
                    **common,
                )
            case CloseReview():
                self.trigger_event(self.Closed, reason=body.reason, result=self.result(), **common)

    def notice_overdue(self, at: datetime) -> bool:
        """Notice, once, that the due date has passed. False when there is nothing to notice."""
        if self.overdue or self.closed or at < self.due_at or not self.undecided:
            return False
        self.trigger_event(
            self.OverdueNoticed,
            timestamp=at,
            command=uuid5(_OVERDUE, str(self.id)),
            by=TRAIL,
            name=self.name,
            due_at=self.due_at,
            items=self.size,
            undecided=self.undecided,
        )
        return True

    def result(self) -> Result:
        """The numbers of now."""
        return Result(
            items=self.size,
            decided=len(self.decisions),
            undecided=self.undecided,
            without_reviewer=sum(
                reviewer is None and number not in self.decisions
                for number, reviewer in self.reviewers.items()
            ),
            verdicts=dict(Counter(verdict.value for verdict, _ in self.decisions.values())),
            strata=dict(Counter(self.items[number].stratum for number in self.decisions)),
            seconds=sum(seconds for _, seconds in self.decisions.values()),
        )

    def _decide(self, body: DecideItem, common: dict[str, Any]) -> None:
        self.item(body.item)
        if body.verdict is ReviewVerdict.REVOKE and self.kind not in (ReviewKind.GRANTS, ReviewKind.DORMANT):
            raise InvalidEventError(
                Reason.INVALID_FIELD, "only a role or an account can be revoked", field="verdict"
            )
        self.trigger_event(
            self.ItemDecided,
            item=body.item,
            verdict=body.verdict,
            reason=body.reason,
            seconds=body.seconds,
            correction=body.item in self.decisions,
            **common,
        )


def _conflict(message: str) -> ConflictError:
    return ConflictError(Reason.CONFLICT, message)
