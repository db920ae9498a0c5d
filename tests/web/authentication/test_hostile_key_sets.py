"""Issuers that answer nonsense, slowly or not at all: nothing breaks, and nobody waits for long."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from domain.errors import ConfigurationError, UnavailableError
from tests.foreign_server import Script, answer, for_ever, foreign, one_by_one
from tests.tokens import AUDIENCE, ISSUER, JWK, KEY, KEY_ID, Keys, token
from web.authentication.bearer import IssuedTokens
from web.authentication.discovery import fetcher
from web.authentication.key_sets import FetchedKeys, FileKeys, parse_key_set

Answer = Callable[[socket.socket], None]


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """The address of a server that says what `answer` says, in a thread for each who asks."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            answer(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        HEAD + b"cut off",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 200_000,
        b'HTTP/1.1 200 OK\r\n\r\n{"keys": ' + b"[" * 200_000,
    ],
)
def test_an_answer_that_is_none_is_an_issuer_that_is_away(said: bytes) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(said)

    async def find(url: str, keys_at: str | None) -> None:
        with pytest.raises(UnavailableError):
            await FetchedKeys(fetcher(url, keys_at)).find(KEY_ID)

    with answering(answer) as url:
        asyncio.run(find(url, f"{url}/keys"))
        asyncio.run(find(url, None))


def test_an_issuer_that_answers_byte_by_byte_is_given_up() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(HEAD)
        for _ in range(300):
            connection.sendall(b" ")
            time.sleep(0.1)

    with answering(drip) as url:
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            fetcher(url, f"{url}/keys", seconds=0.5)()
        assert time.monotonic() - began < 15


def test_a_known_key_does_not_wait_for_an_issuer_that_hangs() -> None:
    async def find() -> float:
        clock, hanging = [0.0], threading.Event()
        body = json.dumps({"keys": [JWK]}).encode()

        def fetch() -> bytes:
            if clock[0]:
                hanging.wait(20)
            return body

        keys = FetchedKeys(fetch, clock=lambda: clock[0], patience=0.2)
        assert await keys.find(KEY_ID) is not None
        clock[0] = 400.0
        began = time.monotonic()
        found = await asyncio.gather(*(keys.find(KEY_ID) for _ in range(50)))
        took = time.monotonic() - began
        hanging.set()
        assert all(found)
        return took

    assert asyncio.run(find()) < 10


def test_one_who_goes_away_does_not_spoil_the_fetch_for_those_who_wait() -> None:
    async def find() -> None:
        going = threading.Event()

        def fetch() -> bytes:
            going.wait(20)
            return json.dumps({"keys": [JWK]}).encode()

        keys = FetchedKeys(fetch)
        first, second = asyncio.create_task(keys.find(KEY_ID)), asyncio.create_task(keys.find(KEY_ID))
        await asyncio.sleep(0.05)
        first.cancel()
        going.set()
        assert await second is not None

    asyncio.run(find())


@pytest.mark.parametrize("kid", [["a"], {"a": 1}, 7, "x" * 300])
def test_a_key_with_an_odd_id_is_left_out_and_the_others_stay(kid: Any) -> None:
    found = parse_key_set(json.dumps({"keys": [JWK | {"kid": kid}, JWK]}).encode())
    assert list(found) == [KEY_ID]


@pytest.mark.parametrize("entry", [None, 7, "x", [], {}, {"kty": ["OKP"]}, {**JWK, "crv": ["x"]}])
def test_an_entry_that_is_no_key_is_left_out(entry: Any) -> None:
    assert list(parse_key_set(json.dumps({"keys": [entry, JWK]}).encode())) == [KEY_ID]


def test_a_private_key_in_a_key_set_is_used_as_the_public_one_that_it_holds() -> None:
    private = JWK | {"d": base64.urlsafe_b64encode(KEY.private_bytes_raw()).decode().rstrip("=")}
    tokens = IssuedTokens({ISSUER: Keys(private)}, [AUDIENCE])
    found = asyncio.run(tokens.principal(token("auditor")))
    assert found is not None


def test_a_key_that_is_not_for_verifying_is_left_out() -> None:
    assert not parse_key_set(json.dumps({"keys": [JWK | {"key_ops": ["sign"]}]}).encode())
    assert parse_key_set(json.dumps({"keys": [JWK | {"key_ops": ["verify"]}]}).encode())


@pytest.mark.parametrize(
    "url", ["https://[", "https://:443", "http://localhost.evil.example/", "file:///etc"]
)
def test_an_address_that_may_not_be_asked_is_said_at_the_start(url: str) -> None:
    with pytest.raises(ConfigurationError):
        fetcher(url, None)


def test_a_file_that_has_gone_is_said_once_and_not_with_each_request(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [JWK]}))
    keys = FileKeys(file)
    file.unlink()

    async def find() -> None:
        for _ in range(20):
            assert await keys.find(KEY_ID) is not None

    with capture_logs() as lines:
        asyncio.run(find())
    assert len(lines) == 1


@pytest.mark.parametrize(
    "said",
    [
        lambda _: for_ever(b"X: y\r\n", b"HTTP/1.1 200 OK\r\n"),
        lambda _: for_ever(b"HTTP/1.1 100 Continue\r\n\r\n"),
        lambda _: one_by_one(HEAD + b" " * 10_000),
    ],
)
def test_an_issuer_that_drips_before_its_answer_is_given_up(said: Script) -> None:
    with foreign(said, pause=0.05) as server:
        url = f"http://127.0.0.1:{server.port}"
        for keys_at in (None, f"{url}/keys"):
            began = time.monotonic()
            with pytest.raises(UnavailableError, match="did not answer within"):
                fetcher(url, keys_at, seconds=0.5)()
            assert time.monotonic() - began < 15


def test_one_deadline_covers_the_discovery_document_and_the_keys() -> None:
    """Each of the two answers is in time by itself, and both together are not."""

    def slowly(request: bytes) -> Iterator[bytes]:
        body = json.dumps({"issuer": url, "jwks_uri": f"{url}/keys"}).encode()
        whole = answer(200, body if b"openid-configuration" in request else b'{"keys": []}')
        return iter([b"", b"", b"", whole])

    with foreign(slowly, pause=0.5) as server:
        url = f"http://127.0.0.1:{server.port}"
        with pytest.raises(UnavailableError, match="did not answer within"):
            fetcher(url, None, seconds=2.5)()
