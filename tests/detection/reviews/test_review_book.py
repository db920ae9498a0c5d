"""Reviews on a real log: what is drawn, who decides, and that it is done once."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from detection.reviews.review import Review
from detection.reviews.review_book import ReviewBook
from detection.reviews.sampling import rank
from detection.reviews.work_list import seed_of
from domain.access.principal import Principal
from domain.cases.commands import Person
from domain.errors import AccessDeniedError, ConflictError, RejectedError
from domain.reviews.commands import (
    BeginReview,
    CloseReview,
    DecideItem,
    ReassignItem,
    ReviewBody,
    ReviewKind,
    ReviewVerdict,
    Strata,
)
from event_store.aggregate_events import read_aggregate_events
from event_store.database import READER
from event_store.heads import newest_head
from event_store.verify.run import verify
from tests.detection.reviews.given_reviews import (
    ADA,
    NOW,
    PAUL,
    RITA,
    ROB,
    a_book,
    accesses,
    begin,
    command,
    granted,
    staff,
)
from tests.signing import KEY
from tests.trail import Trail, an_event

DECIDE = DecideItem(item=1, verdict=ReviewVerdict.JUSTIFIED, reason="On duty.", seconds=40)
CLOSE = CloseReview(reason="All is decided.")


def begun(book: ReviewBook, body: BeginReview) -> Review:
    given = command(uuid4(), body)
    book.carry_out(given)
    return the_review(book, given.target)


def the_review(book: ReviewBook, id: UUID) -> Review:
    found: Review = book.repository.get(id)
    return found


REVIEWERS = {"rita": RITA, "rob": ROB}


def events(book: ReviewBook, id: UUID) -> list[Any]:
    return list(book.events.get(id))


def decide_all(book: ReviewBook, review: Review) -> None:
    for number, reviewer in review.reviewers.items():
        if reviewer is not None:
            body = DecideItem(item=number, verdict=ReviewVerdict.JUSTIFIED, reason="On duty.", seconds=5)
            book.carry_out(command(review.id, body, REVIEWERS[reviewer.id]))


def topics(trail: Trail) -> list[str]:
    with trail.projector.transaction(read_only=True) as connection:
        return [each.topic for each in read_aggregate_events(connection, -1, 100_000)]


def test_the_work_list_is_pinned_to_the_tree_head(book: ReviewBook, trail: Trail) -> None:
    accesses(trail, ["ada"] * 30)
    with trail.reader.transaction(read_only=True) as connection:
        head = newest_head(connection)
    assert head is not None
    id = uuid4()
    book.carry_out(command(id, begin(sample_size=7)))
    accesses(trail, ["ada"] * 30)
    [opened, *_] = events(book, id)
    plan = opened.plan
    assert (plan.size, plan.root, plan.seed) == (30, head.root.hex(), seed_of(head.root, id))
    expected = sorted(range(30), key=lambda position: rank(bytes.fromhex(plan.seed), "", str(position)))[:7]
    found = [position for item in the_review(book, id).items.values() for position in item.positions]
    assert found == sorted(expected)


def test_the_same_seed_draws_the_same_items(book: ReviewBook, trail: Trail) -> None:
    accesses(trail, ["ada", "bob", "cy"] * 20)
    body = begin(seed="ab" * 16, strata=Strata.ACTOR, sample_size=9)
    one, two = begun(book, body), begun(book, body)
    assert one.items == two.items
    assert Counter(item.subject for item in one.items.values()) == {"ada": 3, "bob": 3, "cy": 3}


def test_the_filter_and_the_period_choose_the_events(book: ReviewBook, trail: Trail) -> None:
    accesses(trail, ["ada"] * 3)
    trail.append(an_event("record.exported", actor={"id": "ada"}), an_event("record.exported"))
    review = begun(book, begin(filter={"type": ["record.exported"], "actor": "ada"}))
    assert [item.positions for item in review.items.values()] == [[3]]
    with pytest.raises(ConflictError, match="nothing up to position"):
        begun(book, begin(period_until=NOW - timedelta(days=1)))
    with pytest.raises(RejectedError, match=r"filter\.who: there is no such condition"):
        begun(book, begin(filter={"who": "ada"}))
    with pytest.raises(RejectedError, match=r"filter\.actor: "):
        begun(book, begin(filter={"actor": 3}))


def test_strata_are_departments_of_the_staff_at_the_pinned_head(book: ReviewBook, trail: Trail) -> None:
    staff(trail, {"id": "ada", "departments": ["surgery"]}, {"id": "bob", "departments": ["billing"]})
    accesses(trail, ["ada"] * 8 + ["bob"] * 2)
    review = begun(book, begin(strata=Strata.DEPARTMENT, sample_size=5, filter={"type": ["record.read"]}))
    assert Counter(item.stratum for item in review.items.values()) == {"surgery": 4, "billing": 1}
    [opened, *_] = events(book, review.id)
    assert opened.plan.population == {"billing": 2, "surgery": 8}
    assert opened.plan.staff_version == 1


def test_nobody_reviews_themselves_also_under_another_id(book: ReviewBook, trail: Trail) -> None:
    staff(trail, {"id": "rita", "other_ids": ["r.reviewer"]})
    accesses(trail, ["rita", "r.reviewer", "rob", "ada"])
    review = begun(book, begin(filter={"type": ["record.read"]}))
    reviewers = {item.subject: item.reviewer and item.reviewer.id for item in review.items.values()}
    assert reviewers["rita"] == reviewers["r.reviewer"] == "rob"
    assert reviewers["rob"] == "rita"


def test_an_item_that_nobody_may_review_says_so_and_goes_to_somebody_else(
    book: ReviewBook, trail: Trail
) -> None:
    accesses(trail, ["rita"])
    review = begun(book, begin(reviewers=(Person(id="rita"),)))
    assert review.items[1].reviewer is None
    with pytest.raises(AccessDeniedError):
        book.carry_out(command(review.id, DECIDE, RITA))
    with pytest.raises(RejectedError, match="reviewer: the item is about this person"):
        book.carry_out(command(review.id, ReassignItem(item=1, reviewer=Person(id="rita"), reason="x")))
    book.carry_out(command(review.id, ReassignItem(item=1, reviewer=Person(id="rob"), reason="x")))
    book.carry_out(command(review.id, DECIDE, ROB))
    assert the_review(book, review.id).undecided == 0


@pytest.mark.parametrize(
    ("body", "by"), [(begin(), RITA), (CLOSE, RITA), (DECIDE, ADA), (begin(), ADA), (DECIDE, ROB)]
)
def test_who_may_do_what(book: ReviewBook, trail: Trail, body: ReviewBody, by: Principal) -> None:
    accesses(trail, ["ada"])
    review = begun(book, begin(reviewers=(Person(id="rita"),)))
    with pytest.raises(AccessDeniedError):
        book.carry_out(command(review.id, body, by))


def test_a_decision_can_be_corrected_until_the_review_is_closed(book: ReviewBook, trail: Trail) -> None:
    accesses(trail, ["ada"])
    review = begun(book, begin(reviewers=(Person(id="rita"),)))
    breach = DecideItem(item=1, verdict=ReviewVerdict.POLICY_BREACH, reason="I was wrong.", seconds=60)
    for body, by in ((DECIDE, RITA), (breach, RITA), (CLOSE, PAUL)):
        book.carry_out(command(review.id, body, by))
    [*_, corrected, closed] = events(book, review.id)
    assert corrected.correction
    assert closed.result.verdicts == {"policy_breach": 1}
    assert (closed.result.decided, closed.result.undecided, closed.result.seconds) == (1, 0, 60)
    for late in (DECIDE, CLOSE):
        with pytest.raises(ConflictError, match="this review is closed"):
            book.carry_out(command(review.id, late, RITA if late is DECIDE else PAUL))


def test_what_is_wrong_is_refused(book: ReviewBook, trail: Trail) -> None:
    accesses(trail, ["ada"])
    with pytest.raises(RejectedError, match="due_at: give a date in the future"):
        begun(book, begin(due_at=NOW - timedelta(days=1)))
    review = begun(book, begin(reviewers=(Person(id="rita"),)))
    for body, message in (
        (
            DecideItem(item=2, verdict=ReviewVerdict.UNCLEAR, reason="x"),
            "item: this review has the items 1 to 1",
        ),
        (DecideItem(item=1, verdict=ReviewVerdict.REVOKE, reason="x"), "verdict: only a role or an account"),
    ):
        with pytest.raises(RejectedError, match=message):
            book.carry_out(command(review.id, body, RITA))
    with pytest.raises(RejectedError, match="target: there is no such review"):
        book.carry_out(command(uuid4(), CLOSE))


def test_another_process_finds_a_command_done(book: ReviewBook, trail: Trail) -> None:
    """As after a kill between the append and the outcome: also the work list is drawn once."""
    accesses(trail, ["ada"] * 3)
    first = command(uuid4(), begin(reviewers=(Person(id="rita"),)))
    given = [first, command(first.target, DECIDE, RITA), command(first.target, CLOSE)]
    versions = [book.carry_out(each) for each in given]
    with closing(a_book(trail)) as other:
        size = len(topics(trail))
        assert [other.carry_out(each) for each in given] == versions
        assert len(topics(trail)) == size
        with pytest.raises(ConflictError, match="target: this is the id of something else"):
            other.carry_out(command(first.target, begin()))


def test_what_is_overdue_is_noticed_once(book: ReviewBook, trail: Trail) -> None:
    accesses(trail, ["ada"] * 2)
    review = begun(book, begin(due_at=NOW + timedelta(days=1)))
    assert not book.notice_overdue(review.id, NOW)
    assert book.notice_overdue(review.id, NOW + timedelta(days=2))
    assert not book.notice_overdue(review.id, NOW + timedelta(days=3))
    done = begun(book, begin(due_at=NOW + timedelta(days=1)))
    decide_all(book, done)
    assert not book.notice_overdue(done.id, NOW + timedelta(days=2))
    assert topics(trail).count("review.overdue_noticed") == 1


@pytest.fixture
def accounts(trail: Trail) -> Trail:
    """Ada has two roles and uses them, bob has left, cy never came, dan lost his role."""
    staff(
        trail,
        {"id": "ada", "departments": ["surgery"], "roles": ["doctor"]},
        {"id": "bob", "active": False},
        {"id": "eve", "roles": ["nurse"]},
    )
    trail.append(
        granted("ada", "doctor", "lead"),
        granted("bob", "billing"),
        granted("dan", "nurse"),
        granted("dan", before=["nurse"]),
        an_event("user.logged_in", actor={"id": "ada"}),
        an_event("role.changed", actor={"id": "x"}, resources=[{"type": "User", "id": "cy"}]),
        an_event("emergency_access.started", actor={"id": "ada"}, reason="cardiac arrest"),
    )
    return trail


def what(review: Review) -> dict[Any, list[int]]:
    return {item.key: item.positions for item in review.items.values()}


@pytest.mark.usefixtures("accounts")
def test_grants_are_reviewed_with_their_last_use(book: ReviewBook) -> None:
    review = begun(book, begin(reviewed=ReviewKind.GRANTS))
    assert what(review) == {
        "ada\ndoctor": [1, 7],
        "ada\nlead": [1, 7],
        "bob\nbilling": [2],
        "cy\nnot named by the event": [6],
    }
    assert "last used" in review.items[1].what
    assert "never used" in review.items[3].what
    revoke = DecideItem(item=3, verdict=ReviewVerdict.REVOKE, reason="He has left.")
    reviewer = review.reviewers[3]
    assert reviewer is not None
    book.carry_out(command(review.id, revoke, REVIEWERS[reviewer.id]))


@pytest.mark.usefixtures("accounts")
def test_dormant_accounts_are_those_of_people_who_left_and_those_never_used(
    book: ReviewBook,
) -> None:
    review = begun(book, begin(reviewed=ReviewKind.DORMANT))
    assert {item.key: item.what for item in review.items.values()} == {
        "bob": "account bob: the person has left",
        "eve": "account eve: never used, as far as the log goes",
    }


@pytest.mark.usefixtures("accounts")
def test_uses_of_emergency_access_are_reviewed(book: ReviewBook) -> None:
    assert what(begun(book, begin(reviewed=ReviewKind.BREAK_GLASS))) == {"7": [7]}


def test_the_events_are_sealed_like_all_others(book: ReviewBook, trail: Trail) -> None:
    accesses(trail, ["ada"] * 4)
    decide_all(book, begun(book, begin()))
    report = verify(trail.url, READER, (KEY.verifier,))
    assert report.size == 4 + 2 + 4
    # The events of this test have no Kafka partition.
    assert all("belongs to neither a Kafka partition" in each.what for each in report.findings)
