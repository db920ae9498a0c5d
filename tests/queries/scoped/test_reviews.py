"""Who sees which reviews and items, what of them is hidden, and which reads are recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from uuid import UUID

import pytest

from domain.access.principal import Principal, Role
from domain.cases.commands import Person
from domain.errors import AccessDeniedError
from domain.event import ActorKind
from domain.read_audit.query_log import QueryLog
from domain.reviews.commands import ReviewVerdict, Strata
from event_store.case_commands import Result
from queries.detection.review_results import ReviewFilter, ReviewItemFilter
from queries.scoped.read_models import ScopedModels
from tests.databases import PROJECTED, Databases
from tests.detection.reviews.given_reviews import PAUL, RITA, ROB
from tests.queries.detection.given_reviews import GivenReviews, given_reviews
from tests.trail import Trail, an_event

READS: dict[str, Callable[[ScopedModels, str], Any]] = {
    "reviews": lambda models, _: models.reviews(ReviewFilter()),
    "review": lambda models, name: models.review(name),
    "review_items": lambda models, name: models.review_items(name, ReviewItemFilter()),
    "review_item": lambda models, name: models.review_item(name, 1),
}
SEE = {Role.AUDITOR, Role.PRIVACY_OFFICER, Role.SECURITY_OFFICER, Role.REVIEWER, Role.ADMIN}


@pytest.fixture(scope="module")
def given(databases: Databases) -> Iterator[GivenReviews]:
    with databases.copy(PROJECTED) as url, closing(Trail(url)) as trail, given_reviews(trail) as reviews:
        yield reviews


@pytest.fixture(scope="module")
def review(given: GivenReviews) -> UUID:
    review = given.given()
    given.decided(review, 4, ROB, verdict=ReviewVerdict.POLICY_BREACH)
    return review


def person(*roles: Role, id: str = "somebody", **claims: Any) -> Principal:
    return Principal(id=id, roles=frozenset(roles), **claims)


def test_each_role_reads_or_is_denied_and_both_are_logged(given: GivenReviews, review: UUID) -> None:
    for role in Role:
        for name, read in READS.items():
            log = QueryLog()
            models = given.models(person(role), log)
            if role in SEE:
                found = read(models, str(review))
                assert [each.operation for each in log.queries] == [name]
                if role is Role.REVIEWER:
                    assert not (found.reviews if name == "reviews" else found), name
                else:
                    assert found, name
            else:
                with pytest.raises(AccessDeniedError, match="needs one of the roles"):
                    read(models, str(review))
                assert [each.operation for each in log.take_denied().queries] == [name]


def test_a_reviewer_sees_reviews_with_own_items_and_of_these_the_own_items(
    given: GivenReviews, review: UUID
) -> None:
    assert [each.item for each in given.items(review, RITA)] == [1, 3]
    assert all(each.mine for each in given.items(review, RITA))
    assert given.items(review, RITA, reviewer="rob") == []
    models = given.models(RITA)
    [listed] = models.reviews(ReviewFilter(mine=True)).reviews
    assert (listed.own_items, listed.own_decided, listed.items) == (2, 0, 4)
    detail = models.review(str(review))
    assert detail is not None
    # What others have decided is not counted for her.
    assert [each.reviewer for each in detail.reviewers] == ["rita"]
    assert (detail.verdicts, [each.items for each in detail.strata]) == ([], [2])
    assert models.review_item(str(review), 4) is None
    other = given.begun(reviewers=(Person(id="rob"),))
    assert models.review(str(other)) is None
    assert models.review_items(str(other), ReviewItemFilter()) is None
    by_other_id = person(Role.REVIEWER, id="sub-1", actors=("rita",))
    assert [each.item for each in given.items(review, by_other_id)] == [1, 3]
    robot = person(Role.REVIEWER, id="rita", kind=ActorKind.SERVICE)
    assert given.models(robot).reviews(ReviewFilter()).reviews == []
    both = person(Role.REVIEWER, Role.AUDITOR, id="rob")
    assert len(given.items(review, both)) == 4


def test_nobody_sees_an_item_about_themselves(given: GivenReviews, review: UUID) -> None:
    assert [each.item for each in given.items(review, PAUL)] == [1, 2, 4]
    models = given.models(PAUL)
    assert models.review_item(str(review), 3) is None
    detail = models.review(str(review))
    assert detail is not None
    assert (detail.items_about_you, detail.review.items) == (1, 4)
    assert [each.items for each in detail.strata] == [3]
    # An item about her comes to her only by a mistake: as somebody whose second id `staff` did not have.
    rita = person(Role.REVIEWER, id="sub-2", actors=("rob", "rita"))
    assert [each.item for each in given.items(review, rita)] == [1, 3, 4]
    assert given.models(rita).review_item(str(review), 2) is None


def test_nobody_says_who_reviews_an_item_about_themselves(given: GivenReviews, review: UUID) -> None:
    assert given.reassigned(review, 3, "rob").result is Result.DENIED
    assert given.decided(review, 2, RITA).result is Result.DENIED
    assert given.decided(review, 1, ROB).result is Result.DENIED


def test_names_of_patients_are_absent_for_who_may_not_see_them(given: GivenReviews) -> None:
    given.trail.append(an_event(actor={"id": "DOE^JANE"}, patients=[{"id": "17"}]))
    review = given.begun(
        filter={"actor": ["DOE^JANE"]}, strata=Strata.ACTOR, reviewers=(Person(id="rita"),), sample_size=1
    )
    log = QueryLog()
    officer = given.models(person(Role.SECURITY_OFFICER), log)
    detail = officer.review(str(review))
    assert detail is not None
    assert (detail.filter, [each.stratum for each in detail.strata]) == (None, [None])
    found = officer.review_item(str(review), 1)
    assert found is not None
    assert (found.item.subject, found.item.what, found.item.stratum) == (None, None, None)
    assert log.patients == ("17",)
    whole = given.models(PAUL).review(str(review))
    assert whole is not None
    assert (whole.filter, whole.strata[0].stratum) == ({"actor": ["DOE^JANE"]}, "DOE^JANE")
