"""Witnesses and webhooks that are ahead, lie, hang or ask for a pause: an alarm only with proof, and never late."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from domain.errors import ForkedError, ThrottledError, UnavailableError, UnprovenClaimError
from event_store.database import GUARD, Database
from event_store.heads import StoredHead, newest_head
from event_store.publication import remote
from event_store.publication.remote import Webhook, Witness
from event_store.tlog.notes import SigningKey
from event_store.witness.cosigner import Witness as WitnessRules
from event_store.witness.cosigner import read_logs
from event_store.witness.store import WitnessStore
from tests.event_store.verify.tampered_log import Log, forged
from tests.foreign_server import Script, answer, for_ever, foreign
from tests.signing import KEY, signer
from tests.web.conftest import serving
from web.witness import create_witness_app

WITNESS = SigningKey.generate("witness.example/w1", 4)


@pytest.fixture
def log(migrated_url: str) -> Log:
    return Log(migrated_url, [3, 260])


def newest(log: Log) -> StoredHead:
    with closing(Database(log.url, GUARD)) as database, database.transaction(read_only=True) as connection:
        head = newest_head(connection)
    assert head is not None
    return head


@contextmanager
def honest(folder: Path) -> Iterator[str]:
    rules = WitnessRules(WitnessStore(folder / "witness.db"), [WITNESS], read_logs([KEY.verifier.encode()]))
    with serving(create_witness_app(rules)) as client:
        yield str(client.base_url)


def publish(log: Log, url: str, head: StoredHead | None = None) -> None:
    with closing(Database(log.url, GUARD)) as database:
        Witness(WITNESS.verifier, url, database, [KEY.verifier]).publish(head or newest(log))


def speaking(added: bytes, shown: bytes = answer(404)) -> Script:
    """A witness that answers `added` to a head, and `shown` to who asks for its checkpoint."""
    return lambda request: iter([added if request.startswith(b"POST") else shown])


def test_a_witness_that_somebody_else_has_fed_a_newer_head_is_no_alarm(log: Log, tmp_path: Path) -> None:
    old = newest(log)
    with honest(tmp_path) as url:
        log.add(9)
        publish(log, url)
        log.attack("DELETE FROM audit_trail.cosignature")
        publish(log, url, old)
        assert newest(log).cosignatures
        log.add(4)
        publish(log, url, old)
        publish(log, url)


CLAIMS = {
    "ahead": answer(409, b"1000000\n", "Content-Type: text/x.tlog.size"),
    "our own size": answer(409, b"0\n", "Content-Type: text/x.tlog.size"),
    "no size": answer(409),
    "nonsense for a size": answer(409, b"many\n"),
    "inconsistent": answer(422, b"no\n"),
}
SHOWN: dict[str, Callable[[Log], bytes]] = {
    "nothing": lambda _: answer(404),
    "nonsense": lambda _: answer(200, b"nonsense"),
    "a stranger's signature": lambda _: answer(
        200, SigningKey.generate("audit-trail.test/log").sign("x").line().encode()
    ),
    "a redirect": lambda _: answer(302, b"", "Location: /elsewhere"),
    "our own head": lambda log: answer(200, log.head().note),
}


@pytest.mark.parametrize("shown", SHOWN.values(), ids=SHOWN)
@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_a_claim_without_proof_is_no_fact(log: Log, claim: bytes, shown: Callable[[Log], bytes]) -> None:
    with (
        foreign(speaking(claim, shown(log))) as server,
        pytest.raises((UnprovenClaimError, UnavailableError)) as caught,
    ):
        publish(log, f"http://127.0.0.1:{server.port}")
    assert not isinstance(caught.value, ForkedError)
    if isinstance(caught.value, UnprovenClaimError):
        assert "witness.example/w1 says that it" in str(caught.value)
        assert "could not be" in str(caught.value)


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
@pytest.mark.parametrize("size", [3, 263, 1000])
def test_a_head_of_our_key_that_the_log_does_not_continue_is_a_fact(
    log: Log, claim: bytes, size: int
) -> None:
    shown = answer(200, forged(size, bytes(32)).note)
    with foreign(speaking(claim, shown)) as server, pytest.raises(ForkedError) as caught:
        publish(log, f"http://127.0.0.1:{server.port}")
    assert (caught.value.size, caught.value.root) == (size, bytes(32))
    assert "a key of this log has signed" in str(caught.value)


def test_the_keys_of_the_settings_decide_what_is_a_fact_and_not_those_in_the_database(log: Log) -> None:
    other = SigningKey.generate("audit-trail.test/log")
    log.attack("INSERT INTO audit_trail.log_key VALUES (%s, 0, now())", values=[other.verifier.encode()])
    note = type(signer())([other]).sign(1000, bytes(32)).encode()
    with (
        foreign(speaking(CLAIMS["ahead"], answer(200, note))) as server,
        pytest.raises(UnprovenClaimError),
    ):
        publish(log, f"http://127.0.0.1:{server.port}")


def test_a_witness_that_goes_on_naming_other_sizes_is_given_up(log: Log) -> None:
    sizes = iter(range(1, 200))
    with (
        foreign(lambda _: iter([answer(409, b"%d\n" % next(sizes))])) as server,
        pytest.raises(UnavailableError, match="busy"),
    ):
        publish(log, f"http://127.0.0.1:{server.port}")
    assert len(server.requests) < 20


@pytest.mark.parametrize(
    ("status", "after", "least", "most"),
    [
        (429, "7", 7, 7),
        (503, "120", 120, 120),
        (429, "99999999999999999999", 900, 900),
        (429, "Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        (429, "Fri, 31 Dec 9999 23:59:59 GMT", 900, 900),
    ],
)
def test_a_pause_that_a_place_asks_for_is_kept_within_bounds(
    log: Log, status: int, after: str, least: float, most: float
) -> None:
    with foreign(lambda _: iter([answer(status, b"", f"Retry-After: {after}")])) as server:
        url = f"http://127.0.0.1:{server.port}"
        asks: tuple[Callable[[], None], ...] = (
            lambda: publish(log, url),
            lambda: Webhook(url).publish(newest(log)),
        )
        for ask in asks:
            with pytest.raises(ThrottledError, match=str(status)) as caught:
                ask()
            assert least <= caught.value.seconds <= most


@pytest.mark.parametrize("headers", [(), ("Retry-After: soon",), ("Retry-After: -5",), ("Retry-After: 1e3",)])
def test_without_a_pause_that_can_be_read_the_guard_has_its_own(log: Log, headers: tuple[str, ...]) -> None:
    with (
        foreign(lambda _: iter([answer(429, b"", *headers)])) as server,
        pytest.raises(UnavailableError) as caught,
    ):
        publish(log, f"http://127.0.0.1:{server.port}")
    assert not isinstance(caught.value, ThrottledError)


def test_a_witness_and_a_webhook_that_drip_are_given_up(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_SECONDS", 0.5)
    with foreign(lambda _: for_ever(b"X: y\r\n", b"HTTP/1.1 200 OK\r\n"), pause=0.1) as server:
        url = f"http://127.0.0.1:{server.port}"
        asks: tuple[Callable[[], None], ...] = (
            lambda: publish(log, url),
            lambda: Webhook(url).publish(newest(log)),
        )
        for ask in asks:
            began = time.monotonic()
            with pytest.raises(UnavailableError, match="did not answer within"):
                ask()
            assert time.monotonic() - began < 15
