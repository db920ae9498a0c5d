"""The worker of reviews: from a command to the read model, the alert about an overdue review, and kills."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest

from audit_trail.cases.worker import CaseWorker
from audit_trail.reviews.worker import ReviewWorker
from detection.cases.case_book import CaseBook
from domain.access.principal import Principal, Role
from domain.cases.commands import Person
from domain.errors import AccessDeniedError, InvalidEventError, RejectedError
from domain.reviews.commands import CloseReview, DecideItem, ReassignItem, ReviewBody, ReviewVerdict
from event_store.aggregate_events import read_aggregate_events
from event_store.case_commands import NewCommand, Outcome, Result, open_commands, outcome_of, submit
from event_store.database import INGEST, Database
from queries.case_commands import CaseCommands
from queries.detection.review_results import ReviewFilter, ReviewItemFilter, ReviewItemView
from tests.detection.live.logs import DELETION, activate, detect
from tests.detection.live.test_inputs import after, columns, the_same_after_a_rebuild
from tests.detection.reviews.given_reviews import ADA, NOW, PAUL, RITA, a_book, accesses, begin
from tests.signing import TEXT
from tests.trail import Trail
from tests.waiting import eventually

SAM = Principal(id="sam", roles=frozenset({Role.SECURITY_OFFICER}))
DECIDE = DecideItem(item=1, verdict=ReviewVerdict.JUSTIFIED, reason="On duty.", seconds=40)
RITAS = begin(reviewers=(Person(id="rita"),), due_at=NOW + timedelta(days=1))


@pytest.fixture
def worker(new_trail: Trail) -> Iterator[ReviewWorker]:
    with (
        closing(a_book(new_trail)) as book,
        closing(ReviewWorker(new_trail.ingest, book, lambda: NOW + timedelta(days=2))) as worker,
    ):
        yield worker


def outcome(
    trail: Trail, worker: ReviewWorker, target: UUID, body: ReviewBody, by: Principal = PAUL
) -> Outcome | None:
    commands, id = CaseCommands(trail.reader), uuid4()
    commands.give_review(by, id, target, body)
    worker.step()
    return commands.wait(id, 0)


def topics(trail: Trail) -> list[str]:
    with trail.projector.transaction(read_only=True) as connection:
        return [each.topic for each in read_aggregate_events(connection, -1, 1000)]


def test_a_review_is_in_the_read_model_from_its_beginning_to_its_result(
    new_trail: Trail, worker: ReviewWorker
) -> None:
    accesses(new_trail, ["ada", "bob"])
    review = uuid4()
    breach = DecideItem(item=1, verdict=ReviewVerdict.POLICY_BREACH, reason="Not on duty.", seconds=50)
    assert outcome(new_trail, worker, review, RITAS) == Outcome(Result.DONE, position=2)
    for body, by in (
        (DECIDE, RITA),
        (breach, RITA),
        (ReassignItem(item=2, reviewer=Person(id="rob"), reason="Rita is away."), PAUL),
        (CloseReview(reason="Enough is seen."), PAUL),
    ):
        found = outcome(new_trail, worker, review, body, by)
        assert found is not None
        assert found.result is Result.DONE, found.error
    detect(new_trail)
    reviews, id = new_trail.read.reviews, str(review)
    [row] = reviews.reviews(ReviewFilter(), 10).reviews
    assert (row.state, row.items, row.decided, row.begun_by, row.tree_size) == ("closed", 2, 1, "paul", 2)
    [(result,)] = columns(new_trail, "SELECT result FROM review")
    assert (result["verdicts"], result["undecided"]) == ({"policy_breach": 1}, 1)

    def items(**conditions: Any) -> list[ReviewItemView]:
        page = reviews.items(id, ReviewItemFilter(**conditions), 10)
        assert page is not None
        return page.items

    first, second = items()
    assert (first.verdict, first.reason, first.decided_by, first.positions) == (
        "policy_breach", "Not on duty.", "rita", [0],
    )  # fmt: skip
    assert (second.verdict, second.reviewer) == (None, "rob")
    assert items(decided=False) == items(reviewer="rob") == [second]
    the_same_after_a_rebuild(new_trail)


def test_an_overdue_review_raises_one_alert_which_opens_a_case(
    new_trail: Trail, worker: ReviewWorker
) -> None:
    accesses(new_trail, ["ada"])
    review = uuid4()
    outcome(new_trail, worker, review, RITAS)
    detect(new_trail)
    for _ in range(2):
        worker._next_look = 0.0  # a minute later
        worker.step()
        detect(new_trail)
    assert topics(new_trail).count("review.overdue_noticed") == 1
    [(title, level, group, reasons, position)] = columns(
        new_trail, "SELECT title, level, group_key, reasons, position FROM alert"
    )
    assert (title, level, group) == ("A review is overdue", "high", f'[["review","{review}"]]')
    assert reasons[0].endswith("and 1 of 1 items are not decided.")
    assert position == 3
    with closing(CaseBook(new_trail.url, TEXT)) as book, closing(CaseWorker(new_trail.ingest, book)) as cases:
        while cases.step():
            detect(new_trail)
    assert "case.opened" in topics(new_trail)
    after(new_trail)
    activate(new_trail, DELETION)
    detect(new_trail)
    the_same_after_a_rebuild(new_trail)


def test_what_is_refused_says_why(new_trail: Trail, worker: ReviewWorker) -> None:
    assert outcome(new_trail, worker, uuid4(), RITAS) == Outcome(
        Result.REFUSED, "the log is empty: there is nothing to review"
    )
    accesses(new_trail, ["ada"])
    review = uuid4()
    # Whoever has the login of `serve` can store what `CaseCommands` refuses.
    wrong = NewCommand(uuid4(), review, begin(filter={"types": ["record.read"]}), PAUL)
    submit(new_trail.reader, wrong)
    worker.step()
    assert outcome_of(new_trail.reader, wrong.id) == Outcome(
        Result.REFUSED, "there is no such condition of events", "filter.types"
    )
    outcome(new_trail, worker, review, begin(reviewers=(Person(id="rob"),)))
    denied = outcome(new_trail, worker, review, DECIDE, RITA)
    assert denied is not None
    assert denied.result is Result.DENIED


def test_who_has_no_role_is_refused_before_anything_is_stored(new_trail: Trail) -> None:
    commands = CaseCommands(new_trail.reader)
    for by, body in ((ADA, RITAS), (RITA, RITAS), (ADA, DECIDE)):
        with pytest.raises(AccessDeniedError, match="needs one of the roles"):
            commands.give_review(by, uuid4(), uuid4(), body)
    with pytest.raises(InvalidEventError, match="reason: write at least one word"):
        commands.give_review(PAUL, uuid4(), uuid4(), CloseReview(reason=" "))
    with pytest.raises(RejectedError, match=r"filter\.types: there is no such condition"):
        commands.give_review(PAUL, uuid4(), uuid4(), begin(filter={"types": ["record.read"]}))
    # The names of patients are hidden from a security officer, who could guess one by beginning a review.
    named = begin(filter={"patient": ["DOE^JANE"]})
    with pytest.raises(AccessDeniedError):
        commands.give_review(SAM, uuid4(), uuid4(), named)
    assert open_commands(new_trail.ingest, 10, reviews=True) == []


def test_each_worker_takes_its_own_commands(new_trail: Trail, worker: ReviewWorker) -> None:
    accesses(new_trail, ["ada"])
    commands, id = CaseCommands(new_trail.reader), uuid4()
    commands.give_review(PAUL, id, uuid4(), RITAS)
    with closing(CaseBook(new_trail.url, TEXT)) as book, closing(CaseWorker(new_trail.ingest, book)) as cases:
        assert not cases.step()
    assert commands.wait(id, 0) is None
    assert worker.step()
    assert commands.wait(id, 0) is not None


def _work_until_killed(url: str) -> None:
    trail = Trail(url)
    ReviewWorker(Database(url, INGEST), a_book(trail)).step()


def test_a_kill_between_the_append_and_the_outcome_draws_no_second_work_list(new_trail: Trail) -> None:
    accesses(new_trail, ["ada"] * 3)
    commands, id, review = CaseCommands(new_trail.reader), uuid4(), uuid4()
    commands.give_review(PAUL, id, review, RITAS)
    with closing(psycopg2.connect(new_trail.url)) as connection, connection.cursor() as cursor:
        # The outcome can't be written while this lock lasts.
        cursor.execute("SELECT FROM audit_trail.case_command WHERE id = %s FOR UPDATE", (str(id),))
        child = multiprocessing.get_context("spawn").Process(target=_work_until_killed, args=(new_trail.url,))
        child.start()
        eventually(lambda: "review.items_assigned" in topics(new_trail))
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        connection.rollback()
    before = topics(new_trail)
    with closing(a_book(new_trail)) as book, closing(ReviewWorker(new_trail.ingest, book)) as worker:
        eventually(lambda: worker.step() or not open_commands(new_trail.ingest, 1, reviews=True))
    assert topics(new_trail) == before == ["review.begun", "review.items_assigned"]
    assert commands.wait(id, 0) == Outcome(Result.DONE, position=3)
