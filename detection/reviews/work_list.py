"""The work list of a review: the drawn candidates, each with a reviewer who is not its subject."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from detection.reviews.populations import Matcher, population_of
from detection.reviews.reading import LogReading, Staff
from detection.reviews.review import Item, Plan
from detection.reviews.sampling import Candidate, draw
from domain.cases.commands import Person
from domain.errors import ConflictError, Reason
from domain.reviews.commands import BeginReview


def work_list(review: UUID, body: BeginReview, log: LogReading, matcher: Matcher) -> tuple[Plan, list[Item]]:
    """The plan and the items of a review that begins now.

    Raises `ConflictError` when there is nothing to review, or too much to divide.
    """
    pinned = log.pinned()
    span = log.positions(body.period_from, body.period_until, pinned.size)
    staff = log.staff(pinned.size)
    seed = body.seed or seed_of(pinned.root, review)
    sample = draw(
        population_of(body, log, pinned, span, staff, matcher), body.sample_size, bytes.fromhex(seed)
    )
    if not sample.drawn:
        raise ConflictError(
            Reason.CONFLICT, f"nothing up to position {pinned.size - 1} matches: there is nothing to review"
        )
    plan = Plan(
        size=pinned.size,
        root=pinned.root.hex(),
        seed=seed,
        first=span[0],
        end=span[1],
        staff_version=staff.version,
        population=sample.population,
    )
    return plan, assigned(sample.drawn, body.reviewers, staff)


def seed_of(root: bytes, review: UUID) -> str:
    """The seed when nobody gives one: SHA-256 of the root hash and the id of the review, in hexadecimal digits."""
    return sha256(root + review.bytes).hexdigest()


def assigned(drawn: Sequence[Candidate], reviewers: Sequence[Person], staff: Staff) -> list[Item]:
    """The items, numbered from 1. Each goes to the reviewer with the fewest items who is not its subject."""
    loads = dict.fromkeys(range(len(reviewers)), 0)
    items = []
    for number, candidate in enumerate(drawn, 1):
        subject = candidate.subject
        allowed = [
            each for each in loads if subject is None or not staff.are_one(reviewers[each].id, subject)
        ]
        chosen = min(allowed, key=lambda each: (loads[each], each), default=None)
        if chosen is not None:
            loads[chosen] += 1
        item = Item(
            number=number,
            key=candidate.key,
            stratum=candidate.stratum,
            subject=subject,
            positions=list(candidate.positions),
            what=candidate.what,
            reviewer=None if chosen is None else reviewers[chosen],
        )
        items.append(item)
    return items
