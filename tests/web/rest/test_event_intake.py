"""`POST /v1/events`: what is published, and what is said of the rest."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from audit_trail.embedded.broker import Broker
from domain.errors import UnavailableError
from ingest.publisher import Message
from interop.decoding import decode
from tests.web.conftest import NO_DATABASE, Serve
from tests.web.rest.publishing import native, published
from web.rest.event_intake import CLOUDEVENT, NATIVE, request_body


def test_one_event_is_published_byte_for_byte(
    publishing_client: httpx2.Client, broker: Broker, topic: str
) -> None:
    event = native()
    body = json.dumps(event, indent=3).encode()
    response = publishing_client.post(
        "/v1/events", content=body, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 202, response.text
    assert response.json() == {
        "accepted": 1,
        "rejected": 0,
        "events": [{"index": 0, "event_id": event["event_id"]}],
    }
    assert [value for value, _ in published(broker, topic, 1)] == [body]


def test_an_id_is_one_events_alone_in_a_request(
    publishing_client: httpx2.Client, broker: Broker, topic: str
) -> None:
    event = native()
    items = [event, event | {"actor": {"id": "ben"}}, event]
    answer = publishing_client.post("/v1/events", json=items)
    assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (202, 2, 1)
    told = {"index": 1, "reason": "conflict", "field": "event_id"}
    assert answer.json()["events"][1].items() > told.items()
    assert [json.loads(value) for value, _ in published(broker, topic, 2)] == [event, event]


def test_the_good_items_are_published_and_the_bad_ones_explained(
    publishing_client: httpx2.Client, broker: Broker, topic: str
) -> None:
    good = [native(), native()]
    items = [good[0], native(actor=5), {"type": "x"}, good[1], native(occurred_at="2026-03-01T08:15:30"), 7]
    response = publishing_client.post("/v1/events", json=items)
    assert response.status_code == 202
    answer = response.json()
    assert (answer["accepted"], answer["rejected"]) == (2, 4)
    assert [item.get("event_id") for item in answer["events"]] == [
        good[0]["event_id"], None, None, good[1]["event_id"], None, None,
    ]  # fmt: skip
    bad = [item for item in answer["events"] if "reason" in item]
    assert [(item["index"], item["field"]) for item in bad] == [
        (1, "actor"),
        (2, "event_id"),
        (4, "occurred_at"),
        (5, ""),
    ]
    assert all(item["message"] for item in bad)
    values = sorted(json.loads(value)["event_id"] for value, _ in published(broker, topic, 2))
    assert values == sorted(event["event_id"] for event in good)


FHIR = {
    "resourceType": "AuditEvent",
    "id": "example",
    "type": {"system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest"},
    "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": "read"}],
    "action": "R",
    "recorded": "2026-03-01T08:15:30Z",
    "outcome": "0",
    "agent": [{"who": {"reference": "Practitioner/17"}, "requestor": True}],
    "source": {"observer": {"display": "gateway"}},
    "entity": [{"what": {"reference": "Observation/1"}}],
}


def cloud_event() -> dict[str, Any]:
    event = native()
    data = {name: event[name] for name in ("source", "actor")}
    return {
        "specversion": "1.0",
        "id": event["event_id"],
        "source": "/authentication",
        "type": event["type"],
        "time": event["occurred_at"],
        "data": data,
    }


@pytest.mark.parametrize(
    ("content_type", "body", "count"),
    [
        ("application/cloudevents+json", cloud_event(), 1),
        ("application/cloudevents-batch+json", [cloud_event(), cloud_event()], 2),
        ("application/fhir+json; fhirVersion=4.0", FHIR, 1),
        ("application/json; charset=utf-8", [FHIR, cloud_event(), native()], 3),
    ],
)
def test_other_formats_get_the_event_id_that_ingest_will_give(
    publishing_client: httpx2.Client, broker: Broker, topic: str, content_type: str, body: Any, count: int
) -> None:
    response = publishing_client.post(
        "/v1/events", content=json.dumps(body).encode(), headers={"Content-Type": content_type}
    )
    assert response.status_code == 202, response.text
    promised = sorted(item["event_id"] for item in response.json()["events"])
    found = [decode(value, headers, max_bytes=1 << 20) for value, headers in published(broker, topic, count)]
    assert sorted(str(each.event.event_id) for each in found) == promised


def test_a_cloudevent_in_binary_mode_is_taken(
    publishing_client: httpx2.Client, broker: Broker, topic: str
) -> None:
    event = cloud_event()
    headers = {f"ce-{name}": event[name] for name in ("specversion", "id", "source", "type", "time")}
    response = publishing_client.post("/v1/events", json=event["data"], headers=headers)
    assert response.status_code == 202, response.text
    ((value, kept),) = published(broker, topic, 1)
    assert str(decode(value, kept, max_bytes=1 << 20).event.event_id) == event["id"]


def test_when_nothing_is_valid_the_answer_is_422(serve: Serve) -> None:
    client = serve(NO_DATABASE)
    for body in ([native(actor=5)], native(actor=5), 1, "x"):
        response = client.post("/v1/events", json=body)
        assert response.status_code == 422
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["errors"][0]["index"] == 0


def test_what_is_no_request_is_refused(serve: Serve) -> None:
    client = serve(NO_DATABASE, max_publish_events=2, max_publish_bytes=5000, max_message_bytes=500)

    def status(body: bytes, **headers: str) -> int:
        given = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): v for name, v in headers.items()
        }
        response = client.post("/v1/events", content=body, headers=given)
        assert response.headers["content-type"] == "application/problem+json"
        return int(response.status_code)

    assert status(b"[1, 2") == 400
    assert status(b"[]") == 400
    assert status(b"[1, 2, 3]") == 413
    assert status(b" " * 5001) == 413
    assert status(b"") == 422
    assert status(json.dumps(native(reason="x" * 600)).encode()) == 422
    assert status(b"{}", Content_Type="text/plain") == 415
    assert status(b"{}", Content_Encoding="gzip") == 415


class Away:
    """A publisher whose broker is away."""

    def publish(self, messages: Sequence[Message]) -> None:
        raise UnavailableError(f"Kafka does not answer for {len(messages)} messages")


def test_a_broker_that_is_away_is_503(serve: Serve) -> None:
    response = serve(NO_DATABASE, publisher=Away()).post("/v1/events", json=native())
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    assert response.headers["content-type"] == "application/problem+json"


class Slow:
    """A publisher that publishes nothing before it may."""

    def __init__(self) -> None:
        self.may = threading.Event()

    def publish(self, messages: Sequence[Message]) -> None:
        assert messages
        assert self.may.wait(20)


def test_more_requests_than_may_wait_are_told_at_once_to_come_again(serve: Serve) -> None:
    slow = Slow()
    client = serve(NO_DATABASE, publisher=slow, publishing_threads=1, max_publishing=3)
    with ThreadPoolExecutor(8) as clients:
        sent = [clients.submit(client.post, "/v1/events", json=native()) for _ in range(8)]
        until = time.monotonic() + 10
        while sum(each.done() for each in sent) < 5 and time.monotonic() < until:
            time.sleep(0.01)
        refused = [each.result() for each in sent if each.done()]
        assert [answer.status_code for answer in refused] == [503] * 5
        assert {answer.headers["retry-after"] for answer in refused} == {"5"}
        assert "3 requests" in refused[0].json()["detail"]
        slow.may.set()
        answers = [each.result().status_code for each in sent]
    assert sorted(answers) == [202] * 3 + [503] * 5
    assert client.post("/v1/events", json=native()).status_code == 202


def test_a_request_that_waits_too_long_for_those_before_it_is_503(serve: Serve) -> None:
    slow = Slow()
    client = serve(NO_DATABASE, publisher=slow, publishing_threads=1, publishing_wait=0.2)
    with ThreadPoolExecutor(2) as clients:
        sent = [clients.submit(client.post, "/v1/events", json=native()) for _ in range(2)]
        time.sleep(0.6)
        slow.may.set()
        answers = [each.result() for each in sent]
    assert sorted(answer.status_code for answer in answers) == [202, 503]
    assert [answer.headers.get("retry-after") for answer in answers if answer.status_code == 503] == ["5"]


def test_extreme_items_are_explained_each_by_itself(serve: Serve) -> None:
    """Nothing of this is an event; all of it is JSON, or nearly so, and has broken a server somewhere."""
    base = json.dumps(native())[:-1]
    items = [
        base + r', "patients": [{"id": "\ud800"}]}',
        base + r', "\ud800": 1}',
        base + r', "reason": "\u0000"}',
        base + ', "attributes": ' + "[" * 2000 + "]" * 2000 + "}",
        base + ', "attributes": {"x": 1e999}}',
        "[" * 500 + "]" * 500,
        '{"resourceType": 5}',
        '{"specversion": "1.0", "id": "\\ud800"}',
        "null",
    ]
    client = serve(NO_DATABASE, publisher=Away())
    for item in items:
        response = client.post(
            "/v1/events", content=item.encode(), headers={"Content-Type": "application/json"}
        )
        assert response.status_code in {400, 422}, (item[:300], response.status_code, response.text)
    for body in (b"\xff", b"[" * 100_000, b'["\xff"]', b'[{"a": "\xff"}]'):
        response = client.post("/v1/events", content=body, headers={"Content-Type": "application/json"})
        assert response.status_code in {400, 422}, (body[:30], response.status_code, response.text)


@pytest.mark.parametrize("content_type", [NATIVE, CLOUDEVENT])
def test_the_documented_examples_are_the_events_that_they_show(content_type: str) -> None:
    example = request_body(1000)["content"][content_type]["example"]
    received = decode(
        json.dumps(example).encode(), [("content-type", content_type.encode())], max_bytes=1 << 20
    )
    assert received.event.type == example["type"]
    assert str(received.event.event_id) == example.get("event_id", example.get("id"))
