"""Every query about detection, without redaction. Every method blocks, and answers from one snapshot."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime

from domain.alert_level import Level
from domain.event import RecordedEvent
from event_store.database import Connection, Database
from event_store.event_reader import events_at
from projections.models.detection import DetectionModel
from projections.registry import open_snapshot
from queries.detection.alerts import find_alert, find_alerts, follow_alerts
from queries.detection.cases import find_case, find_cases, find_entries, find_questions
from queries.detection.explained import check_range, find_explained
from queries.detection.results import (
    BEGIN,
    AlertFilter,
    AlertPage,
    AlertView,
    CaseDetail,
    CaseFilter,
    CasePage,
    ExplainedAccesses,
    FollowedAlerts,
    Place,
    QuestionView,
    RuleActivation,
    RuleList,
    RuleText,
    SuppressionPage,
)
from queries.detection.rules import find_activations, find_fault, find_rule, find_rules
from queries.detection.suppressions import find_suppressions
from queries.filters.checks import check_identifier, check_limit, check_time

PROJECTION = DetectionModel.name
MAX_QUESTIONS = 100
"""Open questions to one person."""


class DetectionModels:
    """Queries on the live build of the projection `detection`. All are empty while there is none.

    What is about one of `hidden_actors` does not exist for the caller.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def alerts(
        self,
        filter: AlertFilter,
        limit: int,
        after: Place = BEGIN,
        hidden_actors: Collection[str] = (),
    ) -> AlertPage:
        """A page of the alerts that match, the newest first."""
        check_limit(limit)
        _check_texts(filter)
        for name in ("since", "until"):
            if getattr(filter, name) is not None:
                check_time(name, getattr(filter, name))
        with self._snapshot() as (connection, as_of):
            if as_of < 0:
                return AlertPage([], as_of, None)
            return find_alerts(connection, filter, limit, as_of, after, hidden_actors)

    def follow_alerts(
        self, level: Level | None, limit: int, after: Place, hidden_actors: Collection[str] = ()
    ) -> FollowedAlerts:
        """The alerts of at least a level among the next `limit`, the oldest first."""
        check_limit(limit)
        with self._snapshot() as (connection, as_of):
            if as_of < 0:
                return FollowedAlerts([], after, False)
            return follow_alerts(connection, level, limit, after, hidden_actors)

    def alert(self, id: str, hidden_actors: Collection[str] = ()) -> AlertView | None:
        """One alert."""
        check_identifier("id", id)
        with self._snapshot() as (connection, as_of):
            return find_alert(connection, id, hidden_actors) if as_of >= 0 else None

    def alert_events(self, id: str, hidden_actors: Collection[str] = ()) -> list[RecordedEvent] | None:
        """The first 100 events of an alert's evidence, in the order of the log; None when there is no such alert."""
        check_identifier("id", id)
        with self._snapshot() as (connection, as_of):
            found = find_alert(connection, id, hidden_actors) if as_of >= 0 else None
            return None if found is None else events_at(connection, sorted(set(found.positions)))

    def cases(
        self,
        filter: CaseFilter,
        limit: int,
        after: Place = BEGIN,
        hidden_actors: Collection[str] = (),
    ) -> CasePage:
        """A page of the cases that match, the newest first."""
        check_limit(limit)
        _check_texts(filter)
        with self._snapshot() as (connection, as_of):
            if as_of < 0:
                return CasePage([], as_of, None)
            return find_cases(connection, filter, limit, as_of, after, hidden_actors)

    def case(
        self, id: str, limit: int, after: int = -1, hidden_actors: Collection[str] = ()
    ) -> CaseDetail | None:
        """One case with at most `limit` entries after a position, and as many of its newest alerts."""
        check_identifier("id", id)
        check_limit(limit)
        with self._snapshot() as (connection, as_of):
            found = find_case(connection, id, hidden_actors) if as_of >= 0 else None
            if found is None:
                return None
            entries, next_entry = find_entries(connection, id, limit, after)
            alerts = find_alerts(connection, AlertFilter(case_id=id), limit, as_of).alerts
        return CaseDetail(
            case=found,
            history=entries,
            newest_alerts=alerts,
            as_of_position=as_of,
            next_entry=next_entry,
        )

    def questions(self, ids: Collection[str]) -> list[QuestionView]:
        """The open questions to a person who has these ids in events."""
        with self._snapshot() as (connection, as_of):
            return find_questions(connection, ids, MAX_QUESTIONS) if as_of >= 0 else []

    def rules(self, hidden_actors: Collection[str] = ()) -> RuleList:
        """The rules that count now, and those that are switched off."""
        with self._snapshot() as (connection, as_of):
            if as_of < 0:
                fault, since = find_fault(connection)
                return RuleList(
                    rules=[],
                    switched_off=[],
                    position=None,
                    set_digest=None,
                    fault=fault,
                    fault_since=since,
                    as_of_position=as_of,
                )
            return find_rules(connection, as_of, hidden_actors)

    def rule(self, id: str, hidden_actors: Collection[str] = ()) -> RuleText | None:
        """One rule that counts now."""
        check_identifier("id", id)
        with self._snapshot() as (connection, as_of):
            return find_rule(connection, id, as_of, hidden_actors) if as_of >= 0 else None

    def activations(self, limit: int) -> list[RuleActivation]:
        """The newest decisions that a set of rules counts."""
        check_limit(limit)
        with self._database.transaction(read_only=True) as connection:
            return find_activations(connection, limit)

    def suppressions(
        self,
        limit: int,
        after: Place = BEGIN,
        *,
        active: bool = False,
        hidden_actors: Collection[str] = (),
    ) -> SuppressionPage:
        """A page of suppressions, the newest first; `active`: those that hold alerts back now."""
        check_limit(limit)
        with self._snapshot() as (connection, as_of):
            if as_of < 0:
                return SuppressionPage([], as_of, None)
            return find_suppressions(
                connection, limit, as_of, after, active=active, hidden_actors=hidden_actors
            )

    def explained_accesses(self, since: datetime, until: datetime) -> ExplainedAccesses:
        """How many accesses rules explain, by department; of the days that begin within the range."""
        check_range(since, until)
        with self._snapshot() as (connection, as_of):
            if as_of < 0:
                return ExplainedAccesses(
                    departments=[], accesses=0, explained=0, share=None, as_of_position=as_of
                )
            return find_explained(connection, since, until, as_of)

    @contextmanager
    def _snapshot(self) -> Iterator[tuple[Connection, int]]:
        """A snapshot, and the position up to which detection is complete in it."""
        with self._database.transaction(read_only=True) as connection:
            yield connection, open_snapshot(connection).get(PROJECTION, -1)


def _check_texts(filter: AlertFilter | CaseFilter) -> None:
    for name in filter.__struct_fields__:
        value = getattr(filter, name)
        if type(value) is str:
            check_identifier(name, value)
