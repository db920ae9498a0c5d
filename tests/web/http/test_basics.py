"""HTTP itself, spoken over a socket: heads and addresses of any kind, HEAD, conditions, and what is refused."""

from __future__ import annotations

import gzip
import socket
from contextlib import closing, suppress

import httpx2
import pytest

from tests.tokens import ADMIN
from tests.web.conftest import Serve
from web.http import http1_protocol
from web.http.http1_protocol import MAX_HEAD

PROBLEM = "application/problem+json"


def said(client: httpx2.Client, *pieces: bytes, patience: float = 10.0) -> tuple[int, bytes]:
    """The status and the whole answer to what is sent, byte for byte; 0 when the connection ends without one."""
    with closing(socket.create_connection((client.base_url.host, client.base_url.port or 80))) as connection:
        connection.settimeout(patience)
        answer = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was answered before it was whole
        try:
            while b"\r\n\r\n" not in answer and (more := connection.recv(65536)):
                answer += more
        except ConnectionResetError:
            pass
    return (int(answer.split()[1]) if answer else 0), answer


def asked(client: httpx2.Client, line: bytes, *headers: bytes) -> tuple[int, bytes]:
    head = [line, b"Host: here", *headers]
    head += [f"{name}: {value}".encode() for name, value in ADMIN.items()]
    return said(client, b"\r\n".join([*head, b"", b""]))


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /healthz HTTP/3.0\r\n\r\n",
        b"BREW /healthz HTTP/1.1\r\n\r\n",
        b"GET /v1/patients/\xff HTTP/1.1\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_told_so(lonely_client: httpx2.Client, sent: bytes) -> None:
    status, answer = said(lonely_client, sent)
    assert status in {400, 401}, answer  # one whose head is right is answered by it
    assert PROBLEM.encode() in answer or b'"UNAUTHENTICATED"' in answer


@pytest.mark.parametrize(
    ("begin", "piece", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nX: ", b"a" * 65536, 431),
        (b"GET /healthz HTTP/1.1\r\n", b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 2000, 431),
        (b"GET /", b"a" * 65536, 414),
    ],
)
def test_a_head_without_an_end_is_refused_and_not_collected(
    lonely_client: httpx2.Client, begin: bytes, piece: bytes, status: int
) -> None:
    found, answer = said(lonely_client, begin, *[piece] * 100)
    # Whoever goes on sending after the answer may lose it: the connection is closed.
    assert found in {status, 0}, answer
    assert lonely_client.get("/healthz").status_code == 200


def test_a_head_that_is_too_long_is_told_so_and_one_within_is_read(lonely_client: httpx2.Client) -> None:
    for size, status in ((MAX_HEAD - 1000, 200), (MAX_HEAD + 1, 431)):
        found, answer = asked(lonely_client, b"GET /healthz HTTP/1.1", b"X: " + b"a" * size)
        assert found == status, answer
    found, answer = asked(lonely_client, b"GET /" + b"a" * (MAX_HEAD + 1) + b" HTTP/1.1")
    assert (found, PROBLEM.encode() in answer) == (414, True)


def test_a_large_body_does_not_count_as_a_head(client: httpx2.Client) -> None:
    for _ in range(3):  # on one connection
        body = b'{"query": "{ __typename }' + b" " * 200_000 + b'"}'
        answer = client.post("/graphql", content=body, headers={"Content-Type": "application/json"})
        assert answer.json()["data"] == {"__typename": "Query"}


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTT"])
def test_a_head_that_does_not_come_is_waited_for_so_long(
    monkeypatch: pytest.MonkeyPatch, lonely_client: httpx2.Client, sent: bytes
) -> None:
    monkeypatch.setattr(http1_protocol, "HEAD_SECONDS", 0.2)
    status, answer = said(lonely_client, sent)
    assert (status, PROBLEM.encode() in answer) == (408, True)


ANSWERED = b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n"
EARLY = b"POST /v1/events HTTP/1.1\r\nHost: here\r\n"


