"""What is recorded of a look into the trail."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.access.principal import Principal, Role
from domain.event import ActorKind, Outcome, Source
from domain.read_audit.events import AccessDetails, Stage, Via, denied_event, is_echo, read_events
from domain.read_audit.query_log import LoggedQuery, QueryLog
from domain.validation import decode_event, encode_event

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
SOURCE = Source(service="audit-trail", instance="host-1")
ADA = Principal(
    id="ada",
    name="Ada Example",
    roles=frozenset({Role.PRIVACY_OFFICER, Role.AUDITOR}),
    issuer="https://id.example",
    session="s-1",
    client_id="portal",
    purpose_of_use=("HSYSADMIN",),
)


def look(via: Via = Via.REST, **fields: Any) -> AccessDetails:
    return AccessDetails(via=via, address="/v1/events", correlation_id="c-1", at=AT, **fields)


def test_a_look_says_who_asked_what_and_whom_the_answer_told_of() -> None:
    query_log = QueryLog()
    query_log.add("events", {"filter": {"patient": "17", "type": None}, "first": 50}, 3, ["17", "18", "17"])
    asked = look(
        method="GET",
        path="/v1/events",
        status=200,
        duration_ms=12.3456,
        client_address="10.0.0.7",
        user_agent="portal/1",
    )
    (event,) = read_events(ADA, query_log.queries, query_log.patients, asked, SOURCE)
    assert decode_event(encode_event(event)) == event
    assert (event.type, event.action, event.outcome) == ("audit_log.read", "R", Outcome.SUCCESS)
    assert (event.actor.id, event.actor.name, event.actor.roles) == (
        "ada",
        "Ada Example",
        ("auditor", "privacy_officer"),
    )
    assert [patient.id for patient in event.patients] == ["17", "18"]
    assert [(resource.type, resource.id) for resource in event.resources] == [("AuditLog", "/v1/events")]
    assert (event.session, event.correlation_id, event.purpose_of_use) == ("s-1", "c-1", ("HSYSADMIN",))
    assert event.request is not None
    assert (event.request.status, event.request.duration_ms) == (200, 12.346)
    assert event.client is not None
    assert event.client.address == "10.0.0.7"
    assert event.attributes == {
        "via": "rest",
        "scope": {
            "roles": ["auditor", "privacy_officer"],
            "issuer": "https://id.example",
            "client_id": "portal",
        },
        "questions": [
            {"operation": "events", "asked": {"filter": {"patient": "17"}, "first": 50}, "returned": 3}
        ],
        "returned": 3,
        "patients": 2,
    }


def test_a_look_at_many_patients_is_several_events_that_belong_together() -> None:
    ids = [f"p-{number}" for number in range(1201)]
    events = read_events(ADA, [LoggedQuery("events", {}, 1201)], ids, look(), SOURCE)
    assert [len(event.patients) for event in events] == [500, 500, 201]
    assert [patient.id for event in events for patient in event.patients] == ids
    assert {event.correlation_id for event in events} == {"c-1"}
    assert len({event.event_id for event in events}) == 3
    assert [(event.attributes["part"], event.attributes["parts"]) for event in events] == [
        (1, 3),
        (2, 3),
        (3, 3),
    ]


def test_no_event_is_longer_than_a_message_may_be() -> None:
    ids = ["\U0001f600" * 200 + str(number) for number in range(700)]
    questions = [LoggedQuery("events", {"filter": {"any": ["x" * 5000] * 100}}, 1)] * 1000
    for limit in (16 << 10, 64 << 10, 1 << 20):
        events = read_events(ADA, questions, ids, look(), SOURCE, max_bytes=limit)
        assert max(len(encode_event(event)) for event in events) <= limit
        assert [patient.id for event in events for patient in event.patients] == ids
        assert events[0].attributes["questions_left_out"] > 0


@given(
    asked=st.dictionaries(
        st.text(max_size=5),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(st.characters(exclude_categories=()))
            | st.datetimes(timezones=st.just(UTC)),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
        ),
        max_size=5,
    ),
    text=st.text(st.characters(exclude_categories=()), max_size=1100),
)
def test_whatever_a_client_wrote_the_record_of_it_is_accepted(asked: dict[str, Any], text: str) -> None:
    said = look(Via.GRAPHQL, user_agent=text, client_address=text, path=text, method=text, operation=text)
    (event,) = read_events(ADA, [LoggedQuery("events", asked, 0)], [], said, SOURCE)
    assert decode_event(encode_event(event)).attributes["via"] == "graphql"
    assert decode_event(encode_event(denied_event(None, said, SOURCE))).type == "access.denied"


def test_numbers_that_json_has_not_are_told_in_words() -> None:
    (event,) = read_events(ADA, [LoggedQuery("x", {"a": math.inf, "b": 2**80}, 0)], [], look(), SOURCE)
    assert event.attributes["questions"][0]["asked"] == {"a": "inf", "b": str(2**80)}


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, Outcome.SUCCESS), (404, Outcome.MINOR_FAILURE), (503, Outcome.SERIOUS_FAILURE)],
)
def test_the_outcome_is_that_of_the_answer(status: int, outcome: Outcome) -> None:
    (event,) = read_events(ADA, [LoggedQuery("event", {}, 0)], [], look(status=status), SOURCE)
    assert event.outcome is outcome


def test_an_attempt_that_was_denied_names_who_is_known_and_why() -> None:
    nobody = denied_event(None, look(status=401, reason="no credentials", path="/v1/events"), SOURCE)
    assert (nobody.type, nobody.outcome, nobody.outcome_reason) == (
        "access.denied",
        Outcome.MINOR_FAILURE,
        "no credentials",
    )
    assert (nobody.actor.kind, nobody.actor.id, nobody.patients) == (ActorKind.UNKNOWN, None, ())
    ada = denied_event(ADA, look(status=403), SOURCE, count=7, seconds=60)
    assert (ada.actor.id, ada.attributes["count"], ada.attributes["seconds"]) == ("ada", 7, 60)
    asked = denied_event(ADA, look(Via.GRAPHQL, status=403, operation="Look", document="d1"), SOURCE)
    assert (asked.attributes["operation_name"], asked.attributes["document_sha256"]) == ("Look", "d1")


def test_only_what_tells_of_a_subscription_is_an_echo() -> None:
    (followed,) = read_events(ADA, [], [], look(Via.SUBSCRIPTION, stage=Stage.STARTED), SOURCE)
    (asked,) = read_events(ADA, [], [], look(Via.REST), SOURCE)
    denied = denied_event(ADA, look(Via.SUBSCRIPTION), SOURCE)
    assert [is_echo(event) for event in (followed, asked, denied)] == [True, False, False]
