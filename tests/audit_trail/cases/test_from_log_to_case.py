"""The whole way: an event that a rule matches is in a case, and a rebuild changes nothing about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from uuid import UUID, uuid4

import pytest

from audit_trail.cases.worker import CaseWorker
from detection.cases.case_book import CaseBook
from detection.live.installed import installed
from projections.rebuild.coordinator import rebuild
from queries.case_commands import CaseCommands
from tests.detection.cases.given_cases import RITA
from tests.detection.cases.test_case import DECIDE
from tests.detection.live.logs import DELETION, activate, deletion, detect
from tests.detection.live.test_inputs import after, columns
from tests.projections.rebuild.rebuilds import Rebuilt, parts_of
from tests.signing import TEXT
from tests.trail import Trail

CASES = "SELECT actor, state, alerts, verdict, earlier_case IS NOT NULL FROM detection_case ORDER BY opened_position"


@pytest.fixture
def worker(new_trail: Trail) -> Iterator[CaseWorker]:
    with (
        closing(CaseBook(new_trail.url, TEXT)) as book,
        closing(CaseWorker(new_trail.ingest, book)) as worker,
    ):
        yield worker


def happens(trail: Trail, worker: CaseWorker, *actors: str) -> None:
    """Each actor deletes a record; detection, the worker, and detection again do their work."""
    after(trail)
    trail.append(*map(deletion, actors))
    detect(trail)
    while worker.step():
        detect(trail)


def test_an_event_opens_a_case_that_is_decided_and_the_next_one_opens_another(
    new_trail: Trail, worker: CaseWorker
) -> None:
    activate(new_trail, DELETION)
    happens(new_trail, worker, "eve", "eve", "mallory")
    assert columns(new_trail, CASES) == [
        ("eve", "open", 2, None, False),
        ("mallory", "open", 1, None, False),
    ]
    [(case,)] = columns(new_trail, "SELECT case_id FROM detection_case WHERE actor = 'eve'")
    CaseCommands(new_trail.reader).give(RITA, uuid4(), UUID(case), DECIDE)
    happens(new_trail, worker, "eve")
    assert columns(new_trail, CASES) == [
        ("eve", "decided", 2, "justified", False),
        ("mallory", "open", 1, None, False),
        ("eve", "open", 1, None, True),
    ]


def test_after_a_rebuild_no_alert_is_taken_again(new_trail: Trail, worker: CaseWorker) -> None:
    activate(new_trail, DELETION)
    happens(new_trail, worker, "eve", "mallory")
    before = columns(new_trail, CASES)
    after(new_trail)
    size = new_trail.size
    [outcome] = rebuild(parts_of(new_trail, Rebuilt(), source=installed), ["detection"])
    assert outcome.failure == ""
    assert not worker.step()
    assert columns(new_trail, CASES) == before
    after(new_trail)
    assert new_trail.size == size


def test_detection_that_begins_anew_finds_its_alerts_in_their_cases(
    new_trail: Trail, worker: CaseWorker
) -> None:
    """The alerts come back before the events that put them into cases: the book knows them."""
    activate(new_trail, DELETION)
    happens(new_trail, worker, *["eve"] * 5)
    before = columns(new_trail, CASES)
    with new_trail.projector.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT schema_name FROM audit_trail.projection WHERE name = 'detection'")
        [(schema,)] = cursor.fetchall()
        cursor.execute(f"TRUNCATE {schema}.case_alert, {schema}.detection_case, {schema}.case_entry")
    with closing(CaseBook(new_trail.url, TEXT)) as book, closing(CaseWorker(new_trail.ingest, book)) as again:
        worker.close()
        assert again.step()
        assert not again.step()
    [outcome] = rebuild(parts_of(new_trail, Rebuilt(), source=installed), ["detection"])
    assert outcome.failure == ""
    assert columns(new_trail, CASES) == before
