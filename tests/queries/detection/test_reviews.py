"""Reviews, how far they are, and their items, as queries show them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from uuid import UUID, uuid4

import psycopg2
import psycopg2.extensions
import pytest

from domain.access.principal import Principal, Role
from domain.errors import RejectedError
from domain.reviews.commands import ReviewKind, ReviewVerdict, Strata
from projections.registry import open_snapshot
from queries.detection import reviews as module
from queries.detection.results import BEGIN
from queries.detection.review_results import (
    EVERYTHING,
    ReviewFilter,
    ReviewItemFilter,
    ReviewPage,
    ReviewReader,
    ReviewState,
    VerdictCount,
)
from queries.detection.reviews import find_item, find_items, find_review, find_reviews
from tests.databases import PROJECTED, Databases
from tests.detection.cases.live_detection import LiveDetection
from tests.detection.reviews.given_reviews import RITA, ROB
from tests.queries.detection.given_reviews import GivenReviews, given_reviews
from tests.queries.detection.test_plans import Explaining
from tests.trail import Trail

AUDITOR = Principal(id="auditor", roles=frozenset({Role.AUDITOR}))
MANY = """
INSERT INTO {schema}.review (review_id, begun_position, begun_at, begun_by, name, purpose, kind, plan, due_at,
    state_position, state, items, decided, without_reviewer, position, changed_at)
SELECT 'r-' || n, n, timestamptz '2026-01-01Z', 'x', 'Name', 'Why', 'events',
    '{{"filter": {{}}, "period_from": null, "period_until": null, "dormant_days": 90, "sample_size": 9,
      "strata": "none",
      "plan": {{"seed": "00", "first": 0, "end": 9, "staff_version": null, "population": {{"": 9}}}}}}',
    timestamptz '2026-01-01Z', n, CASE WHEN n % 50 = 0 THEN 'open' ELSE 'closed' END, 100, 50, 0, n,
    timestamptz '2026-01-01Z'
