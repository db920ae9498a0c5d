"""Alerts and their cases, as queries show them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from domain.alert_level import Level
from domain.cases.commands import Decide, Verdict
from domain.errors import RejectedError
from queries.detection import alerts as module
from queries.detection.results import BEGIN, AlertFilter, AlertKind, AlertPage, Handling, NamedValue
from tests.detection.live.logs import deletion, read_by
from tests.queries.detection.given_detection import GivenDetection
from tests.trail import Trail


def test_an_alert_says_what_was_found_about_whom_and_in_which_case_it_is(found: GivenDetection) -> None:
    adas, eves = found.alerts()
    assert (eves.title, eves.level, eves.actor, eves.positions) == (
        "A record was deleted",
        Level.HIGH,
        "eve",
        (1,),
    )
    assert eves.reasons == ("deleted: type has record.deleted",)
    assert (adas.group, adas.events, adas.final) == ((NamedValue("actor.id", "ada"),), 3, False)
    assert (adas.case_id, adas.case_state, adas.verdict) == (
        found.case_of("ada").case_id,
        Handling.OPEN,
        None,
    )
    assert found.models().alert(eves.alert_id) == eves
    assert found.models().alert(str(uuid4())) is None


def test_the_extent_of_a_window_that_has_passed_is_part_of_the_alert(found: GivenDetection) -> None:
    late = [read_by("ada", "p-9"), read_by("bob", "p-9", occurred_at="2026-03-02T09:00:00Z")]
    found.trail.append(*late)
    found.detect()
    [alert] = found.alerts(actor="ada")
    if not alert.final:  # the window is that of the log's clock
        assert alert.events == 3
    assert set(alert.positions) >= {2, 3, 4}


@pytest.mark.parametrize(
    ("conditions", "actors"),
    [
        ({"level": Level.HIGH}, ["eve"]),
        ({"level": Level.MEDIUM}, ["ada", "eve"]),
        ({"level": Level.CRITICAL}, []),
        ({"actor": "ada"}, ["ada"]),
        ({"actor": "nobody"}, []),
        ({"rule_id": "6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c14"}, ["eve"]),
        ({"rule_id": "6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c14", "actor": "ada"}, []),
        ({"handling": Handling.OPEN}, ["ada", "eve"]),
        ({"handling": Handling.NONE}, []),
        ({"suppressed": False}, ["ada", "eve"]),
        ({"suppressed": True}, []),
        ({"kind": AlertKind.MATCH}, ["ada", "eve"]),
        ({"kind": AlertKind.LATE}, []),
    ],
)
def test_conditions_select_alerts(
    found: GivenDetection, conditions: dict[str, Any], actors: list[str]
) -> None:
    assert [each.actor for each in found.alerts(**conditions)] == actors


def test_a_decision_and_a_time_select_alerts(found: GivenDetection) -> None:
    case = found.case_of("eve")
    found.carried_out(case.case_id, Decide(verdict=Verdict.POLICY_BREACH, reason="no reason given"))
    [decided] = found.alerts(handling=Handling.DECIDED)
    assert (decided.actor, decided.verdict) == ("eve", Verdict.POLICY_BREACH)
    assert [each.actor for each in found.alerts(handling=Handling.OPEN)] == ["ada"]
    assert [each.actor for each in found.alerts(case_id=case.case_id)] == ["eve"]
    at, moment = decided.raised_at, timedelta(microseconds=1)
    assert [each.actor for each in found.alerts(since=at)] == ["ada", "eve"]
    assert [each.actor for each in found.alerts(since=at + moment)] == ["ada"]
    assert [each.actor for each in found.alerts(until=at + moment)] == ["eve"]
    assert found.alerts(until=at) == []


def pages(found: GivenDetection, filter: AlertFilter, limit: int) -> list[AlertPage]:
    read, place = [], BEGIN
    while True:
        page = found.models().alerts(filter, limit, place)
        read.append(page)
        if page.next is None:
            return read
        place = page.next


def test_pages_follow_each_other_without_gap_or_repetition(found: GivenDetection) -> None:
    found.trail.append(*(deletion(f"actor-{n % 3}") for n in range(20)))
    found.detect()
    whole = found.models().alerts(AlertFilter(), 100).alerts
    assert len(whole) == 22
    for limit in (1, 7, 22):
        read = pages(found, AlertFilter(), limit)
        assert [each for page in read for each in page.alerts] == whole
    of_one = pages(found, AlertFilter(actor="actor-1"), 2)
    assert [len(page.alerts) for page in of_one] == [2, 2, 2, 1][: len(of_one)]


def test_a_page_looks_at_a_bounded_number_of_alerts(
    found: GivenDetection, monkeypatch: pytest.MonkeyPatch
) -> None:
    found.trail.append(*(deletion("busy") for _ in range(20)))
    found.detect()
    monkeypatch.setattr(module, "WALK", 6)
    read = pages(found, AlertFilter(level=Level.HIGH, handling=Handling.OPEN, suppressed=False), 5)
    assert sum(len(page.alerts) for page in read) == 21
    rare = pages(found, AlertFilter(suppressed=True), 5)
    assert [page.alerts for page in rare] == [[]] * len(rare)
    assert len(rare) == 4


def test_wrong_values_are_refused_and_without_detection_there_is_nothing(
    found: GivenDetection, new_trail: Trail
) -> None:
    with pytest.raises(RejectedError, match="actor: from 1 to"):
        found.alerts(actor="")
    with pytest.raises(RejectedError, match="limit: from 1"):
        found.models().alerts(AlertFilter(), 0)
    assert new_trail.read.detection.alerts(AlertFilter(), 5) == AlertPage([], -1, None)


def test_the_evidence_is_read_as_events(found: GivenDetection) -> None:
    [alert] = found.alerts(actor="ada")
    events = found.models().alert_events(alert.alert_id)
    assert events is not None
    assert [each.position for each in events] == [2, 3, 4]
    assert found.models().alert_events(str(uuid4())) is None
