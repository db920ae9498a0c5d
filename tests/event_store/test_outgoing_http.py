"""Outgoing HTTP against servers that drip, flood, hang and lie: each exchange ends by its one deadline."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from domain.errors import ConfigurationError, UnavailableError
from event_store.outgoing_http import Answer, Deadline, exchange, parse_target
from tests.foreign_server import Said, answer, for_ever, foreign, one_by_one, tls_of_127_0_0_1

SECONDS = 0.5
PATIENCE = 15.0
"""Far more than the deadline, and far less than what a drip takes."""


def ask(url: str, *, body: bytes | None = None, most: int = 1000, seconds: float = 10.0) -> Answer:
    return exchange(parse_target(url, "X"), Deadline(seconds), what="the place", most=most, body=body)


def gives_up(url: str, body: bytes | None = None) -> None:
    began = time.monotonic()
    with pytest.raises(UnavailableError, match=r"the place did not answer within 0\.5 s"):
        ask(url, body=body, seconds=SECONDS)
    assert time.monotonic() - began < PATIENCE


OK = b"HTTP/1.1 200 OK\r\n"
DRIPS: dict[str, Callable[[bytes], Said]] = {
    "status line": lambda _: one_by_one(OK * 1000),
    "headers": lambda _: iter([OK, *one_by_one(b"X-Slow: " + b"y" * 1000)]),
    "header after header": lambda _: for_ever(b"X: y\r\n", OK),
    "body with a length": lambda _: for_ever(b"x", OK + b"Content-Length: 900\r\n\r\n"),
    "body to the end": lambda _: for_ever(b"x", OK + b"\r\n"),
    "sizes of chunks": lambda _: for_ever(b"0", OK + b"Transfer-Encoding: chunked\r\n\r\n"),
    "chunks": lambda _: for_ever(b"1\r\nx\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"),
    "trailers": lambda _: for_ever(b"T: x\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"),
    "100 Continue": lambda _: for_ever(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "nothing at all": lambda _: for_ever(b""),
}


@pytest.mark.parametrize("script", DRIPS.values(), ids=DRIPS)
@pytest.mark.parametrize("body", [None, b"head"])
def test_a_server_that_drips_is_given_up_at_the_deadline(
    script: Callable[[bytes], Said], body: bytes | None
) -> None:
    with foreign(script, pause=0.05) as server:
        gives_up(f"http://127.0.0.1:{server.port}/", body)


@pytest.mark.parametrize("script", [DRIPS["body to the end"], DRIPS["headers"], DRIPS["100 Continue"]])
def test_a_server_that_drips_through_tls_is_given_up_too(
    script: Callable[[bytes], Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls, trusted = tls_of_127_0_0_1(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with foreign(script, pause=0.05, tls=tls) as server:
        gives_up(f"https://127.0.0.1:{server.port}/")
    with foreign(lambda _: iter([answer(200, b"good")]), tls=tls) as server:
        assert ask(f"https://127.0.0.1:{server.port}/").body == b"good"


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    tls, _ = tls_of_127_0_0_1(tmp_path)
    with (
        foreign(lambda _: iter([answer(200)]), tls=tls) as server,
        pytest.raises(UnavailableError, match="no valid TLS certificate"),
    ):
        ask(f"https://127.0.0.1:{server.port}/")


def _tls_peer(said: Callable[[], Iterator[bytes]], ending: threading.Event, listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with closing(connection):
        for part in said():
            try:
                connection.sendall(part)
            except OSError:
                return
            if ending.wait(0.05):
                return


@pytest.mark.parametrize(
    "said", [lambda: for_ever(b""), lambda: for_ever(b"\0", b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")]
)
def test_a_tls_handshake_that_does_not_end_is_given_up(said: Callable[[], Iterator[bytes]]) -> None:
    ending = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_tls_peer, args=(said, ending, listener))
        thread.start()
        try:
            gives_up(f"https://127.0.0.1:{listener.getsockname()[1]}/")
        finally:
            ending.set()
            thread.join()


def test_a_server_that_takes_no_connection_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        try:
            gives_up(f"http://127.0.0.1:{address[1]}/")
        finally:
            for each in waiting:
                each.close()


def test_a_server_that_does_not_read_the_request_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gives_up(f"http://127.0.0.1:{listener.getsockname()[1]}/", b"x" * (64 << 20))


def test_a_slow_name_look_up_counts_and_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver is the system's, which no test can slow down: it is made to wait at its door."""
    answering, asked = threading.Event(), []
    real = socket.getaddrinfo

    def slow(*arguments: Any, **options: Any) -> Any:
        asked.append(arguments)
        answering.wait(60)
        return real(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    try:
        gives_up("http://localhost:9/")
        gives_up("http://localhost:9/")
        assert len(asked) == 1
    finally:
        answering.set()


def test_name_look_ups_that_hang_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answering = threading.Event()
    real = socket.getaddrinfo

    def slow(*arguments: Any, **options: Any) -> Any:
        answering.wait(60)
        return real("127.0.0.1", *arguments[1:], **options)

    def looking_up() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "look-up"]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    try:
        for number in range(40):
            with pytest.raises(UnavailableError, match=r"the place (did|does) not answer"):
                ask(f"http://host-{number}.example/", seconds=0.01)
        assert len(looking_up()) <= 16
        with foreign(lambda _: iter([answer(200, b"good")])) as server, monkeypatch.context() as its:
            its.setattr(socket, "getaddrinfo", real)  # an address waits for no name
            assert ask(f"http://127.0.0.1:{server.port}/", seconds=5).body == b"good"
    finally:
        answering.set()
    for thread in looking_up():
        thread.join()
    with foreign(lambda _: iter([answer(200, b"good")])) as server:
        assert ask(f"http://host.example:{server.port}/").body == b"good"


