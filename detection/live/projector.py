"""The projection `detection`: rules evaluated in the order of the log, the alerts that they raise, cases and reviews.

Everything follows from the log: which rules count, which versions of context tables, which suppressions hold, and what
people decided, are events of it too. So a rebuild gives the same alerts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, time
from uuid import UUID

import msgspec

from detection.cases import read_model
from detection.cases.suppressions import Suppressions
from detection.context.index import ContextIndex
from detection.context.storage import load_index, version_of_event
from detection.context.version import EVENT_TYPE as CONTEXT_LOADED
from detection.context.version import CurrentVersions, StoredVersion
from detection.evaluation.detector import Detector
from detection.live.alerts import ACTOR, Alert, alert_of
from detection.live.overdue import overdue_alerts
from detection.live.rule_sets import ACTIVATED, is_genuine, read_set
from detection.reviews import read_model as reviews_read_model
from detection.rules.rule import Rule, RuleSet
from domain.errors import ConfigurationError
from domain.event import RecordedEvent
from event_store.aggregate_events import AggregateEvent, read_aggregate_events
from event_store.database import Database
from projections.models.detection import ACTIVE_RULE, ALERT, ALERT_EXTENT, EXPLAINED, DetectionModel
from projections.tables import Row

_VERSION = 1
_INPUTS = frozenset({ACTIVATED, CONTEXT_LOADED})
"""Types of events that change how the next events are evaluated."""

_Made = dict[str, list[Row]]


class DetectionProjector(DetectionModel):
    """The write side."""

    def fold(self, database: Database, position: int, state: bytes | None) -> DetectionFold:
        """See `StatefulProjector`."""
        return DetectionFold(database, position, state)


class DetectionFold:
    """The rules that count, their context, and what they remember of the log so far."""

    def __init__(self, database: Database, position: int, state: bytes | None) -> None:
        self._database = database
        self._position = position
        self._digest = ""
        self._versions = CurrentVersions()
        self._suppressions = Suppressions()
        self._context = ContextIndex()
        self._rules = RuleSet([])
        self._detector = Detector(self._rules)
        if state is not None:
            self._resume(state)

    def _resume(self, state: bytes) -> None:
        version, self._digest, versions, suppressions, kept = msgspec.msgpack.decode(state)
        if version != _VERSION:
            raise ConfigurationError("the state of detection is of another version: rebuild it")
        self._versions = CurrentVersions.resumed(versions)
        self._suppressions = Suppressions.resumed(suppressions)
        self._context = self._index()
        self._rules = read_set(self._database, self._digest)
        self._detector = Detector.resumed(self._rules, kept, self._context)

    def state(self) -> bytes:
        """All that the log so far leaves behind."""
        inputs = (self._digest, self._versions.state(), self._suppressions.state())
        return msgspec.msgpack.encode((_VERSION, *inputs, self._detector.state()))

    def rows(self, events: Sequence[RecordedEvent], last: int) -> Mapping[str, Iterable[Row]]:
        """What the next positions raise, explain and decide."""
        decisions = self._decisions(len(events), last)
        made: _Made = {table.name: [] for table in DetectionModel.tables}
        made |= read_model.rows(decisions) | reviews_read_model.rows(decisions)
        made[ALERT.name] += [alert.row() for alert in overdue_alerts(decisions)]
        waiting = _Waiting(self._suppressions, decisions)
        start = 0
        for index, recorded in enumerate(events):
            if recorded.event.type in _INPUTS:
                self._evaluate(events[start : index + 1], made, waiting)
                self._change(recorded, made[ACTIVE_RULE.name])
                start = index + 1
        self._evaluate(events[start:] if start else events, made, waiting)
        waiting.apply_before(last + 1)
        self._position = last
        return made

    def _decisions(self, events: int, last: int) -> list[AggregateEvent]:
        """The events of cases, suppressions and reviews among the next positions.

        Positions are dense: without a gap between audit events there are none.
        """
        if events == last - self._position:
            return []
        with self._database.transaction(read_only=True) as connection:
            return read_aggregate_events(connection, self._position, last)

    def _change(self, recorded: RecordedEvent, rows: list[Row]) -> None:
        """From the next event on, other rules or another context count. Rules that stay keep what they remember."""
        if recorded.event.type == ACTIVATED:
            if not is_genuine(self._database, recorded.event):
                return
            digest = recorded.event.resources[0].id
            rules = read_set(self._database, digest)
            self._detector = Detector.resumed(rules, self._detector.state(), self._context)
            self._rules, self._digest = rules, digest
        elif self._versions.apply(recorded, self._version_of):
            self._context = self._index()
            self._detector.use(self._context)
        else:
            return
        missing = self._detector.not_evaluable()
        rows.extend(
            _active(recorded, rule, self._digest, missing.get(rule.head.id, ()))
            for rule in (*self._rules.reported, *self._rules.explaining)
        )

    def _version_of(self, event_id: UUID) -> StoredVersion | None:
        with self._database.transaction(read_only=True) as connection:
            return version_of_event(connection, event_id)

    def _index(self) -> ContextIndex:
        with self._database.transaction(read_only=True) as connection:
            return load_index(connection, self._versions.versions, self._context)

    def _evaluate(self, events: Sequence[RecordedEvent], made: _Made, waiting: _Waiting) -> None:
        for known_by, firing in self._detector.found(events):
            alert = alert_of(firing, known_by)
            if firing.follows:
                made[ALERT_EXTENT.name].append(alert.extent())
            else:
                made[ALERT.name].append(waiting.held(alert).row())
        for each in self._detector.explanations():
            day = datetime.combine(each.day, time(), UTC)
            made[EXPLAINED.name].append((day, each.accesses, each.department, each.rule))


class _Waiting:
    """Decisions of a batch about suppressions, which count from their positions on."""

    def __init__(self, suppressions: Suppressions, decisions: Sequence[AggregateEvent]) -> None:
        self._suppressions = suppressions
        self._decisions = decisions
        self._next = 0

    def apply_before(self, position: int) -> None:
        while self._next < len(self._decisions) and self._decisions[self._next].position < position:
            self._suppressions.apply(self._decisions[self._next])
            self._next += 1

    def held(self, alert: Alert) -> Alert:
        """The alert with the suppression that holds it back, if one does."""
        self.apply_before(alert.position)
        group = tuple(alert.group)
        if alert.actor is not None and ACTOR not in dict(group):
            group += ((ACTOR, alert.actor),)
        found = self._suppressions.holding(UUID(alert.rule_id), group, alert.raised_at)
        return alert if found is None else msgspec.structs.replace(alert, suppressed_by=str(found))


def _active(recorded: RecordedEvent, rule: Rule, digest: str, missing: Sequence[str]) -> Row:
    head = rule.head
    return (
        *(recorded.position, recorded.recorded_at, head.id, rule.digest, digest),
        *(head.title, head.level.value, head.author, tuple(missing)),
    )
