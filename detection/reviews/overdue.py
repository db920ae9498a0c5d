"""Which reviews are overdue, from the live build of the projection `detection`."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from detection.reviews.reading import SQL
from event_store.database import Database, sql
from projections.models.detection import DetectionModel
from projections.registry import live_builds


def overdue_reviews(database: Database, now: datetime, limit: int) -> list[UUID]:
    """Reviews of which the log does not say yet that they are overdue, as far as the read model goes."""
    with database.transaction(read_only=True) as connection:
        live = live_builds(connection).get(DetectionModel.name)
        if live is None or live.version != DetectionModel.version:
            return []  # a rebuild makes the tables that this program reads
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(live.schema)))
            cursor.execute(SQL["overdue"], {"now": now, "limit": limit})
            return [UUID(id) for (id,) in cursor.fetchall()]
