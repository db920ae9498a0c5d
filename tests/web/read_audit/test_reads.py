"""Whatever way the trail is read, that is on record before the answer, and no answer is given when it can't be."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
from msgspec.structs import replace

from audit_trail.embedded.broker import Broker
from audit_trail.embedded.tansu import TansuBroker
from domain.event import AuditEvent, Outcome, Patient
from domain.validation import encode_event
from tests.hospital import read, record
from tests.tokens import bearer
from tests.web.conftest import NO_BROKER
from tests.web.read_audit.recorded_server import (
    AUDITOR,
    SECRET_NAME,
    OnRecord,
    make_topic,
    on_record,
    patients,
)
from web.read_audit.publication import Otherwise, When

QUERY = '{ events(first: 5, filter: {patient: "17"}) { nodes { position patients { id name } } } }'


@pytest.fixture
def url(hospital_url: str) -> str:
    return hospital_url


@pytest.fixture
def served(url: str, broker: Broker, topic: str) -> Iterator[OnRecord]:
    with on_record(url, broker.bootstrap_servers, topic) as served:
        yield served


def test_a_graphql_query_is_one_event_that_says_who_asked_what_and_whom_it_told_of(served: OnRecord) -> None:
    query = 'query Look { events(first: 5, filter: {patient: "17"}) { nodes { position } } }'
    answer = served.graphql(query, **{"X-Request-Id": "r-17", "User-Agent": "portal/1"})
    assert (answer.status_code, "errors" in answer.json()) == (200, False)
    (event,) = served.events()
    assert (event.type, event.outcome, event.actor.id) == (
        "audit_log.read",
        Outcome.SUCCESS,
        "p.paragraph",
    )
    assert event.actor.roles == ("auditor",)
    assert event.purpose_of_use == ("HOPERAT",)
    assert event.correlation_id == "r-17"
    assert patients(event) == ["17"]
    assert [(each.type, each.id) for each in event.resources] == [("AuditLog", "/graphql")]
    assert event.client is not None
    assert (event.client.address, event.client.user_agent) == ("127.0.0.1", "portal/1")
    assert event.request is not None
    assert (event.request.method, event.request.path, event.request.status) == ("POST", "/graphql", 200)
    assert event.attributes["via"] == "graphql"
    assert event.attributes["operation_name"] == "Look"
    assert event.attributes["document_sha256"] == sha256(query.encode()).hexdigest()
    assert event.attributes["scope"]["roles"] == ["auditor"]
    (question,) = event.attributes["questions"]
    assert question["operation"] == "events"
    assert question["asked"]["filter"] == {"patient": "17"}
    assert (
        question["returned"] == event.attributes["returned"] == len(answer.json()["data"]["events"]["nodes"])
    )


def test_a_read_without_an_id_of_its_own_has_that_of_its_trace(served: OnRecord) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = served.graphql(QUERY, traceparent=f"00-{trace}-00f067aa0ba902b7-01")
    assert answer.status_code == 200
    (event,) = served.events()
    assert event.correlation_id == trace


def test_a_batch_and_a_query_of_many_fields_are_one_event(served: OnRecord) -> None:
    several = '{ a: patient(id: "17") { id } b: patient(id: "18") { id } events(first: 1) { nodes { id } } }'
    answer = served.graphql([{"query": several}, {"query": QUERY}])
    assert answer.status_code == 200
    (event,) = served.events()
    assert [each["operation"] for each in event.attributes["questions"]].count("patient") == 2
    assert {"17", "18"} <= set(patients(event))


@pytest.mark.parametrize(
    "query",
    ["{ __typename }", "{ __schema { types { name } } }", "{ nothing }", "{", "{ projections { name } }",
     "{ asOfPosition: projections { position } }", '{ node(id: "x") { id } }'],
)  # fmt: skip
def test_what_tells_nothing_of_any_event_is_no_look(served: OnRecord, query: str) -> None:
    served.graphql(query)
    served.client.get("/healthz")
    served.client.get("/v1/events", params={"first": "x"})
    served.client.get("/log/checkpoint")
    served.client.get("/metrics", headers=bearer("operator"))
    assert served.events() == []


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v1/events?patient=17&first=2", ["17"]),
        ("/v1/patients/17", ["17"]),
        ("/v1/event-counts?by=type&patient=17", ["17"]),
        ("/v1/event-counts?by=day", []),
        ("/v1/projections/patient/patient_access?first=1", None),
        ("/v1/users/ada", None),
        ("/v1/resources/Observation/o-17", []),
        ("/v1/devices/pump-1/configuration", []),
    ],
)
def test_each_rest_request_is_one_event(served: OnRecord, path: str, told: list[str] | None) -> None:
    answer = served.client.get(path)
    assert answer.status_code == 200, answer.text
    (event,) = served.events()
    assert told is None or patients(event) == told
    assert event.attributes["via"] == "rest"
    assert event.resources[0].id == path.partition("?")[0]
    assert event.request is not None
    assert event.request.path == path.partition("?")[0]


def test_a_name_that_a_column_was_asked_for_is_not_kept(served: OnRecord) -> None:
    name = "Ada Example"
    listed = served.client.get("/v1/projections/patient/patient_actor", params={"name": name})
    exported = served.client.get("/v1/export", params={"table": "patient_actor", "where": f"name={name}"})
    assert (listed.status_code, exported.status_code) == (200, 200), listed.text
    events = served.events(2)
    assert "(a name)" in str(events[0].attributes["questions"])
    assert "(a name)" in str(events[-1].attributes["questions"])
    assert name not in str(events)


def test_a_look_for_what_is_not_there_is_a_look(served: OnRecord) -> None:
    answer = served.client.get("/v1/events/00000000-0000-4000-8000-000000000000")
    assert answer.status_code == 404
    (event,) = served.events()
    assert (event.outcome, event.attributes["returned"]) == (Outcome.MINOR_FAILURE, 0)


def test_no_name_of_a_patient_and_no_token_is_on_record(
    projected_url: str, broker: Broker, topic: str
) -> None:
    record(projected_url, [replace(read(1, "17"), patients=(Patient(id="17", name=SECRET_NAME),))])
    with on_record(projected_url, broker.bootstrap_servers, topic) as served:
        assert SECRET_NAME in served.graphql(QUERY).text
        assert SECRET_NAME in served.client.get("/v1/events").text
        assert SECRET_NAME in served.client.get("/v1/export").text
        served.client.get("/v1/events", headers={"Authorization": "Bearer abc.def.ghi"})
        said = b"".join(encode_event(event) for event in served.events(6)).decode()
    assert SECRET_NAME not in said
    assert AUDITOR["Authorization"].removeprefix("Bearer ")[:40] not in said
    assert "abc.def.ghi" not in said


def test_what_is_on_record_is_found_by_the_api_and_its_reading_is_one_event_again(
    served: OnRecord, url: str
) -> None:
    served.graphql(QUERY)
    looks = served.events()
    record(url, looks)
    query = (
        '{ events(first: 9, filter: {types: ["audit_log.read"], patient: "17"}) { nodes { actor { id } } } }'
    )
    for round in range(1, 4):
        nodes = served.graphql(query).json()["data"]["events"]["nodes"]
        assert len(nodes) == round
        assert {node["actor"]["id"] for node in nodes} == {"p.paragraph"}
        now = served.events()
        assert len(now) == len(looks) + 1
        record(url, now[len(looks) :])
        looks = now


def test_who_looks_at_the_newest_again_and_again_does_not_list_more_and_more_patients(
    served: OnRecord, url: str
) -> None:
    looks = 0
    newest: list[AuditEvent] = []
    for round in range(4):
        record(url, [read(40 + round, f"new-{round}")])
        served.graphql("{ events(first: 3) { nodes { position } } }")
        newest = served.events()[looks:]
        looks += len(newest)
        record(url, newest)
    assert len(newest) == 1
    assert patients(newest[0]) == ["new-3", "new-2"]


def test_fifty_at_once_are_fifty_events(served: OnRecord) -> None:
    def ask(number: int) -> int:
        with httpx2.Client(base_url=str(served.client.base_url), headers=AUDITOR, timeout=30) as client:
            answer = client.get("/v1/events", params={"first": 1}, headers={"X-Request-Id": f"r-{number}"})
            return answer.status_code

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(ask, range(50))) == {200}
    assert {event.correlation_id for event in served.events()} == {f"r-{number}" for number in range(50)}


def test_without_a_record_there_is_no_answer_and_readiness_says_why(url: str) -> None:
    with on_record(url, NO_BROKER, "reads", timeout=0.3) as served:
        for _ in range(2):
            answer = served.graphql(QUERY)
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "7"
            (error,) = answer.json()["errors"]
            assert error["extensions"]["code"] == "AUDIT_UNAVAILABLE"
            assert answer.json().keys() == {"errors"}
            listed = served.client.get("/v1/events?patient=17")
            assert (listed.status_code, listed.headers["retry-after"]) == (503, "7")
            assert listed.headers["content-type"] == "application/problem+json"
            assert "can't be recorded" in listed.json()["detail"]
            exported = served.client.get("/v1/export?patient=17")
            assert exported.status_code == 503
            for text in (answer.text, listed.text, exported.text):
                assert '"17"' not in text
        assert served.graphql("{ __typename }").status_code == 200
        ready = served.client.get("/readyz")
        assert ready.status_code == 503
        assert "can't be recorded" in ready.json()["checks"]["recording"]
        metrics = served.client.get("/metrics", headers=bearer("operator")).text
        assert "audit_trail_reads_recordable 0.0" in metrics


def test_answers_come_again_when_the_broker_does(url: str, tmp_path: Path) -> None:
    broker = TansuBroker(log=tmp_path / "log").start()
    make_topic(broker.bootstrap_servers, "reads")
    try:
        with on_record(url, broker.bootstrap_servers, "reads", timeout=1) as served:
            assert served.graphql(QUERY).status_code == 200
            assert served.client.get("/readyz").status_code == 200
            broker.kill()
            assert served.graphql(QUERY).status_code == 503
            assert served.client.get("/readyz").status_code == 503
            broker.start()
            make_topic(broker.bootstrap_servers, "reads")
            until = time.monotonic() + 30
            while served.client.get("/readyz").status_code != 200 and time.monotonic() < until:
                time.sleep(0.1)
            assert served.graphql(QUERY).status_code == 200
            assert len(served.events()) == 1  # this broker forgets; what was refused is not there
    finally:
        broker.stop()


def test_flagged_answers_say_so_in_the_body_and_in_a_header(url: str) -> None:
    with on_record(url, NO_BROKER, "reads", timeout=0.3, otherwise=Otherwise.FLAG) as served:
        answer = served.graphql(QUERY)
        assert answer.status_code == 200
        assert answer.json()["data"]["events"]["nodes"]
        assert answer.json()["extensions"]["recorded"] is False
        assert answer.headers["audit-recorded"] == "false"
        listed = served.client.get("/v1/events")
        assert (listed.status_code, listed.headers["audit-recorded"]) == (200, "false")
        exported = served.client.get("/v1/export")
        assert (exported.status_code, exported.headers["audit-recorded"]) == (200, "false")
        ready = served.client.get("/readyz")
        assert ready.json()["checks"]["recording"] != "ok"
        assert ready.status_code == 200
        assert "audit-recorded" not in served.graphql("{ __typename }").headers


def test_after_does_not_wait(url: str, broker: Broker, topic: str) -> None:
    with on_record(url, broker.bootstrap_servers, topic, when=When.AFTER) as served:
        assert served.graphql(QUERY).json()["data"]["events"]["nodes"]
        assert len(served.events(1)) == 1


def test_a_client_that_has_gone_is_on_record(served: OnRecord) -> None:
    body = json.dumps({"query": QUERY})

    def ask() -> None:
        with httpx2.Client(base_url=str(served.client.base_url), headers=AUDITOR, timeout=0.01) as client:
            try:
                client.post("/graphql", content=body, headers={"Content-Type": "application/json"})
            except httpx2.TimeoutException:
                return

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(served.events(1)) >= 1


def test_the_first_attempt_after_a_start_is_on_record_when_it_is_denied(served: OnRecord) -> None:
    denied = httpx2.get(f"{served.client.base_url}/v1/events?patient=17", headers={"User-Agent": "x/1"})
    assert denied.status_code == 401
    (event,) = served.events(1)
    assert (event.type, event.actor.id, event.outcome) == ("access.denied", None, Outcome.MINOR_FAILURE)
    assert event.request is not None
    assert (event.request.method, event.request.path, event.request.status) == ("GET", "/v1/events", 401)
    assert event.client is not None
    assert event.client.address == "127.0.0.1"
    assert event.outcome_reason


def test_a_principal_who_may_not_is_named(served: OnRecord) -> None:
    operator = bearer("operator", subject="olga")
    assert served.client.get("/v1/events", headers=operator).status_code == 403
    (rest,) = served.events(1)
    assert (rest.type, rest.actor.id, rest.actor.roles) == ("access.denied", "olga", ("operator",))
    answer = served.graphql(QUERY, **operator)
    assert answer.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    graphql = served.events(2)[-1]
    assert (graphql.type, graphql.actor.id, graphql.attributes["via"]) == ("access.denied", "olga", "graphql")
    assert "events" in (graphql.outcome_reason or "")


def test_an_export_says_that_it_begins_whom_it_tells_of_and_how_it_ended(
    projected_url: str, broker: Broker, topic: str
) -> None:
    record(projected_url, [read(number % 50, f"p-{number % 1300}") for number in range(6000)])
    with on_record(projected_url, broker.bootstrap_servers, topic) as served:
        answer = served.client.get("/v1/export?type=record.read")
        assert len(answer.text.splitlines()) == 6000
        events = served.events()
    assert [event.attributes["stage"] for event in events][:: len(events) - 1] == ["started", "ended"]
    told = [id for event in events for id in patients(event)]
    assert sorted(told) == sorted({f"p-{number}" for number in range(1300)})
    assert max(len(patients(event)) for event in events) <= 500
    assert len({event.correlation_id for event in events}) == 1
    assert events[-1].attributes["returned"] == 6000
    assert events[-1].outcome is Outcome.SUCCESS
    assert {event.attributes["via"] for event in events} == {"export"}


def test_an_export_that_a_client_breaks_off_is_on_record_with_what_it_was_given(
    projected_url: str, broker: Broker, topic: str
) -> None:
    record(
        projected_url,
        [read(number % 50, f"p-{number}", reason="x" * 2000) for number in range(8000)],
    )
    with on_record(projected_url, broker.bootstrap_servers, topic) as served:
        with served.client.stream("GET", "/v1/export") as answer:
            next(answer.iter_bytes(1000))
        events = served.events(3)
        until = time.monotonic() + 10
        while events[-1].attributes["stage"] != "ended" and time.monotonic() < until:
            events = served.events()
    assert events[0].attributes["stage"] == "started"
    assert events[-1].attributes["stage"] == "ended"
    assert (events[-1].outcome, events[-1].outcome_reason) == (Outcome.MINOR_FAILURE, "cut off")
    told = {id for event in events for id in patients(event)}
    assert 0 < len(told) < 8000
    assert events[-1].attributes["returned"] == len(told)


def test_an_export_stops_when_its_token_ends_and_that_is_on_record(
    projected_url: str, broker: Broker, topic: str
) -> None:
    record(
        projected_url,
        [read(number % 50, f"p-{number}", reason="x" * 2000) for number in range(8000)],
    )
    with on_record(projected_url, broker.bootstrap_servers, topic, web={"token_recheck": 0.1}) as served:
        # Clocks may differ by 30 seconds, so this one is good for two more.
        ending = bearer("auditor", subject="p.paragraph", exp=int(time.time()) - 28)
        got: list[int] = []
        with pytest.raises(httpx2.RemoteProtocolError, match="incomplete chunked read"):
            take_slowly(served, ending, got)
        events = served.events(4)
        until = time.monotonic() + 10
        while events[-1].attributes.get("stage") != "ended" and time.monotonic() < until:
            events = served.events()
    assert 0 < sum(got) < 8000 * 2000
    [refused] = [event for event in events if event.type == "access.denied"]
    assert (refused.actor.id, refused.outcome_reason) == ("p.paragraph", "the token has expired")
    assert refused.request is not None
    assert (refused.request.path, refused.request.status) == ("/v1/export", 401)
    assert events[-1].outcome_reason == "cut off"
    assert len({event.correlation_id for event in events}) == 1


def take_slowly(served: OnRecord, headers: dict[str, str], got: list[int]) -> None:
    with served.client.stream("GET", "/v1/export?manifest=true", headers=headers) as answer:
        for piece in answer.iter_bytes(1000):
            time.sleep(0 if got else 3)
            got.append(len(piece))
