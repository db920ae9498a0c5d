"""Clients that ask for another protocol: they are answered in HTTP/1.1, and nothing that they send is lost."""

from __future__ import annotations

import httpx2
import pytest

from tests.tokens import ADMIN
from tests.web.http.test_basics import said
from web.http.http1_protocol import MAX_REPLAYS

BODY = b'{"query":"{ treeHead { size } }"}'
ASKING = [
    b"Connection: Upgrade, HTTP2-Settings",
    b"Upgrade: h2c",
    b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
]
TOKEN = [f"{name}: {value}".encode() for name, value in ADMIN.items()]


def head(*headers: bytes, line: bytes = b"POST /graphql HTTP/1.1") -> bytes:
    given = [line, b"Host: here", b"Content-Type: application/json", *TOKEN, *ASKING, *headers]
    return b"\r\n".join([*given, b"", b""])


WHOLE = head(b"Content-Length: %d" % len(BODY)) + BODY


@pytest.mark.parametrize(
    "pieces",
    [
        [WHOLE],
        [WHOLE[:60], WHOLE[60:]],
        [WHOLE[: -len(BODY)], BODY],
        [WHOLE[:-5], WHOLE[-5:]],
        [head(b"Transfer-Encoding: chunked") + b"%x\r\n" % len(BODY) + BODY, b"\r\n0\r\n\r\n"],
    ],
    ids=["one packet", "split head", "body apart", "split body", "chunks"],
)
def test_the_body_of_a_request_that_would_upgrade_is_read(client: httpx2.Client, pieces: list[bytes]) -> None:
    status, answer = said(client, *pieces)
    assert (status, b'"treeHead"' in answer) == (200, True), answer


def test_a_connection_goes_on_after_such_a_request(client: httpx2.Client) -> None:
    again = head(b"Connection: close", line=b"GET /healthz HTTP/1.1")
    status, answer = said(client, head(line=b"GET /healthz HTTP/1.1") + again)
    assert status == 200
    assert b"HTTP/1.1 101" not in answer


def test_many_such_requests_in_one_packet_are_refused_and_the_server_goes_on(client: httpx2.Client) -> None:
    one = head(line=b"GET /healthz HTTP/1.1")
    status, answer = said(client, one * 2000)
    assert status in {200, 400}
    assert answer.count(b"HTTP/1.1 200") <= MAX_REPLAYS
    assert client.get("/healthz").status_code == 200


def test_a_request_of_http_1_0_stays_one(client: httpx2.Client) -> None:
    status, answer = said(client, head(line=b"GET /healthz HTTP/1.0"))
    assert status == 200
    assert b"connection: close" in answer.lower()


def test_a_tunnel_is_refused(lonely_client: httpx2.Client) -> None:
    assert said(lonely_client, b"CONNECT here:80 HTTP/1.1\r\nHost: here\r\n\r\n")[0] == 400
