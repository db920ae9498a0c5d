"""The projection `detection`: rules evaluated in the order of the log, and the alerts that they raise.

Everything follows from the log: which rules count is an event of it too. So a rebuild gives the same alerts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from detection.evaluation.detector import Detector
from detection.evaluation.firing import Firing
from detection.live.alerts import alert_of
from detection.live.rule_sets import ACTIVATED, is_genuine, read_set
from detection.rules.rule import RuleSet
from domain.errors import ConfigurationError
from domain.event import RecordedEvent
from event_store.database import Database
from projections.models.detection import ACTIVE_RULE, ALERT, ALERT_EXTENT, DetectionModel
from projections.tables import Row

_VERSION = 1


class DetectionProjector(DetectionModel):
    """The write side."""

    def fold(self, database: Database, position: int, state: bytes | None) -> DetectionFold:
        """See `StatefulProjector`."""
        del position
        return DetectionFold(database, state)


class DetectionFold:
    """The rules that count, and what they remember of the log so far."""

    def __init__(self, database: Database, state: bytes | None) -> None:
        self._database = database
        self._digest = ""
        self._rules = RuleSet([])
        self._detector = Detector(self._rules)
        if state is not None:
            version, self._digest, kept = msgspec.msgpack.decode(state)
            if version != _VERSION:
                raise ConfigurationError("the state of detection is of another version: rebuild it")
            self._rules = read_set(database, self._digest)
            self._detector = Detector.resumed(self._rules, kept)

    def state(self) -> bytes:
        """All that the log so far leaves behind."""
        return msgspec.msgpack.encode((_VERSION, self._digest, self._detector.state()))

    def rows(self, events: Sequence[RecordedEvent], last: int) -> Mapping[str, Iterable[Row]]:
        """What the next positions raise."""
        del last
        made: dict[str, list[Row]] = {table.name: [] for table in DetectionModel.tables}
        start = 0
        for index, recorded in enumerate(events):
            if recorded.event.type == ACTIVATED and is_genuine(self._database, recorded.event):
                self._evaluate(events[start : index + 1], made)
                self._activate(recorded, made[ACTIVE_RULE.name])
                start = index + 1
        self._evaluate(events[start:] if start else events, made)
        return made

    def _activate(self, recorded: RecordedEvent, rows: list[Row]) -> None:
        """From the next event on other rules count. Those that stay keep what they remember."""
        digest = recorded.event.resources[0].id
        rules = read_set(self._database, digest)
        self._detector = Detector.resumed(rules, self._detector.state())
        self._rules, self._digest = rules, digest
        rows.extend(
            (
                *(recorded.position, recorded.recorded_at, rule.head.id, rule.digest, digest),
                *(rule.head.title, rule.head.level.value, rule.head.author),
            )
            for rule in rules.reported
        )

    def _evaluate(self, events: Sequence[RecordedEvent], made: dict[str, list[Row]]) -> None:
        for known_by, firing in self._detector.found(events):
            alert = alert_of(firing, known_by, _actor(firing, known_by))
            if firing.follows:
                made[ALERT_EXTENT.name].append(alert.extent())
            else:
                made[ALERT.name].append(alert.row())


def _actor(firing: Firing, known_by: RecordedEvent) -> str | None:
    """The actor of a single event; a group is of one actor only when it says so."""
    return known_by.event.actor.id if firing.positions == (known_by.position,) and not firing.group else None
