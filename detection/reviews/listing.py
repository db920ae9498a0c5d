"""Reviews and their items, from the live build of the projection `detection`. Methods block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct

from detection.reviews.reading import SQL
from domain.errors import UnavailableError
from event_store.database import Cursor, Database, named
from projections.models.detection import DetectionModel
from projections.registry import open_snapshot

MAX_PAGE = 1000


class ReviewRow(Struct, frozen=True, kw_only=True):
    """A row of `review`: see `projections.models.reviews`."""

    review_id: str
    name: str
    kind: str
    state: str
    begun_at: datetime
    begun_by: str
    due_at: datetime
    overdue_at: datetime | None
    items: int
    decided: int
    without_reviewer: int
    purpose: str
    tree_size: int
    root_hash: str
    closed_at: datetime | None
    closed_by: str | None
    close_reason: str | None
    result: dict[str, Any] | None


class ItemRow(Struct, frozen=True, kw_only=True):
    """A row of `review_item`."""

    item: int
    stratum: str
    subject: str | None
    what: str
    positions: list[int]
    reviewer: str | None
    verdict: str | None
    reason: str | None
    seconds: int | None
    decided_by: str | None
    decided_at: datetime | None


class Reviews:
    """Reads reviews."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self, limit: int) -> list[ReviewRow]:
        """The newest reviews."""
        with self._cursor() as cursor:
            cursor.execute(SQL["reviews"], {"review": None, "limit": min(limit, MAX_PAGE)})
            return [ReviewRow(**row) for row in named(cursor)]

    def review(self, id: UUID) -> ReviewRow | None:
        """One review; None if the read model has none."""
        with self._cursor() as cursor:
            cursor.execute(SQL["reviews"], {"review": str(id), "limit": 1})
            return next((ReviewRow(**row) for row in named(cursor)), None)

    def items(
        self, id: UUID, limit: int, *, after: int = 0, reviewer: str | None = None, undecided: bool = False
    ) -> list[ItemRow]:
        """The items after one of them, by number: all, those of a reviewer, or those that are not decided."""
        values = {
            "review": str(id),
            "after": after,
            "reviewer": reviewer,
            "open": undecided,
            "limit": min(limit, MAX_PAGE),
        }
        with self._cursor() as cursor:
            cursor.execute(SQL["items"], values)
            return [ItemRow(**row) for row in named(cursor)]

    @contextmanager
    def _cursor(self) -> Iterator[Cursor]:
        with self._database.transaction(read_only=True) as connection:
            if DetectionModel.name not in open_snapshot(connection):
                raise UnavailableError("the projection detection has no tables yet: start `project`")
            with connection.cursor() as cursor:
                yield cursor


def _named(cursor: Cursor) -> Iterator[dict[str, Any]]:
    names = [column.name for column in cursor.description or ()]
    for row in cursor.fetchall():
        yield dict(zip(names, row, strict=True))