@pytest.mark.parametrize(
    ("sent", "more"),
    [
        (ANSWERED, b"\r\n"),
        (ANSWERED, b"G"),
        (EARLY + b"Content-Length: 1000\r\n\r\n", b"x"),
        (EARLY + b"Transfer-Encoding: chunked\r\n\r\n", b"5"),
        (EARLY + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b"),
    ],
)
def test_nobody_holds_a_connection_by_what_is_no_request(
    monkeypatch: pytest.MonkeyPatch, lonely_client: httpx2.Client, sent: bytes, more: bytes
) -> None:
    monkeypatch.setattr(http1_protocol, "HEAD_SECONDS", 0.2)
    url = lonely_client.base_url
    with closing(socket.create_connection((url.host, url.port or 80))) as connection:
        connection.settimeout(10)
        connection.sendall(sent)
        assert connection.recv(65536).startswith((b"HTTP/1.1 200", b"HTTP/1.1 401"))
        connection.sendall(more)
        with suppress(ConnectionResetError):
            while connection.recv(65536):  # it would time out here
                pass


def test_a_connection_that_was_waited_for_goes_on(
    monkeypatch: pytest.MonkeyPatch, lonely_client: httpx2.Client
) -> None:
    monkeypatch.setattr(http1_protocol, "HEAD_SECONDS", 1.0)
    half = b"GET /healthz HTTP/1.1\r\nHost: here\r\n"
    assert said(lonely_client, half, b"\r\n")[0] == 200


@pytest.mark.parametrize(
    "address", ["/v1/patients/%ff", "/v1/events?patient=%ff", "/v1/events?patient=%ed%a0%80"]
)
def test_an_address_that_is_not_utf_8_is_not_taken_for_another(
    lonely_client: httpx2.Client, address: str
) -> None:
    status, answer = asked(lonely_client, f"GET {address} HTTP/1.1".encode())
    assert (status, PROBLEM.encode() in answer) == (400, True)
    status, answer = asked(lonely_client, b"GET /graphql?query=%ff HTTP/1.1")
    assert (status, b'"BAD_REQUEST"' in answer) == (400, True)


@pytest.mark.parametrize("path", ["/v1/events?first=1", "/healthz", "/readyz", "/v1/patients/17", "/metrics"])
def test_head_is_get_without_the_body(client: httpx2.Client, path: str) -> None:
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (got.status_code, b"")
    for name in ("content-type", "etag", "link"):
        assert head.headers.get(name) == got.headers.get(name), name


def test_a_connection_goes_on_after_a_head(client: httpx2.Client) -> None:
    with closing(socket.create_connection((client.base_url.host, client.base_url.port or 80))) as connection:
        connection.settimeout(10)
        for method, ends in (("HEAD", b"\r\n\r\n"), ("GET", b'"checks":{}}')):
            connection.sendall(f"{method} /healthz HTTP/1.1\r\nHost: here\r\n\r\n".encode())
            answer = b""
            while not answer.endswith(ends):
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200"), method


def test_what_is_missing_or_can_t_be_done_so_is_a_problem(client: httpx2.Client) -> None:
    for method, path, status, allow in (
        ("GET", "/nothing", 404, None),
        ("POST", "/nothing", 404, None),
        ("GET", "/v1/events/", 404, None),
        ("PUT", "/v1/events", 405, "GET, HEAD, POST"),
        ("OPTIONS", "/v1/events", 405, "GET, HEAD, POST"),
        ("DELETE", "/v1/patients/17", 405, "GET, HEAD"),
        ("HEAD", "/v1/export", 405, "GET"),
        ("TRACE", "/healthz", 405, "GET, HEAD"),
    ):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), (method, path)
        assert answer.headers.get("allow") == allow, (method, path)
        assert method == "HEAD" or answer.json()["status"] == status


def test_a_file_of_a_page_says_what_it_may_be_asked_with(serve: Serve, trail_url: str) -> None:
    answer = serve(trail_url, pages=True).options("/static/graphiql/page.js")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/graphql", "/v1/events", "/v1/patients/17/staff-disclosure"])
def test_a_body_that_is_packed_is_not_unpacked(lonely_client: httpx2.Client, path: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = lonely_client.post(path, content=gzip.compress(b'{"query": "{ __typename }"}'), headers=headers)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")


def test_a_condition_is_met_by_a_tag_among_others(client: httpx2.Client) -> None:
    path = "/v1/events?first=1"
    tag = client.get(path).headers["etag"]
    plain = tag.removeprefix("W/")
    for given in (tag, plain, "*", f'"a", {tag}', f'"a,b" , {plain},"c"'):
        kept = client.get(path, headers={"If-None-Match": given})
        assert (kept.status_code, kept.content, kept.headers["etag"]) == (304, b"", tag), given
    for given in ('"a"', '"*"', "", tag.replace('"', "")):
        assert client.get(path, headers={"If-None-Match": given}).status_code == 200, given
    twice = httpx2.Headers([("If-None-Match", '"a"'), ("If-None-Match", tag)])
    assert client.get(path, headers=twice).status_code == 304
