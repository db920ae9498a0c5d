"""Whoever sends very many small pieces is cut off, with and without a token, and others are answered."""

from __future__ import annotations

import socket
from contextlib import closing

import httpx2
import pytest

from web.http import http1_protocol

CHUNKS = b"1\r\n \r\n" * 2000
UPGRADE = (
    b"GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)


def connected(client: httpx2.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=30)


def is_cut_off(connection: socket.socket, piece: bytes, most: int) -> bool:
    """Whether the server ends the connection before it has got `most` times `piece`."""
    try:
        for _ in range(most):
            connection.sendall(piece)
        while connection.recv(1 << 16):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("request_line", [b"POST /v1/events", b"GET /log/checkpoint", b"GET /healthz"])
def test_a_body_of_very_many_small_chunks_is_cut_off(
    lonely_client: httpx2.Client, request_line: bytes
) -> None:
    with closing(connected(lonely_client)) as connection:
        connection.sendall(request_line + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert is_cut_off(connection, CHUNKS, 500)
    assert lonely_client.get("/healthz").status_code == 200


def test_a_body_without_end_behind_an_answer_is_cut_off(lonely_client: httpx2.Client) -> None:
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    with closing(connected(lonely_client)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
        assert is_cut_off(connection, chunk, 5000)


def test_who_was_answered_and_sends_no_more_of_its_body_is_not_waited_for(
    lonely_client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http1_protocol, "DISCARD_SECONDS", 0.2)
    with closing(connected(lonely_client)) as connection:
        connection.sendall(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 401")
        assert is_cut_off(connection, b"", 1)


def test_a_body_in_reasonable_chunks_is_read(lonely_client: httpx2.Client) -> None:
    body = [b'{"query":', *(b" " * 20 for _ in range(3000)), b'"{ __typename }"}']
    answer = lonely_client.post(
        "/graphql", content=(piece for piece in body), headers={"Content-Type": "application/json"}
    )
    assert answer.json()["data"] == {"__typename": "Query"}


@pytest.mark.parametrize(
    ("first", "flood"),
    [
        (b"\x01\x80\0\0\0\0", b"\x00\x80\0\0\0\0" * 10_000),
        (b"", b"\x89\x80\0\0\0\0" * 10_000),
        (b"", b"\x81\x80\0\0\0\0" * 10_000),
    ],
    ids=["fragments", "pings", "empty messages"],
)
def test_a_socket_that_sends_very_many_frames_is_cut_off(
    lonely_client: httpx2.Client, first: bytes, flood: bytes
) -> None:
    with closing(connected(lonely_client)) as connection:
        connection.sendall(UPGRADE)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 101")
        connection.sendall(first)
        assert is_cut_off(connection, flood, 200)
    assert lonely_client.get("/healthz").status_code == 200
