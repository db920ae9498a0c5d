"""The keys of an issuer: found by discovery over a real socket, rotated, bounded, and used while it is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from domain.errors import ConfigurationError, UnavailableError
from tests.tokens import JWK, KEY_ID
from tests.waiting import eventually
from tests.web.authentication.issuers import Issuer, issuing
from web.authentication.discovery import fetcher
from web.authentication.key_sets import FetchedKeys, FileKeys, parse_key_set


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An issuer of the test's own."""
    with issuing() as running:
        yield running


class Clock:
    """Time as the test says."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def keys_of(issuer: Issuer, clock: Clock, url: str | None = None) -> FetchedKeys:
    """The keys of an issuer, found by discovery."""
    return FetchedKeys(fetcher(issuer.url, url), clock=clock)


def test_keys_are_found_by_discovery_and_kept(issuer: Issuer) -> None:
    async def find() -> None:
        keys = keys_of(issuer, Clock())
        found = await asyncio.gather(*(keys.find(KEY_ID) for _ in range(20)))
        assert all(key is not None for key in found)

    asyncio.run(find())
    assert issuer.asked == 1


def test_the_first_token_of_a_new_key_finds_it(issuer: Issuer) -> None:
    async def find() -> None:
        keys = keys_of(issuer, Clock())
        assert await keys.find(KEY_ID) is not None
        issuer.keys = [JWK, JWK | {"kid": "next"}]
        found = await asyncio.gather(*(keys.find("next") for _ in range(20)))
        assert all(key is not None for key in found)

    asyncio.run(find())
    assert issuer.asked == 2


def test_a_key_that_comes_during_a_fetch_is_found(issuer: Issuer) -> None:
    async def find() -> None:
        keys = keys_of(issuer, Clock())
        issuer.delay = 0.5
        first = asyncio.create_task(keys.find(KEY_ID))
        await asyncio.to_thread(eventually, lambda: issuer.asked == 1)
        issuer.keys = [JWK, JWK | {"kid": "next"}]
        assert await keys.find("next") is not None
        assert await first is not None

    asyncio.run(find())
    assert issuer.asked == 2


def test_an_unknown_key_is_asked_for_but_not_all_the_time(issuer: Issuer) -> None:
    async def find() -> None:
        clock = Clock()
        keys = keys_of(issuer, clock)
        assert await keys.find("next") is None
        issuer.keys = [JWK, JWK | {"kid": "next"}]
        for _ in range(50):
            assert await keys.find("next") is None
        assert issuer.asked == 1
        clock.now += 11
        assert await keys.find("next") is not None

    asyncio.run(find())
    assert issuer.asked == 2


def test_many_unknown_keys_cause_few_fetches(issuer: Issuer) -> None:
    async def find() -> None:
        keys = FetchedKeys(fetcher(issuer.url, None))
        assert await keys.find(KEY_ID) is not None
        assert set(await asyncio.gather(*(keys.find(f"no-{number}") for number in range(500)))) == {None}
        assert await keys.find("x" * 10_000) is None

    asyncio.run(find())
    assert issuer.asked == 3


def test_an_unknown_key_is_not_wrong_while_the_issuer_is_away(issuer: Issuer) -> None:
    async def find() -> None:
        clock = Clock()
        keys = keys_of(issuer, clock)
        assert await keys.find(KEY_ID) is not None
        issuer.status = 503
        for _ in range(20):
            with pytest.raises(UnavailableError):
                await keys.find("next")
            assert await keys.find(KEY_ID) is not None
        assert issuer.asked == 2
        issuer.status, issuer.keys = 200, [JWK, JWK | {"kid": "next"}]
        clock.now += 11
        assert await keys.find("next") is not None

    asyncio.run(find())


def test_a_key_that_was_withdrawn_is_gone_when_the_keys_are_fetched_again(issuer: Issuer) -> None:
    async def find() -> None:
        clock = Clock()
        keys = keys_of(issuer, clock)
        assert await keys.find(KEY_ID) is not None
        issuer.keys = [JWK | {"kid": "other"}, JWK | {"kid": "another"}]
        assert await keys.find(KEY_ID) is not None
        clock.now += 301
        assert await keys.find(KEY_ID) is None

    asyncio.run(find())


@pytest.mark.parametrize("fault", [500, 302, b"no json", b"[]", b'{"keys": 7}', b" " * 300_000])
def test_an_issuer_that_fails_is_done_without_for_a_day(issuer: Issuer, fault: int | bytes) -> None:
    async def find() -> None:
        clock = Clock()
        keys = keys_of(issuer, clock)
        assert await keys.find(KEY_ID) is not None
        if isinstance(fault, int):
            issuer.status = fault
        else:
            issuer.keys = fault
        clock.now += 3600
        assert await keys.find(KEY_ID) is not None
        clock.now += 24 * 3600
        with pytest.raises(UnavailableError):
            await keys.find(KEY_ID)

    asyncio.run(find())


def test_an_issuer_that_was_never_there_is_away_and_not_wrong() -> None:
    async def find() -> None:
        with pytest.raises(UnavailableError):
            await FetchedKeys(fetcher("http://127.0.0.1:1", None)).find(KEY_ID)

    asyncio.run(find())


def test_the_discovery_document_has_to_be_that_of_the_issuer(issuer: Issuer) -> None:
    issuer.claims_to_be = "https://elsewhere.example"

    async def find() -> None:
        with pytest.raises(UnavailableError):
            await keys_of(issuer, Clock()).find(KEY_ID)

    asyncio.run(find())


@pytest.mark.parametrize(
    "url", ["http://issuer.example", "ftp://issuer.example", "issuer", "file:///etc/passwd"]
)
def test_keys_come_over_https_or_from_this_machine(url: str) -> None:
    with pytest.raises(ConfigurationError, match="https"):
        fetcher(url, None)


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"},
        {"alg": "ES384"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"crv": "Ed448"},
        {"crv": "X25519"},
        {"x": "AA"},
        {"x": 7},
        {"kty": None},
    ],
)
def test_keys_that_are_not_for_this_are_left_out(change: dict[str, Any]) -> None:
    assert parse_key_set(json.dumps({"keys": [JWK | change]}).encode()) == {}


def test_a_short_rsa_key_is_left_out() -> None:
    # Of 1,024 bits; made once.
    modulus = jwt.utils.to_base64url_uint((1 << 1023) + 1157).decode()
    short = {"kty": "RSA", "kid": "short", "n": modulus, "e": "AQAB"}
    assert parse_key_set(json.dumps({"keys": [short, JWK]}).encode()).keys() == {KEY_ID}


def test_so_many_keys_are_read_and_no_more() -> None:
    many = [JWK | {"kid": f"k{number}"} for number in range(300)]
    assert len(parse_key_set(json.dumps({"keys": many}).encode())) == 100


def test_a_file_is_read_again_when_it_has_changed_and_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [JWK]}))
    keys = FileKeys(file)
    file.write_text('{"keys": [')
    assert asyncio.run(keys.find(KEY_ID)) is not None
    file.write_text(json.dumps({"keys": [JWK | {"kid": "second"}, JWK | {"kid": "third"}]}))
    assert asyncio.run(keys.find("second")) is not None
    assert asyncio.run(keys.find(KEY_ID)) is None


def test_a_file_that_is_none_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="JWK Set"):
        FileKeys(tmp_path / "missing.json")
