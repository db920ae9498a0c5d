"""WebSockets and who is behind them: how long one stays open, how often it may ask, and who gets none."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Scope
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from domain.access.principal import Role
from tests.hospital import record
from tests.tokens import bearer
from tests.trail import an_event
from tests.web.graphql.subscribers import Served, received, subscribe
from web.authentication.api_tokens import ApiToken, ApiTokens
from web.authentication.api_tokens_file import add_token, remove_token
from web.authentication.middleware import principal_of

PATIENCE = 10


def first_message(socket: ClientConnection, *roles: str, **claims: Any) -> None:
    payload = {"authorization": bearer(*roles, **claims)["Authorization"]}
    socket.send(json.dumps({"type": "connection_init", "payload": payload}))


def close_of(socket: ClientConnection) -> tuple[int | None, str | None]:
    """With what the server closes, whatever it says before."""
    with suppress(ConnectionClosed):
        while True:
            socket.recv(timeout=PATIENCE)
    return socket.close_code, socket.close_reason


@pytest.mark.parametrize("first", [False, True])
def test_a_socket_is_closed_when_its_token_ends_though_nobody_asks(
    trail_url: str, stack: ExitStack, first: bool
) -> None:
    served = Served(trail_url, stack)
    ends = int(time.time()) + 2
    with served.open(headers={} if first else bearer("auditor", exp=ends)) as socket:
        if first:
            first_message(socket, "auditor", exp=ends)
        else:
            socket.send('{"type": "connection_init"}')
        assert received(socket) == {"type": "connection_ack"}
        assert close_of(socket) == (4401, "Unauthorized: the token has expired")
    assert time.time() >= ends


def test_a_stream_says_why_it_ends_before_its_socket_is_closed(trail_url: str, stack: ExitStack) -> None:
    served = Served(trail_url, stack)
    with served.open(headers=bearer("auditor", exp=int(time.time()) + 2)) as socket:
        socket.send('{"type": "connection_init"}')
        assert received(socket) == {"type": "connection_ack"}
        subscribe(socket, "subscription { eventRecorded { id } }")
        assert "UNAUTHENTICATED" in json.dumps(received(socket))
        assert close_of(socket)[0] == 4401


def test_a_socket_is_closed_when_its_api_token_is_revoked(
    trail_url: str, stack: ExitStack, tmp_path: Path
) -> None:
    file = tmp_path / "tokens.toml"
    text = add_token(file, partial(api_token, Role.AUDITOR))
    served = Served(trail_url, stack, kinds=[ApiTokens(file)], token_recheck=0.2)
    told: list[tuple[int, str]] = []
    served.endpoint.denied = lambda _, status, why: told.append((status, why))
    with served.open(headers={"Authorization": f"Bearer {text}"}) as socket:
        socket.send('{"type": "connection_init"}')
        assert received(socket) == {"type": "connection_ack"}
        time.sleep(0.5)
        subscribe(socket, "{ __typename }")
        assert received(socket)["type"] == "next"
        remove_token(file, text.split("_")[1])
        assert close_of(socket) == (4401, "Unauthorized: the token is not valid")
    assert told == [(401, "the token is not valid")]


def test_what_lasts_ends_when_its_api_token_is_given_other_rights(
    trail_url: str, stack: ExitStack, tmp_path: Path
) -> None:
    file = tmp_path / "tokens.toml"
    text = add_token(file, partial(api_token, Role.AUDITOR))
    served = Served(trail_url, stack, kinds=[ApiTokens(file)], token_recheck=0.2)
    headers = {"Authorization": f"Bearer {text}", "Accept": "text/event-stream"}
    query = {"query": "subscription { eventRecorded { type } }"}
    with (
        served.open(headers={"Authorization": f"Bearer {text}"}) as socket,
        served.client.stream("POST", "/graphql", json=query, headers=headers) as answer,
    ):
        socket.send('{"type": "connection_init"}')
        assert received(socket) == {"type": "connection_ack"}
        assert served.subscribers(1)
        file.write_text(file.read_text().replace('"auditor"', '"operator"'))
        assert close_of(socket) == (4401, "Unauthorized: the token gives other rights now")
        record(trail_url, [an_event("user.logged_in")])
        told = "".join(answer.iter_lines())
    assert "the token gives other rights now" in told
    assert "user.logged_in" not in told


def test_an_event_stream_ends_when_its_api_token_is_revoked_before_the_next_event_is_told(
    trail_url: str, stack: ExitStack, tmp_path: Path
) -> None:
    file = tmp_path / "tokens.toml"
    text = add_token(file, partial(api_token, Role.AUDITOR))
    served = Served(trail_url, stack, kinds=[ApiTokens(file)], token_recheck=0.1)
    headers = {"Authorization": f"Bearer {text}", "Accept": "text/event-stream"}
    query = {"query": "subscription { eventRecorded { type } }"}
    with served.client.stream("POST", "/graphql", json=query, headers=headers) as answer:
        lines = answer.iter_lines()
        assert served.subscribers(1)
        record(trail_url, [an_event("user.logged_in")])
        assert any("user.logged_in" in line for line in lines)
        time.sleep(0.2)
        remove_token(file, text.split("_")[1])
        record(trail_url, [an_event("user.logged_out")])
        rest = list(lines)
    assert [line for line in rest if line][-3:-2] == [
        'data: {"data":null,"errors":[{"message":"the token is not valid","extensions":{"code":"UNAUTHENTICATED"}}]}'
    ]
    assert "user.logged_out" not in str(rest)
    assert served.subscribers(0)


def api_token(role: Role, token_id: str, sha256: str) -> ApiToken:
    return ApiToken(id=token_id, name="machine", sha256=sha256, roles=(role,))


@pytest.mark.parametrize("first", [False, True])
def test_a_token_without_a_role_opens_no_socket_and_that_is_told(
    trail_url: str, stack: ExitStack, first: bool
) -> None:
    told: list[tuple[int, str | None]] = []

    def denied(scope: Scope, status: int, _: str) -> None:
        principal = principal_of(scope)
        told.append((status, None if principal is None else principal.id))

    served = Served(trail_url, stack)
    served.endpoint.denied = denied
    with served.open(headers={} if first else bearer(subject="u-1")) as socket:
        if first:
            first_message(socket, subject="u-1")
        else:
            socket.send('{"type": "connection_init"}')
        assert close_of(socket) == (4403, "Forbidden")
    assert told == [(403, "u-1")]


@pytest.mark.parametrize("first", [False, True])
def test_a_principal_asks_no_more_often_over_a_socket_than_otherwise(
    trail_url: str, stack: ExitStack, first: bool
) -> None:
    served = Served(trail_url, stack, requests_per_minute=60, requests_at_once=4)
    with served.open(headers={} if first else bearer("auditor")) as socket:
        if first:
            first_message(socket, "auditor")
        else:
            socket.send('{"type": "connection_init"}')
        assert received(socket) == {"type": "connection_ack"}
        # A header says with the upgrade, which is a request, who asks; a first message is none.
        allowed = 4 if first else 3
        for number in range(allowed):
            subscribe(socket, "{ __typename }", id=str(number))
            assert [received(socket)["type"], received(socket)["type"]] == ["next", "complete"]
        subscribe(socket, "{ __typename }", id="one more")
        message = received(socket)
        assert message["type"] == "error"
        assert message["payload"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
        assert message["payload"][0]["extensions"]["retryAfter"] >= 1
    answer = served.client.get("/v1/events?first=1", headers=bearer("auditor"))
    assert answer.status_code == 429


def test_who_guesses_over_sockets_waits_as_who_guesses_otherwise(trail_url: str, stack: ExitStack) -> None:
    served = Served(trail_url, stack)
    del served.client.headers["Authorization"]
    with served.open(headers={}) as socket:
        guess(served, 1000)
        socket.send('{"type": "connection_init", "payload": {"authorization": "Bearer x"}}')
        assert close_of(socket) == (4429, "Too many attempts")
    guess(served, 1000)
    assert served.client.get("/v1/events").status_code == 429


def guess(served: Served, times: int) -> None:
    """As who guesses from this address, and faster than a slow machine takes requests."""
    for _ in range(times):
        served.endpoint.rates.failures.take("127.0.0.1")


def test_sockets_of_nobody_take_no_place_of_those_who_are_known(trail_url: str, stack: ExitStack) -> None:
    served = Served(trail_url, stack, max_subscriptions=2)
    unknown = [stack.enter_context(served.open(headers={})) for _ in range(2)]
    with pytest.raises(InvalidStatus):
        stack.enter_context(served.open(headers={}))
    known = [stack.enter_context(served.socket()) for _ in range(2)]
    with pytest.raises(InvalidStatus):
        stack.enter_context(served.open())
    first_message(unknown[0], "auditor")
    assert close_of(unknown[0])[0] == 1013
    known[0].close()
    until = time.monotonic() + PATIENCE
    while served.endpoint.known > 1 and time.monotonic() < until:
        time.sleep(0.01)
    first_message(unknown[1], "auditor")
    assert received(unknown[1]) == {"type": "connection_ack"}
