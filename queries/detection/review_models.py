"""Every query about reviews, without redaction. Every method blocks, and answers from one snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from domain.errors import Reason, RejectedError
from domain.event import RecordedEvent
from domain.reviews.commands import MAX_ITEMS
from event_store.database import Connection, Database
from event_store.event_reader import events_at
from projections.models.detection import DetectionModel
from projections.registry import open_snapshot
from queries.detection.results import BEGIN, Place
from queries.detection.review_results import (
    EVERYTHING,
    ReviewDetail,
    ReviewFilter,
    ReviewItemDetail,
    ReviewItemFilter,
    ReviewItemPage,
    ReviewPage,
    ReviewReader,
)
from queries.detection.reviews import find_item, find_items, find_review, find_reviews
from queries.filters.checks import check_identifier, check_limit


class ReviewModels:
    """Queries on the live build of the projection `detection`. All are empty while there is none."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reviews(
        self, filter: ReviewFilter, limit: int, after: Place = BEGIN, reader: ReviewReader = EVERYTHING
    ) -> ReviewPage:
        """A page of the reviews that match, the newest first."""
        check_limit(limit)
        with self._snapshot() as (connection, as_of):
            if as_of < 0:
                return ReviewPage([], as_of, None)
            return find_reviews(connection, filter, limit, as_of, reader, after)

    def review(self, id: str, reader: ReviewReader = EVERYTHING) -> ReviewDetail | None:
        """One review with its numbers."""
        check_identifier("id", id)
        with self._snapshot() as (connection, as_of):
            return find_review(connection, id, as_of, reader) if as_of >= 0 else None

    def items(
        self,
        id: str,
        filter: ReviewItemFilter,
        limit: int,
        after: int = 0,
        reader: ReviewReader = EVERYTHING,
    ) -> ReviewItemPage | None:
        """A page of the items of a review that match, by number; None when there is no such review."""
        check_identifier("id", id)
        if filter.reviewer is not None:
            check_identifier("reviewer", filter.reviewer)
        check_limit(limit)
        check_item(after, "after", least=0)
        with self._snapshot() as (connection, as_of):
            if as_of < 0:
                return None
            return find_items(connection, id, filter, limit, as_of, reader, after)

    def item(self, id: str, item: int, reader: ReviewReader = EVERYTHING) -> ReviewItemDetail | None:
        """One item with its events."""
        check_identifier("id", id)
        check_item(item, "item")
        with self._snapshot() as (connection, as_of):
            found = find_item(connection, id, item, reader) if as_of >= 0 else None
            if found is None:
                return None
            events: list[RecordedEvent] = events_at(connection, sorted(set(found.positions)))
        return ReviewItemDetail(item=found, events=events, as_of_position=as_of)

    @contextmanager
    def _snapshot(self) -> Iterator[tuple[Connection, int]]:
        """A snapshot, and the position up to which detection is complete in it."""
        with self._database.transaction(read_only=True) as connection:
            yield connection, open_snapshot(connection).get(DetectionModel.name, -1)


def check_item(number: int, field: str, least: int = 1) -> None:
    """Raise `RejectedError` unless an item could have this number."""
    if not least <= number <= MAX_ITEMS:
        raise RejectedError(Reason.INVALID_FIELD, f"from {least} to {MAX_ITEMS}", field=field)
