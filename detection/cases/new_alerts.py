"""Alerts that are in no case yet, from the live build of the projection `detection`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from detection.cases.alerts import AlertFacts, Group, Subject, subject_of
from domain.alert_level import Level
from event_store.database import Cursor, Database, sql
from event_store.statements import load
from projections.models.detection import DetectionModel
from projections.registry import live_builds

_SQL = load(__package__, "new_alerts.sql")
_MAX_TITLE = 1024
_Place = tuple[int, str]
_BEGIN: _Place = (-1, "")


class AlertRow(NamedTuple):
    """A row of the table `alert`, as far as cases need it. `position` is that of the event that completed it."""

    position: int
    id: UUID
    rule_id: UUID
    title: str
    level: Level
    group: Group
    actor: str | None
    raised_at: datetime

    @property
    def facts(self) -> AlertFacts:
        """What a case repeats of the alert."""
        return AlertFacts(
            id=self.id,
            rule_id=self.rule_id,
            title=self.title,
            level=self.level,
            raised_at=self.raised_at,
        )

    @property
    def subject(self) -> Subject:
        """Whom the alert is about."""
        return subject_of(self.rule_id, self.group, self.actor)


class NewAlerts:
    """Hands each alert over, in the order in which they were raised, until its receiver has taken it.

    The place up to which all were taken is remembered in memory alone. A new process begins with all alerts that the
    read model shows in no case, and the receiver knows those that are in one already.
    """

    def __init__(self, database: Database, limit: int = 100) -> None:
        self._database = database
        self._limit = limit
        self._schema = ""
        self._place = _BEGIN

    def hand_over(self, receive: Callable[[AlertRow], None]) -> int:
        """Hand over at most `limit` alerts, and return how many. Raises what `receive` raises.

        An alert for which it raised is the first of the next call.
        """
        found = self._next()
        for each in found:
            receive(each)
            self._place = (each.position, str(each.id))
        return len(found)

    def _next(self) -> list[AlertRow]:
        with self._database.transaction(read_only=True) as connection:
            live = live_builds(connection).get(DetectionModel.name)
            if live is None or live.version != DetectionModel.version:
                return []  # a rebuild makes the tables that this program reads
            if live.schema != self._schema:
                self._schema, self._place = live.schema, _BEGIN
            position, alert_id = self._place
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(live.schema)))
                cursor.execute(
                    _SQL["after"], {"position": position, "alert_id": alert_id, "limit": self._limit}
                )
                return _rows(cursor)


def _rows(cursor: Cursor) -> list[AlertRow]:
    return [
        AlertRow(
            position,
            UUID(id),
            UUID(rule_id),
            title[:_MAX_TITLE],
            Level(level),
            tuple((name, value) for name, value in json.loads(group)),
            actor,
            raised_at.astimezone(UTC),
        )
        for position, id, rule_id, title, level, group, actor, raised_at in cursor.fetchall()
    ]
