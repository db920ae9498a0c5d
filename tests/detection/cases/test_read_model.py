"""The read model: given these events of aggregates, the tables hold these rows."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from eventsourcing.domain import Aggregate
from msgspec.structs import replace

from detection.cases.actor_cases import ActorCases
from detection.cases.alerts import about_actor
from detection.cases.case import Case, CaseChange
from detection.cases.read_model import rows
from detection.cases.stored_events import CaseEvents
from domain.alert_level import Level
from event_store.aggregate_events import AggregateEvent
from projections.models.cases import ALERT, CASE, ENTRY, SUPPRESSION, TABLES
from projections.tables import Row, Table
from tests.detection.cases.given_cases import RITA, an_alert, day
from tests.detection.cases.test_case import ANSWER, ASK, ASSIGN, COMMENT, DECIDE, REOPEN, a_case
from tests.detection.cases.test_suppression import ended, started, suppress


def stored(*aggregates: Aggregate, first: int = 0) -> list[AggregateEvent]:
    """The pending events as the log returns them, from position `first` on."""
    made = [event for each in aggregates for event in each.collect_events()]
    found = []
    for position, event in enumerate(made, first):
        body = CaseEvents().to_stored_event(event)
        found.append(
            AggregateEvent(
                position, day(position), event.originator_id, body.originator_version, body.topic, body.state
            )
        )
    return found


def held(table: Table, events: list[AggregateEvent]) -> list[dict[str, Any]]:
    """The rows of a table after all events, each as a batch of its own."""
    made: list[Row] = [row for event in events for row in rows([event])[table.name]]
    return [dict(zip(table.names, row, strict=True)) for row in table.combine(made) if table.merged] or [
        dict(zip(table.names, row, strict=True)) for row in made
    ]


def the_case(*changes: CaseChange) -> dict[str, Any]:
    [row] = held(CASE, stored(a_case(*changes)))
    return row


def test_a_new_case_is_open_and_says_what_opened_it() -> None:
    row = the_case()
    assert {
        name: row[name] for name in ("actor", "title", "level", "state", "alerts", "entries", "opened_by")
    } == {
        "actor": "ada",
        "title": "Mass access",
        "level": "high",
        "state": "open",
        "alerts": 1,
        "entries": 1,
        "opened_by": "audit-trail",
    }
    assert row["verdict"] is row["assignee"] is row["asked"] is row["earlier_case"] is None


def test_a_decided_case_has_its_verdict_and_an_open_one_has_none() -> None:
    decided = the_case(ASSIGN, DECIDE)
    assert (decided["state"], decided["verdict"], decided["decided_by"], decided["decision_seconds"]) == (
        "decided",
        "justified",
        "rita",
        420,
    )
    again = the_case(ASSIGN, DECIDE, REOPEN)
    assert (again["state"], again["verdict"], again["assignee"]) == ("open", None, "rita")


@pytest.mark.parametrize(
    ("changes", "asked"),
    [([ASK], "ada"), ([ASK, COMMENT], "ada"), ([ASK, ANSWER], None), ([ASK, DECIDE], None)],
)
def test_an_open_question_names_the_employee(changes: list[CaseChange], asked: str | None) -> None:
    row = the_case(*changes)
    assert (row["asked"], row["question"]) == (asked, asked and ASK.question)


def test_alerts_of_a_case_are_counted_and_listed() -> None:
    first, second = an_alert(0), an_alert(3)
    case = Case.open(first, about_actor("ada"), at=day(0), earlier=None)
    case.join(second, at=day(3))
    events = stored(case, first=7)
    [row] = held(CASE, events)
    assert (row["alerts"], row["newest_alert_at"], row["position"]) == (2, day(3), 8)
    assert [(each["alert_id"], each["case_id"], each["position"]) for each in held(ALERT, events)] == [
        (str(first.id), str(case.id), 7),
        (str(second.id), str(case.id), 8),
    ]


@pytest.mark.parametrize(
    ("levels", "level"),
    [(["low", "critical", "medium"], "critical"), (["medium", "informational"], "medium")],
)
def test_a_case_has_the_highest_level_of_its_alerts(levels: list[str], level: str) -> None:
    alerts = [replace(an_alert(number), level=Level(each)) for number, each in enumerate(levels)]
    case = Case.open(alerts[0], about_actor("ada"), at=day(0), earlier=None)
    for alert in alerts[1:]:
        case.join(alert, at=alert.raised_at)
    events = stored(case)
    assert [row["level"] for row in held(CASE, events)] == [level]
    assert [row["level"] for row in held(CASE, events[::-1])] == [level]


def test_every_event_of_a_case_is_an_entry_with_its_body() -> None:
    entries = held(ENTRY, stored(a_case(COMMENT, DECIDE)))
    assert [each["kind"] for each in entries] == ["case.opened", "case.commented", "case.decided"]
    assert json.loads(entries[1]["body"])["text"] == COMMENT.text
    assert (entries[1]["by_id"], entries[1]["by_name"]) == ("rita", RITA.name)


def test_a_suppression_has_one_row() -> None:
    [row] = held(SUPPRESSION, stored(ended(started(suppress(actor_id="robot")), 2)))
    assert (row["owner"], row["reason"], row["expires_at"]) == ("olga", "known", day(30))
    assert (row["started_by"], row["ended_by"], row["ended_at"], row["end_reason"]) == (
        "paul", "paul", day(2), "it is fixed",
    )  # fmt: skip
    assert json.loads(row["match"]) == {"actor.id": "robot"}


def test_other_aggregates_have_no_rows() -> None:
    cases = ActorCases.begin(about_actor("ada"), day(0))
    other = stored(cases)[0]._replace(topic="domain.dead_letter:DeadLetterResolution.Received")
    assert not any(itertools.chain(*rows([*stored(cases), other]).values()))


def test_the_order_and_the_size_of_batches_do_not_matter() -> None:
    events = stored(
        a_case(ASSIGN, ASK, ANSWER, DECIDE, REOPEN, DECIDE), ended(started(suppress(actor_id="robot")), 2)
    )
    whole = rows(events)
    for table in TABLES:
        if table.merged:
            assert table.combine(whole[table.name]) == table.combine(
                table.combine(rows(events[3:])[table.name]) + table.combine(rows(events[:3])[table.name])
            )
