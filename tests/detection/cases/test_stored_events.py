"""The stored form: bodies written in 2026 must be readable for decades, so they stand here as they were written."""

from __future__ import annotations

import re
from uuid import UUID, uuid4

import pytest
from eventsourcing.domain import Aggregate

from detection.cases.actor_cases import ActorCases
from detection.cases.alerts import about_actor
from detection.cases.case import Case
from detection.cases.stored_events import TOPICS, CaseEvents, UnknownTopicError, domain_event
from detection.cases.suppression import Suppression
from domain.cases.commands import EndSuppression, Suppress
from domain.errors import LogInconsistentError
from tests.detection.cases.given_cases import PAUL, PERSON_ADA, RULE, an_alert, command, day
from tests.detection.cases.test_case import ANSWER, ASK, ASSIGN, COMMENT, DECIDE, REOPEN, a_case

STREAM = UUID("00000000-0000-4000-8000-000000000001")
_ID = "00000000-0000-4000-8000-0000000000"
_HEAD = f'"by":{{"id":"rita","kind":"user","name":null}},"command":"{_ID}02"'
_AT = '"timestamp":"2026-03-02T08:00:00Z"'
_ALERT = (
    f'"alert":{{"id":"{_ID}03","level":"high","raised_at":"2026-03-02T08:00:00Z","rule_id":"{_ID}04",'
    '"title":"Mass access"}'
)
STORED = {
    "case.opened": f'{{"actor":"ada",{_ALERT},{_HEAD},"earlier":null,"level":"high","reason":"","subject":"actor:ada",'
    f'{_AT},"title":"Mass access"}}',
    "case.alert_joined": f"{{{_ALERT},{_HEAD},{_AT}}}",
    "case.assigned": f'{{"assignee":{{"id":"bob","kind":"user","name":"Bob"}},{_HEAD},"reason":"",{_AT}}}',
    "case.commented": f'{{{_HEAD},"text":"hm",{_AT}}}',
    "case.employee_asked": f'{{{_HEAD},"employee":{{"id":"ada","kind":"user","name":null}},"question":"why?",{_AT}}}',
    "case.employee_answered": f'{{"answer":"on call",{_HEAD},{_AT}}}',
    "case.decided": f'{{{_HEAD},"reason":"on call","seconds":null,{_AT},"verdict":"justified"}}',
    "case.reopened": f'{{{_HEAD},"reason":"wrong roster",{_AT}}}',
    "actor_cases.begun": f'{{"subject":"actor:ada",{_AT}}}',
    "actor_cases.alert_received": f'{{"alert":"{_ID}03","case":"{_ID}01",{_AT}}}',
    "actor_cases.case_opened": f'{{"case":"{_ID}01",{_AT}}}',
    "suppression.started": f'{{{_HEAD},"expires_at":"2026-04-02T08:00:00Z","match":{{"actor.id":"robot"}},'
    f'"owner":{{"id":"rita","kind":"user","name":null}},"reason":"known","rule_id":"{_ID}04",{_AT}}}',
    "suppression.ended": f'{{{_HEAD},"reason":"it is fixed",{_AT}}}',
}


def test_every_event_has_a_stored_form_of_its_own() -> None:
    assert set(STORED) == set(TOPICS)
    assert all(re.fullmatch(r"[a-z_]+\.[a-z_]+", topic) for topic in TOPICS)


@pytest.mark.parametrize("topic", STORED)
def test_a_body_is_read_and_written_byte_for_byte(topic: str) -> None:
    event = domain_event(STREAM, 1, topic, STORED[topic].encode())
    stored = CaseEvents().to_stored_event(event)
    assert (stored.topic, stored.state.decode()) == (topic, STORED[topic])


@pytest.mark.parametrize(
    "made",
    [
        a_case(ASSIGN, COMMENT, ASK, ANSWER, DECIDE, REOPEN),
        ActorCases.begin(about_actor("ada"), day(0)),
    ],
)
def test_an_aggregate_is_the_same_after_it_was_stored(made: Aggregate) -> None:
    mapper, read = CaseEvents(), None
    for event in made.collect_events():
        read = mapper.to_domain_event(mapper.to_stored_event(event)).mutate(read)
    assert read == made


def test_a_suppression_is_the_same_after_it_was_stored() -> None:
    body = Suppress(
        rule_id=RULE, owner=PERSON_ADA, reason="known", expires_at=day(9), match={"b": "2", "a": "1"}
    )
    made = Suppression.start(command(uuid4(), body, PAUL), body)
    made.end(command(made.id, end := EndSuppression(reason="fixed")), end)
    mapper, read = CaseEvents(), None
    for event in made.collect_events():
        read = mapper.to_domain_event(mapper.to_stored_event(event)).mutate(read)
    assert read == made


def test_a_field_of_a_later_version_is_passed_over() -> None:
    later = STORED["case.commented"].replace('"text"', '"mood":"grim","text"')
    commented = domain_event(STREAM, 2, "case.commented", later.encode())
    assert isinstance(commented, Case.Commented)
    assert commented.text == "hm"


@pytest.mark.parametrize(("topic", "body"), [("case.commented", b"{}"), ("case.commented", b"\xff")])
def test_what_no_version_has_written_stops(topic: str, body: bytes) -> None:
    with pytest.raises(LogInconsistentError, match=f"{topic}\\) can't be read"):
        domain_event(STREAM, 1, topic, body)


def test_an_alert_keeps_its_facts() -> None:
    alert = an_alert()
    case = Case.open(alert, about_actor("ada"), at=day(0), earlier=None)
    [opened] = case.collect_events()
    read = CaseEvents().to_domain_event(CaseEvents().to_stored_event(opened))
    assert isinstance(read, Case.Opened)
    assert read.alert == alert


def test_an_event_of_another_aggregate_is_named() -> None:
    with pytest.raises(UnknownTopicError, match=r"case\.closed is no event of an aggregate that this part"):
        domain_event(STREAM, 1, "case.closed", b"{}")
