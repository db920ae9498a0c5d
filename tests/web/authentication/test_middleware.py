"""What stands before every route, on a real socket."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from logging.handlers import BufferingHandler
from typing import Any

import httpx2
import pytest
from starlette.responses import Response
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.tokens import bearer, token
from tests.web.conftest import NO_DATABASE, Serve, serving
from tests.web.graphql.subscribers import Served, received

EVERY_WAY_IN = [
    ("GET", "/graphql"),
    ("POST", "/graphql"),
    ("GET", "/v1/events"),
    ("POST", "/v1/events"),
    ("GET", "/v1/events/0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a01"),
    ("GET", "/v1/patients/17"),
    ("GET", "/v1/event-counts?by=type"),
    ("GET", "/v1/projections"),
    ("GET", "/v1/export"),
    ("GET", "/log/checkpoint"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/static/graphiql/page.js"),
    ("GET", "/nothing"),
    ("DELETE", "/v1/events"),
]
PATIENCE = 10


@pytest.mark.parametrize(("method", "path"), EVERY_WAY_IN)
def test_nobody_gets_in_without_a_token(lonely_client: httpx2.Client, method: str, path: str) -> None:
    del lonely_client.headers["Authorization"]
    answer = lonely_client.request(method, path, headers={"Accept": "text/html, */*"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="audit-trail"'
    assert answer.headers.get("cache-control", "no-store") == "no-store"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("Bearer", "send a token"),
        ("Basic dTpw", "send a token"),
        ("Bearer x", "not valid"),
        (f"Bearer {token('admin')[:-4]}AAAA", "not valid"),
        (f"Bearer {token('admin', exp=1)}", "expired"),
        ("Bearer " + "a" * 30_000, "not valid"),
    ],
)
def test_a_header_that_is_no_good_is_told_so(lonely_client: httpx2.Client, given: str, words: str) -> None:
    answer = lonely_client.get("/v1/events", headers={"Authorization": given})
    assert answer.status_code == 401
    assert words in answer.json()["detail"]
    said = answer.headers["www-authenticate"]
    assert ('error="invalid_token"' in said) == (not words.startswith("send"))


def test_two_headers_are_none(lonely_client: httpx2.Client) -> None:
    del lonely_client.headers["Authorization"]
    twice = [("Authorization", bearer("admin")["Authorization"])] * 2
    assert lonely_client.get("/v1/events", headers=twice).status_code == 401


def test_a_token_in_the_address_is_none(lonely_client: httpx2.Client) -> None:
    del lonely_client.headers["Authorization"]
    assert lonely_client.get(f"/v1/events?access_token={token('admin')}").status_code == 401


def test_graphql_says_it_in_its_own_words(lonely_client: httpx2.Client) -> None:
    del lonely_client.headers["Authorization"]
    wanted = "application/graphql-response+json"
    answer = lonely_client.post("/graphql", json={"query": "{ __typename }"}, headers={"Accept": wanted})
    assert (answer.status_code, answer.headers["content-type"]) == (401, wanted)
    [error] = answer.json()["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_for_everybody(client: httpx2.Client, path: str) -> None:
    del client.headers["Authorization"]
    assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/healthz/", "/healthz/../v1/events", "//healthz", "/healthz%2f..%2fv1", "/logs"]
)
def test_what_only_looks_like_health_is_not(serve: Serve, trail_url: str, path: str) -> None:
    client = serve(trail_url, public_log=True)
    del client.headers["Authorization"]
    assert client.get(path).status_code == 401


def test_the_log_is_public_when_a_setting_says_so(serve: Serve, trail_url: str) -> None:
    client = serve(trail_url, public_log=True)
    del client.headers["Authorization"]
    assert client.get("/log/checkpoint").status_code == 200
    assert client.get("/v1/events").status_code == 401


def test_pages_hold_no_data_and_are_public_when_there_are_any(serve: Serve, trail_url: str) -> None:
    client = serve(trail_url, pages=True)
    del client.headers["Authorization"]
    for path in ("/docs", "/openapi.json", "/graphql"):
        assert client.get(path, headers={"Accept": "text/html"}).status_code == 200, path
    query = {"query": "{ __typename }"}
    assert client.get("/graphql", params=query, headers={"Accept": "text/html"}).status_code == 401


def test_a_principal_that_asks_too_often_waits(serve: Serve, trail_url: str) -> None:
    client = serve(trail_url, requests_per_minute=60, requests_at_once=3)
    answers = [client.get("/v1/events?first=1") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    asked = client.post("/graphql", json={"query": "{ __typename }"})
    assert (asked.status_code, asked.json()["errors"][0]["extensions"]["code"]) == (429, "LIMIT_EXCEEDED")
    other = bearer("admin", subject="another")
    assert client.get("/v1/events?first=1", headers=other).status_code == 200


def test_a_batch_counts_as_often_as_it_has_operations(serve: Serve, trail_url: str) -> None:
    client = serve(trail_url, requests_per_minute=1, requests_at_once=4)
    batch = [{"query": "{ __typename }"}] * 3
    assert client.post("/graphql", json=batch).status_code == 200
    refused = client.post("/graphql", json=batch)
    assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (429, "LIMIT_EXCEEDED")
    assert int(refused.headers["retry-after"]) >= 1


@pytest.mark.parametrize("path", ["/graphql", "/v1/events", "/v1/events/none", "/nowhere", "/log/checkpoint"])
def test_a_token_without_a_role_gives_nothing(lonely_client: httpx2.Client, path: str) -> None:
    nobody = bearer()
    asked = (
        lonely_client.post(path, json={"query": "{ __typename }"}, headers=nobody)
        if path == "/graphql"
        else lonely_client.get(path, headers=nobody)
    )
    assert asked.status_code == 403
    assert "not allowed" in asked.text


def test_who_guesses_waits(serve: Serve) -> None:
    client = serve(NO_DATABASE)
    del client.headers["Authorization"]
    codes: list[int] = []
    while 429 not in codes and len(codes) < 2000:  # places come back, the fewer the faster the machine is
        codes.append(client.get("/v1/events").status_code)
    assert codes[-1] == 429
    assert (set(codes[:-1]), len(codes) > 300) == ({401}, True)
    assert client.get("/v1/events", headers=bearer("publisher")).status_code == 403


@pytest.fixture
def served(trail_url: str) -> Iterator[Served]:
    """A server with subscriptions."""
    with ExitStack() as stack:
        yield Served(trail_url, stack)


def test_a_websocket_says_who_it_is_in_its_first_message(served: Served) -> None:
    with served.open(headers={}) as socket:
        payload = {"authorization": bearer("auditor")["Authorization"]}
        socket.send(json.dumps({"type": "connection_init", "payload": payload}))
        assert received(socket) == {"type": "connection_ack"}


@pytest.mark.parametrize(
    "message",
    [
        {"type": "connection_init"},
        {"type": "connection_init", "payload": {"authorization": "Bearer x"}},
        {"type": "connection_init", "payload": {"authorization": 7}},
    ],
)
def test_a_websocket_without_a_good_token_is_closed(served: Served, message: dict[str, object]) -> None:
    with served.open(headers={}) as socket:
        socket.send(json.dumps(message))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=PATIENCE)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


def test_a_websocket_with_a_bad_header_is_not_opened(served: Served) -> None:
    listener = BufferingHandler(1000)
    logging.getLogger("uvicorn.error").addHandler(listener)
    with pytest.raises(InvalidStatus) as refused, served.open(headers={"Authorization": "Bearer x"}):
        pass
    assert refused.value.response.status_code == 401
    assert served.stop() < PATIENCE
    logging.getLogger("uvicorn.error").removeHandler(listener)
    assert [record for record in listener.buffer if record.levelno >= logging.WARNING] == []


def test_nothing_is_asked_before_the_first_message(served: Served) -> None:
    with served.open(headers={}) as socket:
        query = {"query": "{ events(first: 1) { nodes { id } } }"}
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": query}))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=PATIENCE)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


def test_a_subscription_ends_with_its_token_and_so_does_the_socket(served: Served) -> None:
    short = bearer("auditor", exp=int(time.time()) + 2)
    with served.open(headers=short) as socket:
        socket.send('{"type": "connection_init"}')
        assert received(socket) == {"type": "connection_ack"}
        query = {"query": "subscription { eventRecorded { id } }"}
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": query}))
        ended = received(socket)
        # The leeway of clocks is for checking a token, and is not added to a stream.
        assert json.dumps(ended).count("UNAUTHENTICATED") == 1, ended
        while received(socket).get("type") == "complete":
            break
        socket.send(json.dumps({"id": "2", "type": "subscribe", "payload": {"query": "{ __typename }"}}))
        assert "UNAUTHENTICATED" in json.dumps(received(socket))


def test_an_event_stream_ends_with_its_token(served: Served) -> None:
    headers = bearer("auditor", exp=int(time.time()) + 2) | {"Accept": "text/event-stream"}
    query = {"query": "subscription { eventRecorded { id } }"}
    with served.client.stream("POST", "/graphql", json=query, headers=headers) as stream:
        text = "".join(stream.iter_text())
    assert "UNAUTHENTICATED" in text


def test_openapi_says_what_needs_a_token_and_what_is_answered_without(serve: Serve, trail_url: str) -> None:
    for public in (False, True):
        document = serve(trail_url, public_log=public).get("/openapi.json").json()
        assert document["security"] == [{"token": []}]
        for path, operations in document["paths"].items():
            needs = path not in {"/healthz", "/readyz"} and not (public and path.startswith("/log"))
            for operation in operations.values():
                assert operation["security"] == ([{"token": []}] if needs else []), path
                assert (
                    "WWW-Authenticate" in operation["responses"].get("401", {}).get("headers", {})
                ) == needs
                assert ("429" in operation["responses"]) == needs


@pytest.mark.parametrize(("trusted", "addresses"), [((), 1), (("127.0.0.1",), 3)])
def test_a_header_says_where_a_client_is_only_when_its_proxy_is_trusted(
    trusted: tuple[str, ...], addresses: int
) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            seen.append(scope["client"][0])
            await Response("")(scope, receive, send)

    with serving(app, trusted_proxies=trusted) as client:
        for address in ("9.9.9.9", "8.8.8.8", "7.7.7.7"):
            client.get("/", headers={"X-Forwarded-For": address})
    assert len(set(seen)) == addresses