FROM generate_series(1, 400) AS n;
INSERT INTO {schema}.review_item (review_id, item, stratum, subject, what, positions, reviewer, decisions)
SELECT 'r-' || n, i, '', 'ada', 'what', '[1]', 'reviewer-' || i % 50, 0
FROM generate_series(1, 400) AS n, generate_series(1, 100) AS i;
ANALYZE {schema}.review, {schema}.review_item;
"""


@pytest.fixture(scope="module")
def given(databases: Databases) -> Iterator[GivenReviews]:
    with (
        databases.copy(PROJECTED) as url,
        closing(Trail(url)) as trail,
        given_reviews(trail) as reviews,
    ):
        yield reviews


@pytest.fixture(scope="module")
def review(given: GivenReviews) -> UUID:
    """Of four items Rita has decided one, twice, and Rob one."""
    review = given.given()
    given.decided(review, 1, RITA, seconds=30)
    given.decided(review, 1, RITA, verdict=ReviewVerdict.POLICY_BREACH, reason="Not on duty.", seconds=50)
    given.decided(review, 4, ROB)
    return review


def test_a_review_says_how_it_was_drawn_and_how_far_it_is(given: GivenReviews, review: UUID) -> None:
    found = given.models(AUDITOR).review(str(review))
    assert found is not None
    view = found.review
    assert (view.name, view.kind, view.state, view.items, view.decided) == (
        "Accesses of spring", ReviewKind.EVENTS, ReviewState.OPEN, 4, 2,
    )  # fmt: skip
    assert (found.filter, found.strata_by, found.candidates, view.tree_size) == (
        {"category": ["data"]}, Strata.TYPE, 4, 4,
    )  # fmt: skip
    assert (found.first_position, found.end_position, len(found.seed)) == (0, 4, 64)
    assert [(each.reviewer, each.items, each.decided) for each in found.reviewers] == [
        ("rita", 2, 1), ("rob", 2, 1),
    ]  # fmt: skip
    [stratum] = found.strata
    assert (stratum.stratum, stratum.candidates, stratum.items, stratum.decided) == ("record.read", 4, 4, 2)
    assert found.verdicts == [
        VerdictCount(verdict=ReviewVerdict.JUSTIFIED, items=1),
        VerdictCount(verdict=ReviewVerdict.POLICY_BREACH, items=1),
    ]
    assert (found.seconds, found.strata_count, found.items_about_you) == (90, 1, 0)
    assert given.models(AUDITOR).review(str(uuid4())) is None


def test_items_are_paged_and_selected(given: GivenReviews, review: UUID) -> None:
    models, id = given.models(AUDITOR), str(review)
    numbers, after = [], 0
    while True:
        page = models.review_items(id, ReviewItemFilter(), 3, after)
        assert page is not None
        numbers.append([each.item for each in page.items])
        if page.next is None:
            break
        after = page.next
    assert numbers == [[1, 2, 3], [4]]

    def selected(**conditions: object) -> list[int]:
        return [each.item for each in given.items(review, AUDITOR, **conditions)]

    assert selected(reviewer="rob") == [2, 4]
    assert selected(decided=False) == [2, 3]
    assert selected(verdict=ReviewVerdict.POLICY_BREACH) == [1]
    assert selected(assigned=False) == selected(mine=True) == []
    first = given.items(review, AUDITOR)[0]
    assert (first.what, first.subject, first.verdict, first.reason, first.decisions) == (
        "record.read by ada", "ada", ReviewVerdict.POLICY_BREACH, "Not on duty.", 2,
    )  # fmt: skip
    assert models.review_items(str(uuid4()), ReviewItemFilter()) is None


def test_an_item_has_its_events(given: GivenReviews, review: UUID) -> None:
    found = given.models(AUDITOR).review_item(str(review), 1)
    assert found is not None
    assert [(each.position, each.event.actor.id) for each in found.events] == [(0, "ada")]
    assert given.models(AUDITOR).review_item(str(review), 9) is None
    with pytest.raises(RejectedError, match="item: from 1 to 10000"):
        given.models(AUDITOR).review_item(str(review), 0)


def test_reviews_are_listed_newest_first_selected_and_paged(
    given: GivenReviews, review: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [given.begun(name=f"Review {n}") for n in range(3)]
    given.closed(others[0])

    def listed(**conditions: object) -> list[str]:
        page = given.models(AUDITOR).reviews(ReviewFilter(**conditions))  # type: ignore[arg-type]
        return [each.review_id for each in page.reviews]

    whole = [str(each) for each in (*reversed(others), review)]
    assert listed() == listed(kind=ReviewKind.EVENTS) == listed(overdue=False) == whole
    assert listed(state=ReviewState.CLOSED) == [str(others[0])]
    assert listed(overdue=True) == listed(mine=True) == listed(kind=ReviewKind.DORMANT) == []
    monkeypatch.setattr(module, "WALK", 3)
    for filter in (ReviewFilter(), ReviewFilter(kind=ReviewKind.EVENTS)):
        read, place = [], BEGIN
        while True:
            page = given.models(AUDITOR).reviews(filter, 2, place)
            read += [each.review_id for each in page.reviews]
            if page.next is None:
                break
            place = page.next
        assert read == whole


def test_without_detection_there_is_nothing(new_trail: Trail) -> None:
    reviews = new_trail.read.reviews
    assert reviews.reviews(ReviewFilter(), 5) == ReviewPage([], -1, None)
    assert reviews.review("r-1") is None
    assert reviews.items("r-1", ReviewItemFilter(), 5) is None
    assert reviews.item("r-1", 1) is None


@pytest.fixture
def explained(trail: Trail) -> Iterator[psycopg2.extensions.connection]:
    schema = LiveDetection(trail).build.schema
    with closing(psycopg2.connect(trail.url)) as connection:
        with connection.cursor() as cursor:
            cursor.execute(MANY.format(schema=schema))
        connection.commit()
        open_snapshot(connection)
        connection.cursor_factory = Explaining
        Explaining.plans.clear()
        yield connection


def test_no_query_reads_the_items_of_all_reviews(explained: psycopg2.extensions.connection) -> None:
    rita = ReviewReader(("reviewer-7",), only_own=True)
    for reader in (EVERYTHING, rita):
        assert len(find_reviews(explained, ReviewFilter(), 50, 1, reader).reviews) == 50
        assert find_review(explained, "r-7", 1, reader) is not None
        assert find_items(explained, "r-7", ReviewItemFilter(decided=False), 50, 1, reader) is not None
        assert find_item(explained, "r-7", 7, reader) is not None
    for plan in Explaining.plans:
        assert "Seq Scan on review_item " not in plan, plan
