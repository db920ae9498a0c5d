"""Reviews within the scope of one principal.

All roles that read cases see all reviews, with one exception: of a review, a reviewer sees the own items alone. Nobody
sees an item about themselves. As in events, a hidden part is absent, and free text stays.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import msgspec
from msgspec.structs import replace

from domain.access.grants import Part
from domain.access.person_names import is_name
from domain.cases.access import own_ids
from domain.reviews.access import sees_only_own_items
from domain.reviews.commands import Strata
from queries.detection.results import BEGIN, Place
from queries.detection.review_results import (
    ReviewDetail,
    ReviewFilter,
    ReviewItemDetail,
    ReviewItemFilter,
    ReviewItemPage,
    ReviewItemView,
    ReviewPage,
    ReviewReader,
)
from queries.filters.json_filter import filter_from
from queries.read_models import DEFAULT_LIMIT
from queries.scoped.detection import ScopedDetection
from queries.scoped.query_description import parts_of, queried_patients


class ScopedReviews(ScopedDetection):
    """The part of `ScopedModels` that reads reviews."""

    def reviews(self, filter: ReviewFilter, limit: int = DEFAULT_LIMIT, after: Place = BEGIN) -> ReviewPage:
        """A page of the reviews that match, the newest first."""
        asked = {**msgspec.structs.asdict(filter), "limit": limit}
        self.require_cases("reviews", **asked)
        found = self._models.reviews.reviews(filter, limit, after, self._reader)
        self._add("reviews", asked, len(found.reviews))
        return found

    def review(self, id: str) -> ReviewDetail | None:
        """One review with its numbers."""
        hidden = self.require_cases("review", id=id)
        found = self._models.reviews.review(id, self._reader)
        redacted = None if found is None else _redacted_detail(found, hidden)
        given = None if redacted is None else redacted.filter
        patients = queried_patients(filter_from(given)) if given else ()
        self._query_log.add("review", {"id": id}, int(found is not None), patients)
        return redacted

    def review_items(
        self, id: str, filter: ReviewItemFilter, limit: int = DEFAULT_LIMIT, after: int = 0
    ) -> ReviewItemPage | None:
        """A page of the items of a review that match, by number."""
        asked = {"id": id, **msgspec.structs.asdict(filter), "limit": limit, "after": after or None}
        hidden = self.require_cases("review_items", **asked)
        found = self._models.reviews.items(id, filter, limit, after, self._reader)
        self._add("review_items", asked, 0 if found is None else len(found.items))
        return (
            None
            if found is None
            else replace(found, items=[_redacted_item(each, hidden) for each in found.items])
        )

    def review_item(self, id: str, item: int) -> ReviewItemDetail | None:
        """One item with its events, as far as they are within the scope."""
        asked = {"id": id, "item": item}
        hidden = self.require_cases("review_item", **asked)
        found = self._models.reviews.item(id, item, self._reader)
        visible = [each for each in (found.events if found else ()) if self._scope.admits(each.event)]
        redacted = self._redacted(visible)
        self._log("review_item", asked, visible, redacted)
        return (
            None
            if found is None
            else replace(found, item=_redacted_item(found.item, hidden), events=redacted)
        )

    @property
    def _reader(self) -> ReviewReader:
        return ReviewReader(own_ids(self._scope.principal), sees_only_own_items(self._scope))


def _redacted_detail(found: ReviewDetail, hidden: AbstractSet[Part]) -> ReviewDetail:
    """The review without a filter that asks for what is hidden, and without names of patients who acted."""
    if found.filter and hidden & parts_of(filter_from(found.filter), ()):
        found = replace(found, filter=None)
    if found.strata_by is Strata.ACTOR and Part.PATIENT_NAMES in hidden:
        strata = [replace(each, stratum=None) if is_name(each.stratum) else each for each in found.strata]
        found = replace(found, strata=strata)
    return found


def _redacted_item(found: ReviewItemView, hidden: AbstractSet[Part]) -> ReviewItemView:
    """The item; of one about a patient who acted, and whose id is a hidden name, its place and decision alone."""
    if Part.PATIENT_NAMES not in hidden or not is_name(found.subject):
        return found
    stratum = None if found.stratum == found.subject else found.stratum
    return replace(found, subject=None, what=None, stratum=stratum)
