"""The rows of the read model of cases and suppressions, for events of aggregates. Pure.

The rows of one event depend on this event alone, so batches may be applied in any grouping.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from detection.cases.case import Case, CaseState
from detection.cases.stored_events import domain_event
from detection.cases.suppression import Suppression
from domain.alert_level import Level
from event_store.aggregate_events import AggregateEvent
from projections.models.cases import ALERT, CASE, ENTRY, SUPPRESSION, TABLES
from projections.tables import Row, Table

__all__ = ["TABLES", "rows"]

_SERIOUSNESS = {level: place for place, level in enumerate(Level)}


def rows(events: Iterable[AggregateEvent]) -> dict[str, list[Row]]:
    """The rows of each table. Events of other aggregates give none.

    Raises `LogInconsistentError` for an event of a case that this program can't have written.
    """
    made: dict[str, list[Row]] = {table.name: [] for table in TABLES}
    for event in events:
        kind, _, _ = event.topic.partition(".")
        if kind == "case":
            _add_case(made, event)
        elif kind == "suppression":
            made[SUPPRESSION.name].append(_row(SUPPRESSION, _of_suppression(event)))
    return made


def _add_case(made: dict[str, list[Row]], event: AggregateEvent) -> None:
    happened = domain_event(event.stream, event.version, event.topic, event.state)
    assert isinstance(happened, Case.Event)
    case_id = str(event.stream)
    alert = happened.alert if isinstance(happened, Case.Opened | Case.AlertJoined) else None
    values: dict[str, Any] = {
        "case_id": case_id,
        "alerts": 0 if alert is None else 1,
        "newest_alert_at": None if alert is None else alert.raised_at,
        "entries": 1,
        "position": event.position,
        "changed_at": event.recorded_at,
    }
    made[CASE.name].append(_row(CASE, values | _of_case(event.position, happened)))
    entry = {
        "position": event.position,
        "at": happened.timestamp,
        "recorded_at": event.recorded_at,
        "case_id": case_id,
        "kind": event.topic,
        "by_kind": happened.by.kind.value,
        "by_id": happened.by.id,
        "by_name": happened.by.name,
        "body": event.state,
    }
    made[ENTRY.name].append(_row(ENTRY, entry))
    if alert is not None:
        joined = {
            "position": event.position,
            "joined_at": event.recorded_at,
            "alert_id": str(alert.id),
            "case_id": case_id,
        }
        made[ALERT.name].append(_row(ALERT, joined))


def _of_case(position: int, happened: Case.Event) -> dict[str, Any]:
    """What an event changes of its case."""
    changed: dict[str, Any] = {}
    match happened:
        case Case.Opened():
            changed = {
                "opened_position": position,
                "opened_at": happened.timestamp,
                "opened_by": happened.by.id,
                "subject": happened.subject,
                "actor": happened.actor,
                "title": happened.title,
                "reason": happened.reason,
                "earlier_case": None if happened.earlier is None else str(happened.earlier),
                "state_position": position,
                "state": CaseState.OPEN.value,
            } | _level(happened.level)
        case Case.AlertJoined():
            changed = _level(happened.alert.level)
        case Case.Assigned():
            changed = {
                "assigned_position": position,
                "assignee": happened.assignee.id,
                "assignee_name": happened.assignee.name,
            }
        case Case.EmployeeAsked():
            changed = {
                "asked_position": position,
                "asked": happened.employee.id,
                "question": happened.question,
            }
        case Case.EmployeeAnswered():
            changed = {"asked_position": position}
        case Case.Decided():
            changed = {
                "asked_position": position,
                "state_position": position,
                "state": CaseState.DECIDED.value,
                "verdict": happened.verdict.value,
                "decided_at": happened.timestamp,
                "decided_by": happened.by.id,
                "decision_reason": happened.reason,
                "decision_seconds": happened.seconds,
            }
        case Case.Reopened():
            changed = {"state_position": position, "state": CaseState.OPEN.value}
    return changed


def _level(level: Level) -> dict[str, Any]:
    """The level of an alert, which the case has when no other one is higher."""
    return {"level": level.value, "seriousness": _SERIOUSNESS[level]}


def _of_suppression(event: AggregateEvent) -> dict[str, Any]:
    happened = domain_event(event.stream, event.version, event.topic, event.state)
    values: dict[str, Any] = {"suppression_id": str(event.stream), "position": event.position}
    if isinstance(happened, Suppression.Started):
        return values | {
            "started_at": happened.timestamp,
            "expires_at": happened.expires_at,
            "rule_id": str(happened.rule_id),
            "match": msgspec.json.encode(happened.match, order="sorted"),
            "owner": happened.owner.id,
            "owner_name": happened.owner.name,
            "started_by": happened.by.id,
            "reason": happened.reason,
        }
    assert isinstance(happened, Suppression.Ended)
    return values | {
        "ended_at": happened.timestamp,
        "ended_by": happened.by.id,
        "end_reason": happened.reason,
    }


def _row(table: Table, values: dict[str, Any]) -> Row:
    return tuple(values.get(name) for name in table.names)
