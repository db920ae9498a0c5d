"""Alerts, cases, rules and suppressions within the scope of one principal.

All roles that read cases see all of them, with one exception: a reviewer sees nothing about themselves. The employee
who is asked sees the question, and nothing else of the case.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from domain.access.grants import Operation, Part
from domain.alert_level import Level
from domain.cases.access import own_ids, unseen_actors
from domain.errors import AccessDeniedError
from domain.event import RecordedEvent
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
from queries.read_models import DEFAULT_LIMIT
from queries.scoped.detection_redaction import (
    REDACTED,
    patients_of,
    redacted_alert,
    redacted_case,
    redacted_detail,
    redacted_suppression,
)
from queries.scoped.events import ScopedEvents


class ScopedDetection(ScopedEvents):
    """The part of `ScopedModels` that reads what detection has found."""

    def require_cases(self, query: str, **parameters: Any) -> frozenset[Part]:
        """The parts that are hidden. Raises `AccessDeniedError`, and logs the denied query."""
        with self._query_log.record_denial(query, lambda: (_given(parameters), ())):
            hidden = self._scope.hidden(Operation.READ_CASES)
            if not hidden <= REDACTED:
                raise AccessDeniedError(Operation.READ_CASES)
        return hidden

    def alerts(self, filter: AlertFilter, limit: int = DEFAULT_LIMIT, after: Place = BEGIN) -> AlertPage:
        """A page of the alerts that match, the newest first."""
        asked = {**msgspec.structs.asdict(filter), "limit": limit}
        hidden = self.require_cases("alerts", **asked)
        found = self._models.detection.alerts(filter, limit, after, self._unseen)
        alerts = [redacted_alert(each, hidden) for each in found.alerts]
        self._add("alerts", asked, len(alerts), alerts)
        return replace(found, alerts=alerts)

    def follow_alerts(self, level: Level | None, limit: int, after: Place) -> FollowedAlerts:
        """The alerts of at least a level among the next `limit`, the oldest first."""
        asked = {"level": level, "limit": limit}
        hidden = self.require_cases("alert_raised", **asked)
        found = self._models.detection.follow_alerts(level, limit, after, self._unseen)
        alerts = [redacted_alert(each, hidden) for each in found.alerts]
        self._add("alert_raised", asked, len(alerts), alerts)
        return found._replace(alerts=alerts)

    def alert(self, id: str) -> AlertView | None:
        """One alert."""
        hidden = self.require_cases("alert", id=id)
        found = self._models.detection.alert(id, self._unseen)
        redacted = None if found is None else redacted_alert(found, hidden)
        self._add("alert", {"id": id}, int(found is not None), [] if redacted is None else [redacted])
        return redacted

    def alert_events(self, id: str) -> list[RecordedEvent] | None:
        """The first 100 events of an alert's evidence, oldest first; None when there is no such alert."""
        self.require_cases("alert_events", id=id)
        found = self._models.detection.alert_events(id, self._unseen)
        visible = [each for each in found or () if self._scope.admits(each.event)]
        redacted = self._redacted(visible)
        self._log("alert_events", {"id": id}, visible, redacted)
        return None if found is None else redacted

    def cases(self, filter: CaseFilter, limit: int = DEFAULT_LIMIT, after: Place = BEGIN) -> CasePage:
        """A page of the cases that match, the newest first."""
        asked = {**msgspec.structs.asdict(filter), "limit": limit}
        hidden = self.require_cases("cases", **asked)
        found = self._models.detection.cases(filter, limit, after, self._unseen)
        self._add("cases", asked, len(found.cases))
        return replace(found, cases=[redacted_case(each, hidden) for each in found.cases])

    def case(self, id: str, limit: int = DEFAULT_LIMIT, after: int = -1) -> CaseDetail | None:
        """One case: its entries after a position, the oldest first, and its newest alerts; `limit` of each."""
        hidden = self.require_cases("case", id=id)
        found = self._models.detection.case(id, limit, after, self._unseen)
        redacted = None if found is None else redacted_detail(found, hidden)
        alerts = [] if redacted is None else redacted.newest_alerts
        self._add("case", {"id": id, "limit": limit}, int(found is not None), alerts)
        return redacted

    def own_questions(self) -> list[QuestionView]:
        """The open questions to the principal, who needs no role. Only a person can be asked."""
        principal = self._scope.principal
        with self._query_log.record_denial("own_questions", lambda: ({}, ())):
            ids = own_ids(principal)
            if not ids:
                raise AccessDeniedError
        found = self._models.detection.questions(ids)
        self._query_log.add("own_questions", {}, len(found))
        return found

    def detection_rules(self) -> RuleList:
        """The rules that count now. They hold no event data, so it is not recorded as a read."""
        self.require_cases("detection_rules")
        return self._models.detection.rules(self._unseen)

    def detection_rule(self, id: str) -> RuleText | None:
        """One rule that counts now, with its text; not recorded either."""
        self.require_cases("detection_rule", id=id)
        return self._models.detection.rule(id, self._unseen)

    def rule_activations(self, limit: int = DEFAULT_LIMIT) -> list[RuleActivation]:
        """The newest decisions that a set of rules counts; not recorded either."""
        self.require_cases("rule_activations", limit=limit)
        return self._models.detection.activations(limit)

    def suppressions(
        self, limit: int = DEFAULT_LIMIT, after: Place = BEGIN, *, active: bool = False
    ) -> SuppressionPage:
        """A page of suppressions, the newest first; `active`: only those that hold alerts back now."""
        asked = {"limit": limit, "active": active}
        hidden = self.require_cases("suppressions", **asked)
        found = self._models.detection.suppressions(limit, after, active=active, hidden_actors=self._unseen)
        shown = [redacted_suppression(each, hidden) for each in found.suppressions]
        patients = [patient for each in shown for patient in patients_of(each)]
        self._query_log.add("suppressions", asked, len(shown), patients)
        return replace(found, suppressions=shown)

    def explained_accesses(self, since: datetime, until: datetime) -> ExplainedAccesses:
        """How many accesses rules explain, by department: numbers that name no person, yet recorded."""
        asked = _given({"since": since, "until": until})
        self.require_cases("explained_accesses", **asked)
        found = self._models.detection.explained_accesses(since, until)
        self._query_log.add("explained_accesses", asked, len(found.departments))
        return found

    @property
    def _unseen(self) -> tuple[str, ...]:
        return unseen_actors(self._scope)

    def _add(
        self, query: str, asked: dict[str, Any], returned: int, alerts: Iterable[AlertView] = ()
    ) -> None:
        patients = [patient for each in alerts for patient in patients_of(each)]
        self._query_log.add(query, _given(asked), returned, patients)


def _given(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters that were given, as JSON has them."""
    given = {name: value for name, value in parameters.items() if value is not None}
    return {name: msgspec.to_builtins(value) for name, value in given.items()}
