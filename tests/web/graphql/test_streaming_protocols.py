"""graphql-transport-ws and graphql-sse, message by message, as their specifications have them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.tokens import ADMIN
from tests.web.graphql.subscribers import EVENTS, PATIENCE, Served, received, subscribe
from web.http.content_negotiation import accepted

STREAM = "text/event-stream"
NAME = {"query": "{ __typename }"}


@pytest.fixture
def served(trail_url: str) -> Iterator[Served]:
    with ExitStack() as stack:
        yield Served(trail_url, stack)


def say(socket: ClientConnection, **message: Any) -> None:
    socket.send(json.dumps(message))


def closing_code(socket: ClientConnection) -> int:
    """The code with which the server closes, after whatever it said before."""
    with pytest.raises(ConnectionClosed) as closed:
        all(socket.recv(timeout=PATIENCE) for _ in range(1000))
    assert closed.value.rcvd is not None
    return int(closed.value.rcvd.code)


def test_a_ping_is_answered_also_before_the_first_message_and_a_pong_is_not(served: Served) -> None:
    with served.open() as socket:
        say(socket, type="ping")
        assert received(socket) == {"type": "pong"}
        say(socket, type="connection_init")
        assert received(socket) == {"type": "connection_ack"}
        say(socket, type="pong", payload={"any": "thing"})
        say(socket, type="ping", payload={"any": "thing"})
        assert received(socket) == {"type": "pong"}


def test_an_operation_that_was_completed_leaves_its_id_to_another(served: Served) -> None:
    with served.socket() as socket:
        subscribe(socket)
        say(socket, type="complete", id="1")
        say(socket, type="complete", id="never begun")
        subscribe(socket, NAME["query"])
        assert received(socket)["payload"]["data"] == {"__typename": "Query"}
        assert received(socket) == {"type": "complete", "id": "1"}


def test_an_operation_that_is_wrong_ends_by_itself_and_the_connection_goes_on(served: Served) -> None:
    with served.socket() as socket:
        for query in ("{ nothing }", "{", "mutation { nothing }"):
            subscribe(socket, query)
            error = received(socket)
            assert (error["type"], error["id"]) == ("error", "1")
            assert error["payload"][0]["extensions"]["code"]
        subscribe(socket, NAME["query"])
        assert received(socket)["type"] == "next"


def test_an_id_that_is_in_use_closes_with_4409(served: Served) -> None:
    with served.socket() as socket:
        subscribe(socket)
        subscribe(socket)
        assert closing_code(socket) == 4409


def test_a_second_init_closes_with_4429(served: Served) -> None:
    with served.socket() as socket:
        say(socket, type="connection_init")
        assert closing_code(socket) == 4429


def test_an_init_that_does_not_come_closes_with_4408(served: Served) -> None:
    served.endpoint.connection_init_wait_timeout = timedelta(seconds=0.2)
    with served.open() as socket:
        assert closing_code(socket) == 4408


def test_bytes_close_with_4400(served: Served) -> None:
    with served.socket() as socket:
        socket.send(b"\x00\x01")
        assert closing_code(socket) == 4400


def test_a_message_that_is_too_long_closes_with_1009(served: Served) -> None:
    with served.socket() as socket:
        subscribe(socket, "#" * (256 * 1024) + NAME["query"])
        assert closing_code(socket) == 1009
    with served.socket() as socket:
        subscribe(socket, "#" * (200 * 1024) + "\n" + NAME["query"])
        assert received(socket)["type"] == "next"


@pytest.mark.parametrize("offered", [None, ["graphql-ws"]])
def test_another_protocol_closes_with_4406(served: Served, offered: list[str] | None) -> None:
    protocols = None if offered is None else [Subprotocol(name) for name in offered]
    address = f"ws://127.0.0.1:{served.port}/graphql"
    with connect(address, subprotocols=protocols, additional_headers=ADMIN) as socket:
        assert closing_code(socket) == 4406


def test_of_the_protocols_that_are_offered_the_one_that_is_spoken_is_chosen(served: Served) -> None:
    protocols = [Subprotocol("graphql-ws"), Subprotocol("graphql-transport-ws")]
    address = f"ws://127.0.0.1:{served.port}/graphql"
    with connect(address, subprotocols=protocols, additional_headers=ADMIN) as socket:
        assert socket.subprotocol == "graphql-transport-ws"


def test_a_query_as_an_event_stream_is_one_result_and_the_end(served: Served) -> None:
    for answer in (
        served.client.post("/graphql", json=NAME, headers={"Accept": STREAM}),
        served.client.get("/graphql", params=NAME, headers={"Accept": STREAM}),
    ):
        assert answer.headers["content-type"].startswith(STREAM)
        events = [event.split("\r\n", 1) for event in answer.text.split("\r\n\r\n") if event]
        assert [name for name, _ in events] == ["event: next", "event: complete"]
        assert json.loads(events[0][1].removeprefix("data: "))["data"] == {"__typename": "Query"}


def test_no_cache_stores_an_event_stream(served: Served) -> None:
    with served.client.stream("POST", "/graphql", json=NAME, headers={"Accept": STREAM}) as answer:
        assert "no-store" in answer.headers["cache-control"]


def test_what_is_no_request_is_refused_before_a_stream_begins(served: Served) -> None:
    for body, status in (("{", 400), ("{}", 400), ('[{"query": "{ __typename }"}]', 400)):
        headers = {"Accept": STREAM, "Content-Type": "application/json"}
        answer = served.client.post("/graphql", content=body, headers=headers)
        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (
            status,
            "BAD_REQUEST",
        )
    assert served.client.put("/graphql", json=NAME, headers={"Accept": STREAM}).status_code == 405


def test_weights_say_what_is_taken(served: Served) -> None:
    graphql = "application/graphql-response+json"
    for accept, media in (
        (f"{STREAM};q=0, application/json", "application/json"),
        (f"application/json;q=0.5, {graphql}", graphql),
        (f"{graphql};q=0.1, application/json;q=0.9", "application/json"),
        (f"application/json, {STREAM}", STREAM),
    ):
        answer = served.client.post("/graphql", json=NAME, headers={"Accept": accept})
        assert answer.headers["content-type"].startswith(media), accept
    for accept in ("application/json;q=0", "text/*", "application/json;q=nothing"):
        assert served.client.post("/graphql", json=NAME, headers={"Accept": accept}).status_code == 406, (
            accept
        )
    told = served.client.post("/graphql", json={"query": EVENTS}, headers={"Accept": f"{STREAM};q=0, */*"})
    assert told.status_code == 400


def test_media_types_come_in_the_order_of_their_weights() -> None:
    assert accepted("a/b;q=0.2, c/d, e/f;q=0.9;level=1, g/h;q=0, I/J; Q=1") == ("c/d", "i/j", "e/f", "a/b")
