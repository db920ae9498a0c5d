"""Places that hang, lie or are ahead: nobody waits for them, and what was found stays until its own cause is gone."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from audit_trail.guard import Guard, Intervals
from domain.event import Outcome
from event_store.integrity_findings import (
    Certainty,
    Check,
    NewFinding,
    open_findings,
    see_finding,
)
from event_store.publication.folder import HeadFolder
from event_store.publication.remote import Webhook, Witness
from event_store.signing import HeadSigner
from event_store.tlog.notes import SigningKey
from event_store.tlog.tree_heads import open_head
from event_store.tlog.witness_protocol import encode_cosignatures
from event_store.witness.cosigner import Witness as WitnessRules
from event_store.witness.cosigner import read_logs
from event_store.witness.store import WitnessStore
from tests.audit_trail.guard.guards import Running, book_of, claims, database_of, findings, guarding
from tests.audit_trail.programs import PROGRAM, environment
from tests.event_store.verify.tampered_log import Log, forged
from tests.foreign_server import Script, answer, for_ever, foreign
from tests.signing import KEY
from tests.web.conftest import serving
from web.witness import create_witness_app

WITNESS = SigningKey.generate("witness.example/w1", 4)
LIAR = SigningKey.generate("liar.example/w2", 4)
AHEAD = answer(409, b"1000000\n", "Content-Type: text/x.tlog.size")


@contextmanager
def witnessing(folder: Path) -> Iterator[str]:
    rules = WitnessRules(WitnessStore(folder / "witness.db"), [WITNESS], read_logs([KEY.verifier.encode()]))
    with serving(create_witness_app(rules)) as client:
        yield str(client.base_url)


def size_in(folder: Path) -> int:
    file = folder / "checkpoint"
    return open_head(file.read_bytes(), [KEY.verifier])[0].size if file.is_file() else -1


def speaking(added: bytes, shown: bytes = answer(404)) -> Script:
    return lambda request: iter([added if request.startswith(b"POST") else shown])


def test_places_that_hang_delay_no_other_place_and_no_shutdown(log: Log, tmp_path: Path) -> None:
    def hanging(_: bytes) -> Iterator[bytes]:
        return for_ever(b"X: y\r\n", b"HTTP/1.1 200 OK\r\n")

    with foreign(hanging, pause=0.2) as server, database_of(log) as database:
        url = f"http://127.0.0.1:{server.port}"
        places = (Witness(LIAR.verifier, url, database), Webhook(url), HeadFolder(tmp_path))
        with guarding(log.url, *places) as guard:
            for size in (263, 264, 265):
                guard.until(lambda size=size: size_in(tmp_path) == size)  # type: ignore[misc]
                log.add(1)
    assert size_in(tmp_path) == 266


@pytest.mark.thorough  # the test below has the same without a signal
def test_sigterm_ends_the_guard_although_its_places_hang(log: Log, tmp_path: Path) -> None:
    with foreign(lambda _: for_ever(b"")) as server:
        url = f"http://127.0.0.1:{server.port}"
        settings = {
            "database_url": log.url,
            "kafka_bootstrap_servers": "127.0.0.1:9",
            "heads_topic": "",
            "heads_folder": str(tmp_path / "heads"),
            "heads_webhook": url,
            "heads_interval_seconds": "0.2",
            "witnesses": f"{LIAR.verifier.encode()} {url},{WITNESS.verifier.encode()} {url}",
        }
        with subprocess.Popen([*PROGRAM, "guard"], env=environment(**settings)) as process:
            try:
                until = time.monotonic() + 60
                while not (server.requests and size_in(tmp_path / "heads") == 263):
                    assert time.monotonic() < until
                    time.sleep(0.1)
                log.add(1)
                process.send_signal(signal.SIGTERM)
                process.wait(60)
            finally:
                process.kill()
    assert size_in(tmp_path / "heads") == 264


def test_a_claim_of_one_witness_is_no_fact_and_stays_while_others_take_heads(
    log: Log, tmp_path: Path
) -> None:
    with foreign(speaking(AHEAD)) as server, database_of(log) as database:
        liar = Witness(LIAR.verifier, f"http://127.0.0.1:{server.port}", database, [KEY.verifier])
        for _ in range(2):  # the second guard finds what the first one has stored
            with guarding(log.url, liar, HeadFolder(tmp_path)) as guard:
                guard.until(lambda: claims(guard, liar.name) == 1)
                size = size_in(tmp_path)
                log.add(1)
                guard.until(lambda size=size: size_in(tmp_path) > size)  # type: ignore[misc]
                assert claims(guard, liar.name) == 1
                assert findings(guard, liar.name) == findings(guard, "folder") == 0
            assert not any(event.type == "integrity_check.failed" for event in guard.events)
        with database.transaction() as connection:
            (found,) = open_findings(connection)
    assert (found.certainty, found.place, found.check) == (Certainty.CLAIM, liar.name, Check.PUBLISH)
    assert found.what.startswith("witness liar.example/w2 says that it has cosigned a head of size 1000000")
    assert found.seen > 1


def test_a_claim_is_told_as_a_claim_and_ends_when_its_place_takes_a_head(log: Log, tmp_path: Path) -> None:
    rules = WitnessRules(WitnessStore(tmp_path / "witness.db"), [WITNESS], read_logs([KEY.verifier.encode()]))
    confused = threading.Event()
    confused.set()

    def speak(request: bytes) -> Iterator[bytes]:
        if confused.is_set():
            yield AHEAD if request.startswith(b"POST") else answer(404)
            return
        found = rules.add_checkpoint(request.partition(b"\r\n\r\n")[2])
        yield answer(200, encode_cosignatures(found.signatures))

    with foreign(speak) as server, database_of(log) as database:
        place = Witness(WITNESS.verifier, f"http://127.0.0.1:{server.port}", database, [KEY.verifier])
        with guarding(log.url, place) as guard:
            guard.until(lambda: len(guard.events) == 1)
            confused.clear()
            guard.until(lambda: len(guard.events) == 2)
            guard.until(lambda: claims(guard, place.name) == 0)
    told, ended = guard.events
    assert (told.type, told.outcome) == ("integrity_check.unconfirmed", Outcome.MINOR_FAILURE)
    assert told.attributes["certainty"] == "claim"
    assert ended.type == "integrity_check.recovered"
    assert ended.attributes["answers"] == str(told.event_id) == ended.resources[0].id


def test_two_guards_that_feed_one_witness_raise_no_alarm(log: Log, tmp_path: Path) -> None:
    with witnessing(tmp_path) as url, database_of(log) as one, database_of(log) as other:
        first = Running(log.url, Witness(WITNESS.verifier, url, one))
        second = Running(log.url, Witness(WITNESS.verifier, url, other))
        for _ in range(30):
            log.add(1)
        name = f"witness {WITNESS.name}"
        for each in (first, second):
            each.until(lambda each=each: each.number("audit_trail_guard_published_size", place=name) == 293)  # type: ignore[misc]
            each.stop()
    assert first.events == second.events == []


def test_a_place_that_asks_for_a_pause_gets_it(log: Log, tmp_path: Path) -> None:
    with foreign(lambda _: iter([answer(429, b"", "Retry-After: 600")])) as server:
        with guarding(log.url, Webhook(f"http://127.0.0.1:{server.port}"), HeadFolder(tmp_path)) as guard:
            for size in (263, 264, 265):
                guard.until(lambda size=size: size_in(tmp_path) == size and server.requests)  # type: ignore[misc]
                log.add(1)
        assert len(server.requests) == 1


def test_a_proved_fork_at_one_place_stays_whatever_other_places_do(log: Log, tmp_path: Path) -> None:
    shown = answer(200, forged(1000, bytes(32)).note)
    with (
        foreign(speaking(AHEAD, shown)) as server,
        witnessing(tmp_path) as honest,
        database_of(log) as database,
    ):
        liar = Witness(LIAR.verifier, f"http://127.0.0.1:{server.port}", database, [KEY.verifier])
        places = (liar, Witness(WITNESS.verifier, honest, database), HeadFolder(tmp_path / "heads"))
        with guarding(log.url, *places) as guard:
            guard.until(lambda: findings(guard, liar.name) == 1 and guard.events)
            log.add(5)
            guard.until(lambda: size_in(tmp_path / "heads") == 268)
            assert findings(guard, liar.name) == 1
            assert findings(guard, "folder") == findings(guard, f"witness {WITNESS.name}") == 0
        with guarding(log.url, HeadFolder(tmp_path / "heads")) as later:
            later.until(lambda: findings(later, liar.name) == 1)
    (event,) = guard.events
    assert (event.type, event.outcome) == ("integrity_check.failed", Outcome.MAJOR_FAILURE)
    assert event.attributes == {
        "finding": 1,
        "check": "publish",
        "place": liar.name,
        "certainty": "fact",
        "position": None,
        "log_size": 263,
    }
    assert later.events == []


def test_a_fork_ends_only_when_the_log_continues_that_head_and_the_place_takes_one(
    log: Log, tmp_path: Path
) -> None:
    """A folder whose contradicting head was removed takes heads again, and the fork is still one."""
    (tmp_path / "checkpoint").write_bytes(HeadSigner([KEY]).sign(1000, bytes(32)).encode())
    with guarding(log.url, HeadFolder(tmp_path)) as guard:
        guard.until(lambda: findings(guard, "folder") == 1)
        (tmp_path / "checkpoint").unlink()
        guard.until(lambda: size_in(tmp_path) == 263, 60)
        log.add(1)
        guard.until(lambda: size_in(tmp_path) == 264)
        assert findings(guard, "folder") == 1
    head = open_head(log.head().note, [KEY.verifier])[0]
    with database_of(log) as database, database.transaction() as connection:
        (found,) = open_findings(connection)
        assert (found.head_size, found.head_root) == (1000, bytes(32))
        gone = NewFinding(
            Check.PUBLISH, "x", "fork", Certainty.FACT, "x", 1, head_size=head.size, head_root=head.root
        )
        see_finding(connection, gone)
    with book_of(log) as book:
        book.took("x")
    with database_of(log) as database, database.transaction() as connection:
        assert [each.place for each in open_findings(connection)] == ["folder"]


@pytest.mark.parametrize(
    ("attack", "says"),
    [
        (
            "UPDATE audit_trail.tree_head SET note = 'nonsense' WHERE size = 263",
            "the newest head is malformed",
        ),
        (
            "UPDATE audit_trail.tree_head SET note = (SELECT note FROM audit_trail.tree_head WHERE size = 3)",
            "about another tree than its row",
        ),
        ("DELETE FROM audit_trail.log_key", "names no public key"),
    ],
)
def test_a_newest_head_that_is_none_of_this_log_is_a_finding_and_goes_nowhere(
    log: Log, tmp_path: Path, attack: str, says: str
) -> None:
    log.attack(attack)
    guard = Running(log.url, HeadFolder(tmp_path), keys=())
    try:
        guard.until(lambda: findings(guard, "folder") == 1 and guard.events)
    finally:
        guard.stop()
    assert says in str(guard.events[0].outcome_reason)
    assert size_in(tmp_path) == -1


class _Broken:
    """A place with a fault of the program."""

    name = "broken"

    def published(self) -> tuple[bytes, ...]:
        return ()

    def publish(self, _: object) -> None:
        raise KeyError("a fault of the program")


def test_a_fault_of_the_program_in_one_thread_ends_the_guard(log: Log) -> None:
    with database_of(log) as database:
        guard = Guard(
            database,
            log.url,
            [_Broken()],
            [KEY.verifier],
            Intervals(0.1, 0, 0),
            lambda _: None,
            registry=CollectorRegistry(),
        )
        with pytest.raises(KeyError):
            guard.run()
