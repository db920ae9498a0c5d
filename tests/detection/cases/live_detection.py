"""Tables of the projection `detection` for tests of cases: alerts are put in by hand, cases come from the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any
from uuid import UUID, uuid4

from detection.cases.read_model import rows
from domain.event import RecordedEvent
from event_store.aggregate_events import AggregateEvent, read_aggregate_events
from event_store.database import sql
from projections.models.detection import ALERT, DetectionModel
from projections.registry import Build, live_builds, register
from projections.tables import Row
from projections.writer import Writer
from tests.detection.cases.given_cases import RULE, day
from tests.trail import Trail

ALERT_VALUES: dict[str, Any] = {
    "position": 0,
    "raised_at": day(0),
    "begins": day(0),
    "ends": day(0),
    "events": 30,
    "final": True,
    "kind": "match",
    "rule_id": str(RULE),
    "rule_digest": "d",
    "title": "Mass access",
    "level": "high",
    "group_key": '[["actor.id","ada"]]',
    "actor": "ada",
    "positions": b"[0]",
    "reasons": b"[]",
}


class GivenRows:
    """The tables, filled with the rows that a test has made. A plain projector: the log is not evaluated."""

    name = DetectionModel.name
    version = DetectionModel.version
    tables = DetectionModel.tables

    def __init__(self) -> None:
        self.made: dict[str, list[Row]] = {}

    def rows(self, events: Sequence[RecordedEvent]) -> Mapping[str, Iterable[Row]]:
        assert not events
        return self.made


class LiveDetection:
    """The live build of `detection` in a trail."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail
        self._projector = GivenRows()
        build = register(trail.projector, self._projector)
        assert build is not None
        self.build: Build = build
        self._position = -1

    def raised(self, **values: Any) -> UUID:
        """Put in an alert; its id."""
        id = uuid4()
        row = ALERT_VALUES | {"alert_id": str(id)} | values
        self._apply({ALERT.name: [tuple(row.get(name) for name in ALERT.names)]}, self._position)
        return id

    def catch_up(self) -> None:
        """Apply the events of cases up to the end of the log."""
        events = self.events(self._position)
        self._apply(dict(rows(events)), events[-1].position if events else self._position)

    def events(self, after: int = -1) -> list[AggregateEvent]:
        with self._trail.projector.transaction(read_only=True) as connection:
            return read_aggregate_events(connection, after, 100_000)

    def table(self, name: str, columns: str = "*") -> list[tuple[Any, ...]]:
        with self._trail.reader.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(
                sql.SQL("SELECT " + columns + " FROM {} ORDER BY 1").format(
                    sql.Identifier(self.build.schema, name)
                )
            )
            return cursor.fetchall()

    def _apply(self, made: dict[str, list[Row]], last: int) -> None:
        self._projector.made = made
        with self._trail.projector.transaction(read_only=True) as connection:
            build = live_builds(connection)[GivenRows.name]
        with closing(Writer(self._trail.projector, self._projector, build)) as writer:
            writer.apply([], self._position, last)
        self._position = last
