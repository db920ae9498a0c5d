"""Subscriptions over WebSockets and event streams, on a real uvicorn."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from socket import SO_RCVBUF, SOL_SOCKET, create_connection
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from tests.hospital import read, record
from tests.tokens import ADMIN
from tests.web.graphql.subscribers import EVENTS, PATIENCE, PROJECTIONS, Served, received, subscribe


@pytest.fixture
def served(hospital_url: str, stack: ExitStack) -> Served:
    return Served(hospital_url, stack)


def followed(socket: ClientConnection, count: int) -> list[dict[str, Any]]:
    """The data of so many results."""
    found = []
    for _ in range(count):
        message = received(socket)
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        found += message["payload"]["data"].values()
    return found


def positions(events: list[dict[str, Any]]) -> list[int]:
    return [event["position"] for event in events]


def test_what_is_recorded_is_told_soon_and_in_order(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "queries.following.feed._LONGEST", 60.0
    )  # so that the NOTIFY alone can wake it in time
    with served.socket() as socket:
        subscribe(socket)
        assert served.subscribers(1)
        time.sleep(1.5)  # until the feed waits for nothing but the NOTIFY
        record(served.database, [read(20), read(21, "18")])
        assert positions(followed(socket, 2)) == [10, 11]
        record(served.database, [read(22)])
        assert positions(followed(socket, 1)) == [12]


def test_a_filter_and_a_position_say_where_to_go_on(served: Served) -> None:
    with served.socket() as socket:
        subscribe(socket, filter={"patient": "17"}, after=-1)
        assert positions(followed(socket, 4)) == [2, 3, 5, 6]
        subscribe(socket, id="2", filter={"not": {"patient": "17"}}, after=6)
        assert positions(followed(socket, 3)) == [7, 8, 9]
        record(served.database, [read(20, "18"), read(21)])
        told = {message["id"]: message["payload"]["data"] for message in (received(socket), received(socket))}
        assert {id: data["eventRecorded"]["position"] for id, data in told.items()} == {"1": 11, "2": 10}


def test_a_long_past_is_told_whole_and_once(served: Served) -> None:
    record(served.database, [read(20) for _ in range(350)])
    with served.socket() as socket:
        subscribe(socket, after=-1)
        assert positions(followed(socket, 360)) == list(range(360))


def test_projections_are_told_when_they_are_elsewhere(served: Served) -> None:
    with served.socket() as socket:
        subscribe(socket, PROJECTIONS, names=["patient", "user"])
        assert followed(socket, 2) == [
            {"name": "patient", "position": 9}, {"name": "user", "position": 9},
        ]  # fmt: skip
        record(served.database, [read(20)])
        told = followed(socket, 2)
        assert sorted(each["name"] for each in told) == ["patient", "user"]
        assert positions(told) == [10, 10]
        subscribe(socket, PROJECTIONS, id="2", names=["patient"], after=10)
        record(served.database, [read(21)])
        assert {each["position"] for each in followed(socket, 3)} == {11}


def test_an_event_stream_tells_the_same(served: Served) -> None:
    body = {"query": EVENTS, "variables": {"after": 7}}
    with served.client.stream(
        "POST", "/graphql", json=body, headers={"Accept": "text/event-stream"}
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert positions(streamed(lines, 2)) == [8, 9]
        record(served.database, [read(20)])
        assert positions(streamed(lines, 1)) == [10]
    assert served.subscribers(0)


def streamed(lines: Iterator[str], count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while len(found) < count:
        line = next(lines)
        if line.startswith("data: {"):
            payload = json.loads(line.removeprefix("data: "))
            assert "errors" not in payload, payload
            found += payload["data"].values()
    return found


def test_who_goes_away_is_forgotten(served: Served) -> None:
    with served.socket() as socket:
        subscribe(socket)
        subscribe(socket, PROJECTIONS, id="2")
        assert served.subscribers(2)
        socket.send('{"type": "complete", "id": "1"}')
        assert served.subscribers(1)
        socket.socket.close()  # without a word
    assert served.subscribers(0)


def test_who_stops_reading_is_waited_for_and_forgotten_when_it_goes(served: Served) -> None:
    record(served.database, [read(20) for _ in range(6000)])
    query = "subscription { eventRecorded(after: -1) { id eventId recordedAt type attributes resources { type id } } }"
    body = json.dumps({"query": query}).encode()
    head = (
        "POST /graphql HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\n"
        f"Authorization: {ADMIN['Authorization']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with ExitStack() as clients:
        for _ in range(5):
            client = clients.enter_context(create_connection(("127.0.0.1", served.port)))
            client.setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)
            client.sendall(head.encode() + body)
        assert served.subscribers(5)
        time.sleep(2)  # until the buffers between are full
        assert served.client.get("/v1/events").status_code == 200
        assert served.subscribers(5)
    assert served.subscribers(0)


def test_when_the_server_stops_every_stream_comes_to_its_end(served: Served) -> None:
    ended: list[str] = []

    def follow() -> None:
        body = {"query": PROJECTIONS}
        with served.client.stream(
            "POST", "/graphql", json=body, headers={"Accept": "text/event-stream"}
        ) as answer:
            ended.append("".join(answer.iter_text()))

    thread = threading.Thread(target=follow)
    thread.start()
    with served.socket() as socket:
        subscribe(socket)
        assert served.subscribers(2)
        assert served.stop() < 20
        thread.join(timeout=PATIENCE)
        assert "event: complete" in ended[0]
        assert ending(socket) <= {"complete"}


def ending(socket: ClientConnection) -> set[str]:
    """The types of the messages until the connection is closed."""
    types = set()
    with suppress(ConnectionClosed):
        while True:
            types.add(received(socket)["type"])
    return types


def test_queries_are_answered_on_a_socket_each_with_limits_of_its_own(served: Served) -> None:
    with served.socket() as socket:
        for number in range(8):
            subscribe(socket, "{ events(first: 100) { asOfPosition } }", id=str(number))
            assert followed(socket, 1) == [{"asOfPosition": 9}]
            assert received(socket)["type"] == "complete"


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        (EVENTS, {"filter": {"types": ["record.raed"]}}, "BAD_USER_INPUT"),
        (EVENTS, {"filter": {"or": []}}, "BAD_USER_INPUT"),
        (EVENTS, {"after": -2}, "BAD_USER_INPUT"),
        (EVENTS, {"after": 2**63 - 1}, "BAD_USER_INPUT"),
        (PROJECTIONS, {"names": ["nothing"]}, "BAD_USER_INPUT"),
        ("subscription { nothing }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("subscription {", {}, "GRAPHQL_PARSE_FAILED"),
        ("subscription { " + "x" * 3000 + "(", {}, "GRAPHQL_PARSE_FAILED"),
        ("subscription { " + "x " * 3000 + "}", {}, "LIMIT_EXCEEDED"),
    ],
)
def test_what_can_not_be_followed_is_an_error_with_a_code(
    served: Served, query: str, variables: dict[str, Any], code: str
) -> None:
    with served.socket() as socket:
        subscribe(socket, query, **variables)
        message = received(socket)
        errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
        assert errors[0]["extensions"]["code"] == code
    assert served.subscribers(0)


def test_subscriptions_are_bounded_for_a_connection_and_for_all(hospital_url: str, stack: ExitStack) -> None:
    served = Served(hospital_url, stack, max_subscriptions=3, max_connection_subscriptions=2)
    first, second = stack.enter_context(served.socket()), stack.enter_context(served.socket())
    for number, socket in enumerate((first, first, second), 1):
        subscribe(socket, id=str(number))
        assert served.subscribers(number)
    subscribe(second, id="4")
    refused = received(second)
    assert refused["payload"]["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
    subscribe(first, id="c")
    assert received(first)["type"] == "error"
    stack.enter_context(served.socket())
    with pytest.raises(InvalidStatus), served.open():
        pass
    assert served.client.get("/v1/events").status_code == 200


@pytest.mark.parametrize(
    "message",
    [
        "x",
        "[]",
        "1",
        '{"type": 1}',
        '{"type": "nothing"}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "id": [], "payload": {"query": "{ a }"}}',
        '{"type": "subscribe", "id": "1", "payload": "x"}',
        '{"type": "subscribe", "id": "1", "payload": {"query": 1}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "variables": []}}',
        '{"type": "complete", "id": {}}',
        '{"type": "ping", "id": "1"}x',
        '{"type": "complete", "id": "' + "é" * 30 + '"}',
    ],
)
def test_what_is_no_message_closes_the_connection_with_4400(served: Served, message: str) -> None:
    with served.socket() as socket:
        socket.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4400


def test_other_sites_and_other_protocols_are_refused(served: Served) -> None:
    with pytest.raises(InvalidStatus) as refused, served.open(origin="https://elsewhere.example"):
        pass
    assert refused.value.response.status_code == 403
    with served.open() as socket:
        subscribe(socket)  # before connection_init
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


def test_a_subscription_that_is_sent_as_a_query_is_told_where_to_go(served: Served) -> None:
    for body in ({"query": EVENTS}, [{"query": "{ projections { name } }"}, {"query": EVENTS}]):
        answer = served.client.post("/graphql", json=body)
        assert answer.status_code == 400
        assert "text/event-stream" in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("query", "code"),
    [("subscription {", "GRAPHQL_PARSE_FAILED"), ("{ nothing }", "GRAPHQL_VALIDATION_FAILED")],
)
def test_an_event_stream_tells_an_error_and_ends(served: Served, query: str, code: str) -> None:
    answer = served.client.post("/graphql", json={"query": query}, headers={"Accept": "text/event-stream"})
    assert code in answer.text
    assert answer.text.endswith("event: complete\ndata: \n\n")
