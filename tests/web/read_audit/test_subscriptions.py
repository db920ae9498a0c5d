"""Subscriptions on record: that they begin, whom they tell of before they do, and no chain between two of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from audit_trail.embedded.broker import Broker
from domain.event import AuditEvent
from tests.hospital import read, record
from tests.tokens import bearer
from tests.web.conftest import NO_BROKER
from tests.web.read_audit.recorded_server import AUDITOR, OnRecord, on_record, patients
from web.read_audit.publication import Otherwise

FOLLOW = """subscription Follow($filter: EventFilter, $after: Long) {
  eventRecorded(filter: $filter, after: $after) { position type }
}"""


@pytest.fixture
def url(hospital_url: str) -> str:
    return hospital_url


@pytest.fixture
def served(url: str, broker: Broker, topic: str) -> Iterator[OnRecord]:
    with on_record(url, broker.bootstrap_servers, topic) as served:
        yield served


@contextmanager
def socket_of(served: OnRecord, headers: dict[str, str] = AUDITOR) -> Iterator[ClientConnection]:
    with connect(
        f"ws://127.0.0.1:{served.port}/graphql",
        subprotocols=[Subprotocol("graphql-transport-ws")],
        additional_headers=headers,
    ) as socket:
        socket.send('{"type": "connection_init"}')
        assert received(socket)["type"] == "connection_ack"
        yield socket


def received(socket: ClientConnection, seconds: float = 10) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(socket.recv(timeout=seconds))
    return message


def ask(socket: ClientConnection, query: str, id: str = "1", **variables: Any) -> None:
    payload = {"query": query, "variables": variables}
    socket.send(json.dumps({"type": "subscribe", "id": id, "payload": payload}))


def positions(socket: ClientConnection, count: int) -> list[int]:
    return [received(socket)["payload"]["data"]["eventRecorded"]["position"] for _ in range(count)]


def stages(events: list[AuditEvent]) -> list[tuple[str, list[str], int]]:
    return [(each.attributes["stage"], patients(each), each.attributes["returned"]) for each in events]


def test_a_subscription_is_on_record_when_it_begins_and_before_each_batch(served: OnRecord, url: str) -> None:
    with socket_of(served) as socket:
        ask(socket, FOLLOW, filter={"patient": "17"}, after=-1)
        positions(socket, 1)
        events = served.events()
        assert [stage for stage, _, _ in stages(events)] == ["started", "delivered"]
        assert stages(events)[1][1] == ["17"]
        first = stages(events)[1][2]
        positions(socket, first - 1)
        record(url, [read(50, "17"), read(51, "17"), read(52, "18")])
        positions(socket, 2)
        events = served.events()
    assert stages(events)[2:] == [("delivered", ["17"], 2)]
    for event in events:
        assert (event.actor.id, event.attributes["via"]) == ("p.paragraph", "subscription")
        assert event.attributes["operation_name"] == "Follow"
        assert event.attributes["questions"][0]["asked"]["filter"] == {"patient": "17"}


def test_an_event_stream_is_recorded_alike(served: OnRecord) -> None:
    body = {"query": FOLLOW, "variables": {"filter": {"patient": "17"}, "after": -1}}
    with served.client.stream(
        "POST", "/graphql", json=body, headers={"Accept": "text/event-stream"}
    ) as answer:
        lines = answer.iter_lines()
        while not next(lines).startswith("data: {"):
            pass
        events = served.events()
    assert [stage for stage, _, _ in stages(events)] == ["started", "delivered"]
    assert events[1].attributes["via"] == "subscription"
    assert patients(events[1]) == ["17"]


def test_a_query_over_a_websocket_is_one_look(served: OnRecord) -> None:
    with socket_of(served) as socket:
        ask(socket, '{ events(first: 2, filter: {patient: "17"}) { nodes { position } } }')
        assert received(socket)["payload"]["data"]
        (event,) = served.events()
    assert (patients(event), event.attributes["via"]) == (["17"], "graphql")
    assert "stage" not in event.attributes


def test_two_subscribers_who_see_each_others_records_do_not_feed_each_other(
    served: OnRecord, url: str
) -> None:
    def pump(rounds: int) -> int:
        """Have what is on record appended, as ingest does, and see whether there is more then."""
        done = 0
        for _ in range(rounds):
            time.sleep(0.4)
            fresh = served.events()[appended[0] :]
            if not fresh:
                done += 1
                if done == 3:
                    break
                continue
            record(url, fresh)
            appended[0] += len(fresh)
        return appended[0]

    appended = [0]
    with socket_of(served) as one, socket_of(served, bearer("auditor", subject="second")) as two:
        ask(one, FOLLOW)
        ask(two, FOLLOW)
        while len(served.events()) < 2:
            time.sleep(0.05)
        at_rest = pump(20)
        assert at_rest == 2
        record(url, [read(55, "17")])
        after_one_event = pump(20)
        assert after_one_event == at_rest + 2
        assert pump(20) == after_one_event
        told = {event.actor.id for event in served.events()}
        # Both were given the event, and what the other was given of it, and what they were given themselves.
        for socket in (one, two):
            types = [
                received(socket)["payload"]["data"]["eventRecorded"]["type"] for _ in range(1 + at_rest + 2)
            ]
            assert types.count("record.read") == 1
            assert types.count("audit_log.read") == at_rest + 2
    assert told == {"p.paragraph", "second"}


def test_a_subscription_for_which_there_can_be_no_record_ends_with_an_error(url: str) -> None:
    with on_record(url, NO_BROKER, "reads", timeout=0.3) as served, socket_of(served) as socket:
        ask(socket, FOLLOW, after=-1)
        message = received(socket)
        errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
        assert errors[0]["extensions"]["code"] == "AUDIT_UNAVAILABLE"
        ask(socket, '{ events(first: 2, filter: {patient: "17"}) { nodes { position } } }', id="2")
        while (message := received(socket))["id"] != "2":
            pass
        errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
        assert errors[0]["extensions"]["code"] == "AUDIT_UNAVAILABLE"
        assert '"17"' not in json.dumps(message)


def test_a_flagged_delivery_says_so(url: str) -> None:
    with (
        on_record(url, NO_BROKER, "reads", timeout=0.3, otherwise=Otherwise.FLAG) as served,
        socket_of(served) as socket,
    ):
        ask(socket, FOLLOW, after=-1)
        payload = received(socket)["payload"]
        assert payload["data"]["eventRecorded"]
        assert payload["extensions"]["recorded"] is False


def test_a_connection_without_a_token_is_a_denied_attempt(served: OnRecord) -> None:
    with connect(
        f"ws://127.0.0.1:{served.port}/graphql", subprotocols=[Subprotocol("graphql-transport-ws")]
    ) as socket:
        socket.send('{"type": "connection_init"}')
        (event,) = served.events(1)
    assert (event.type, event.attributes["via"]) == ("access.denied", "graphql")


def test_what_a_principal_may_not_follow_is_a_denied_attempt(served: OnRecord) -> None:
    with socket_of(served, bearer("operator", subject="olga")) as socket:
        ask(socket, FOLLOW, after=-1)
        received(socket)
        events = served.events(1)
    assert [event.type for event in events][-1] == "access.denied"
    assert events[-1].actor.id == "olga"
    assert events[-1].outcome_reason == "not allowed: the subscription"
    assert [event for event in events if patients(event)] == []