@pytest.mark.parametrize(
    "script",
    [
        lambda _: for_ever(b"HTTP/1.1 100 Continue\r\nX: " + b"y" * 60_000 + b"\r\n\r\n"),
        lambda _: for_ever(b"T: " + b"y" * 60_000 + b"\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"),
        lambda _: for_ever(b"1;" + b"y" * 60_000 + b"\r\nx\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"),
        lambda _: for_ever(b"y" * 60_000, OK + b"X: "),
    ],
)
def test_a_flood_around_the_body_is_cut_off_before_the_deadline(script: Callable[[bytes], Said]) -> None:
    with foreign(script) as server, pytest.raises(UnavailableError, match="does not answer"):
        ask(f"http://127.0.0.1:{server.port}/", seconds=60)


def test_a_body_is_read_up_to_its_limit_and_said_to_be_incomplete() -> None:
    with foreign(lambda _: for_ever(b"x" * 1000, OK + b"\r\n")) as server:
        found = ask(f"http://127.0.0.1:{server.port}/", most=2500)
    assert (len(found.body), found.complete) == (2500, False)
    with foreign(lambda _: iter([OK + b"Content-Length: 9\r\n\r\ncut"])) as server:
        assert ask(f"http://127.0.0.1:{server.port}/")[2:] == (b"cut", False)
    with foreign(lambda _: iter([answer(418, b"x" * 1000)])) as server:
        assert ask(f"http://127.0.0.1:{server.port}/")[2:] == (b"x" * 1000, True)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_is_not_followed(status: int) -> None:
    with (
        foreign(lambda _: iter([answer(200, b"elsewhere")])) as elsewhere,
        foreign(
            lambda _: iter([answer(status, b"", f"Location: http://127.0.0.1:{elsewhere.port}/")])
        ) as server,
    ):
        assert ask(f"http://127.0.0.1:{server.port}/").status == status
        assert not elsewhere.requests


def test_a_request_goes_where_the_url_says_and_past_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    with foreign(lambda _: iter([answer(200)])) as server:
        ask(f"http://127.0.0.1:{server.port}/a/b?c=%20d", body=b"the body")
    (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /a/b?c=%20d HTTP/1.1\r\n")
    assert f"Host: 127.0.0.1:{server.port}".encode() in head
    assert body == b"the body"


def test_an_error_never_repeats_the_url() -> None:
    for url in ("http://127.0.0.1:9/?token=secret", "http://no-such-host.invalid/?token=secret"):
        with pytest.raises(UnavailableError) as caught:
            ask(url)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "secret",
        "ftp://secret.example/",
        "http://",
        "http:///secret",
        "http://[secret/",
        "http://secret.example:x/",
        "http://secret.example:99999/",
        "http://user:secret@secret.example/",
        "http://secret.example/a b",
        "http://secret.example/\u00e9",
        "http://secret.example/\r\nX: y",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(ConfigurationError, match="the setting needs") as caught:
        parse_target(url, "the setting")
    assert "secret" not in str(caught.value)


def test_a_path_is_put_below_the_one_of_a_target() -> None:
    for url in ("https://witness.example", "https://witness.example/", "https://witness.example/?x"):
        assert parse_target(url, "X").under("add-checkpoint").path == "/add-checkpoint"
    assert parse_target("https://w.example/a/", "X").under("b/c") == ("https", "w.example", 443, "/a/b/c")
