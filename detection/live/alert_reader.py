"""Reads alerts that the trail does not have as events yet, and notes which ones it has."""

from __future__ import annotations

from collections.abc import Sequence

from detection.live.alerts import Alert
from event_store.database import Connection, Database, only, sql
from event_store.statements import load
from projections.models.detection import DetectionModel
from projections.registry import live_builds

_SQL = load(__package__, "alert_reader.sql")


class UnpublishedAlerts:
    """The alerts of the live build, in the order of the log. A suppressed alert is not published."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._build = 0
        self._after = -1

    def checkpoint(self) -> int:
        """The position of the live build; -1 when there is none."""
        with self._database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["checkpoint"], {"name": DetectionModel.name})
            row = cursor.fetchone()
        return -1 if row is None else int(row[0])

    def next(self, limit: int) -> list[Alert]:
        """The next ones; none when all are published."""
        with self._database.transaction(read_only=True) as connection:
            live = live_builds(connection).get(DetectionModel.name)
            if live is None or live.version != DetectionModel.version:
                return []
            if live.build != self._build:
                self._build, self._after = live.build, -1
            found = _alerts(connection, live.schema, self._after, limit)
        if not found:
            # All up to here are published; what is written from now on has later positions.
            self._after = max(self._after, live.position)
        return found

    def count(self) -> int:
        """How many there are, also before those that were read already."""
        with self._database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            live = live_builds(connection).get(DetectionModel.name)
            if live is None:
                return 0
            cursor.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(live.schema)))
            cursor.execute(_SQL["count_unpublished"])
            return int(only(cursor))

    def published(self, alerts: Sequence[Alert]) -> None:
        """Note that Kafka has their events."""
        with self._database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["published"], {"ids": [each.alert_id for each in alerts]})


def _alerts(connection: Connection, schema: str, after: int, limit: int) -> list[Alert]:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(schema)))
        cursor.execute(_SQL["unpublished"], {"after": after, "limit": limit})
        return [Alert(**dict(zip(Alert.__struct_fields__, row, strict=True))) for row in cursor.fetchall()]
