"""Reviews and their items through the schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from uuid import UUID

import pytest

from domain.access.principal import Principal, Role
from queries.read_models import ReadModels
from tests.databases import PROJECTED, Databases
from tests.detection.reviews.given_reviews import RITA, ROB
from tests.graphql_api.answers import ask, codes
from tests.graphql_api.conftest import Execute
from tests.queries.detection.given_reviews import GivenReviews, given_reviews
from tests.trail import Trail

REVIEWS = """query ($first: Int!, $after: String, $filter: ReviewFilter) {
  reviews(first: $first, after: $after, filter: $filter) {
    asOfPosition
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { cursor node { reviewId name purpose kind state begunPosition begunAt begunBy dueAt overdueAt items decided
      withoutReviewer ownItems ownDecided treeSize rootHash closedAt closedBy closeReason position changedAt } }
    nodes { reviewId }
  }
}"""
REVIEW = """query ($id: ID!) {
  review(id: $id) {
    review { reviewId state } filter periodFrom periodUntil dormantDays sampleSize strataBy seed firstPosition
    endPosition staffVersion candidates reviewers { reviewer reviewerName items decided }
    strata { stratum candidates items decided } strataCount verdicts { verdict items } seconds itemsAboutYou
    asOfPosition
  }
}"""
ITEMS = """query ($id: ID!, $first: Int!, $after: String, $filter: ReviewItemFilter) {
  reviewItems(id: $id, first: $first, after: $after, filter: $filter) {
    asOfPosition
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { cursor node { item stratum subject what positions reviewer reviewerName mine verdict reason seconds
      decidedBy decidedAt decisions } }
    nodes { item }
  }
}"""
ITEM = """query ($id: ID!, $item: Int!) {
  reviewItem(id: $id, item: $item) { item { item what } events { position type actor { id } } asOfPosition }
}"""


@pytest.fixture(scope="module")
def given(databases: Databases) -> Iterator[GivenReviews]:
    with databases.copy(PROJECTED) as url, closing(Trail(url)) as trail, given_reviews(trail) as reviews:
        yield reviews


@pytest.fixture(scope="module")
def review(given: GivenReviews) -> UUID:
    review = given.given()
    given.decided(review, 4, ROB)
    return review


def test_reviews_are_pages_that_follow_each_other(
    given: GivenReviews, review: UUID, execute: Execute
) -> None:
    newer = given.begun(name="Newer")
    models = given.trail.read
    first = ask(execute, models, REVIEWS, first=1)["reviews"]
    [edge] = first["edges"]
    assert first["pageInfo"] == {
        "hasNextPage": True,
        "hasPreviousPage": False,
        "startCursor": edge["cursor"],
        "endCursor": edge["cursor"],
    }
    assert (edge["node"]["reviewId"], edge["node"]["kind"], edge["node"]["state"]) == (
        str(newer), "EVENTS", "OPEN",
    )  # fmt: skip
    second = ask(execute, models, REVIEWS, first=1, after=edge["cursor"])["reviews"]
    assert [each["node"]["reviewId"] for each in second["edges"]] == [str(review)]
    assert not second["pageInfo"]["hasNextPage"]
    closed = ask(execute, models, REVIEWS, first=9, filter={"state": "CLOSED", "overdue": False})["reviews"]
    assert closed["nodes"] == []


def test_a_review_has_its_numbers_and_its_items(given: GivenReviews, review: UUID, execute: Execute) -> None:
    models, id = given.trail.read, str(review)
    shown = ask(execute, models, REVIEW, id=id)["review"]
    assert (shown["filter"], shown["strataBy"], shown["candidates"]) == ({"category": ["data"]}, "TYPE", 4)
    assert shown["verdicts"] == [{"verdict": "JUSTIFIED", "items": 1}]
    assert [each["reviewer"] for each in shown["reviewers"]] == ["rita", "rob"]
    first = ask(execute, models, ITEMS, id=id, first=3)["reviewItems"]
    assert [each["item"] for each in first["nodes"]] == [1, 2, 3]
    rest = ask(execute, models, ITEMS, id=id, first=3, after=first["pageInfo"]["endCursor"])["reviewItems"]
    assert [(each["node"]["item"], each["node"]["verdict"]) for each in rest["edges"]] == [(4, "JUSTIFIED")]
    undecided = ask(execute, models, ITEMS, id=id, first=9, filter={"decided": False, "reviewer": "rob"})
    assert [each["item"] for each in undecided["reviewItems"]["nodes"]] == [2]
    item = ask(execute, models, ITEM, id=id, item=1)["reviewItem"]
    assert item["events"] == [{"position": 0, "type": "record.read", "actor": {"id": "ada"}}]
    nothing = ask(
        execute, models, '{ review(id: "x") { seed } reviewItems(id: "x", first: 1) { asOfPosition } }'
    )
    assert nothing == {"review": None, "reviewItems": None}


def test_a_reviewer_sees_the_own_items_and_others_are_denied(
    given: GivenReviews, review: UUID, execute: Execute
) -> None:
    found = execute(given.models(RITA), ITEMS, id=str(review), first=9)
    assert found.errors is None
    assert found.data is not None
    assert [each["item"] for each in found.data["reviewItems"]["nodes"]] == [1, 3]
    clinician = given.models(Principal(id="ada", roles=frozenset({Role.CLINICIAN}), actors=("ada",)))
    for query in (REVIEWS, REVIEW, ITEMS, ITEM):
        result = execute(clinician, query, first=1, id=str(review), item=1)
        assert set(codes(result)) == {"FORBIDDEN"}


def test_wrong_arguments_are_named(unread: ReadModels, execute: Execute) -> None:
    for variables, code in (
        ({"first": 0}, "BAD_USER_INPUT"),
        ({"first": 101}, "LIMIT_EXCEEDED"),
        ({"first": 1, "after": "x"}, "BAD_CURSOR"),
    ):
        assert codes(execute(unread, REVIEWS, **variables)) == [code]
        assert codes(execute(unread, ITEMS, id="r-1", **variables)) == [code]
