"""The guard: heads outside the database, and a log that contradicts them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psycopg2
import pytest
from prometheus_client import CollectorRegistry

from audit_trail.embedded.broker import Broker
from audit_trail.guard.findings import Findings
from audit_trail.guard.metrics import GuardMetrics
from audit_trail.guard.verification import Verification
from domain.errors import ConfigurationError, LogInconsistentError, UnavailableError
from event_store.database import GUARD, INGEST, Database
from event_store.heads import StoredHead, newest_head
from event_store.publication.folder import HeadFolder
from event_store.publication.forks import refuse_forks
from event_store.publication.remote import Webhook, Witness
from event_store.signing import HeadSigner
from event_store.tlog.notes import SigningKey, verified
from event_store.tlog.tree_heads import open_head
from event_store.witness.cosigner import Witness as WitnessRules
from event_store.witness.cosigner import read_logs
from event_store.witness.store import WitnessStore
from ingest.head_topic import HeadTopic
from ingest.publisher import Publisher
from ingest.settings import IngestSettings
from tests.audit_trail.guard.guards import Running, guarding
from tests.databases import MIGRATED, Databases
from tests.event_store.verify.tampered_log import Log
from tests.signing import KEY, signer
from tests.web.conftest import serving
from web.witness import create_witness_app

WITNESS = SigningKey.generate("witness.example/w1", 4)


def size_of(note: bytes) -> int:
    return open_head(note, [KEY.verifier])[0].size


def test_a_folder_has_the_newest_head_and_all_published_before(log: Log, tmp_path: Path) -> None:
    folder = tmp_path / "heads"
    with guarding(log.url, HeadFolder(folder)) as guard:
        guard.until((folder / "checkpoint").is_file)
        assert size_of((folder / "checkpoint").read_bytes()) == 263
        log.add(7)
        guard.until(lambda: size_of((folder / "checkpoint").read_bytes()) == 270)
    kept = sorted(folder.glob("*-*-*/*.checkpoint"))
    assert [size_of(file.read_bytes()) for file in kept] == [263, 270]
    assert log.findings(log.head()) == []


def test_pages_learn_what_each_place_has_and_why_it_takes_no_newer_head(log: Log, tmp_path: Path) -> None:
    def noted() -> dict[str, tuple[int | None, str]]:
        with closing(psycopg2.connect(log.url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT place, size, problem FROM audit_trail.head_place")
            return {place: (size, problem) for place, size, problem in cursor.fetchall()}

    folder, away = HeadFolder(tmp_path / "heads"), Webhook("http://127.0.0.1:1/")
    with guarding(log.url, folder, away) as guard:
        guard.until(lambda: noted().get(folder.name) == (263, "") and away.name in noted())
        size, problem = noted()[away.name]
        assert size is None
        assert problem
    with guarding(log.url, folder) as guard:
        guard.until(lambda: list(noted()) == [folder.name])


def _verification_of(log: Log) -> tuple[int | None, int | None, str] | None:
    rows = log.rows("SELECT size, all_size, problem FROM audit_trail.log_verification")
    return rows[0] if rows else None


def test_pages_learn_how_far_the_log_is_verified(log: Log) -> None:
    assert _verification_of(log) is None
    with guarding(log.url, verify=0.1) as guard:
        guard.until(lambda: _verification_of(log) == (263, 263, ""))
        log.add(7)
        guard.until(lambda: _verification_of(log) == (270, 270, ""))
        log.attack("UPDATE audit_trail.event SET recorded_at = now() WHERE position = 100")
        guard.until(lambda: guard.events)
        log.add(1)
        time.sleep(0.5)
        assert _verification_of(log) == (270, 270, "")  # one that finds something verifies nothing


def test_pages_learn_why_the_log_could_not_be_verified(log: Log) -> None:
    stopping, away = threading.Event(), "postgresql://127.0.0.1:1/away"
    with closing(Database(log.url, GUARD)) as database:
        metrics = GuardMetrics([], CollectorRegistry())
        findings = Findings(database, lambda _: None, metrics, quiet_seconds=3600)
        verification = Verification(database, away, [KEY.verifier], 0.1, 0, findings, metrics, stopping)
        thread = threading.Thread(target=verification.run)
        thread.start()
        until = time.monotonic() + 30
        while (noted := _verification_of(log)) is None and time.monotonic() < until:
            time.sleep(0.02)
        stopping.set()
        thread.join(30)
    assert noted is not None
    assert noted[:2] == (None, None)
    assert "refused" in noted[2]


def test_the_last_head_is_published_at_shutdown(log: Log, tmp_path: Path) -> None:
    running = Running(log.url, HeadFolder(tmp_path))
    running.until((tmp_path / "checkpoint").is_file)
    log.add(1)
    running.stop()
    assert size_of((tmp_path / "checkpoint").read_bytes()) == 264


def test_a_log_that_was_restored_from_an_older_copy_is_not_published_and_says_so(
    databases: Databases, tmp_path: Path
) -> None:
    with databases.copy(MIGRATED) as url:
        log = Log(url, [100])
        name = url.partition("?")[0].rpartition("/")[2]
        with databases.copy(name) as older:
            log.add(50)
            with guarding(url, HeadFolder(tmp_path)) as guard:
                guard.until((tmp_path / "checkpoint").is_file)
            restored = Log(older, [])
            with (
                closing(Database(older, INGEST)) as database,
                pytest.raises(LogInconsistentError, match=r"has 100 events, but a head of 150 was published"),
            ):
                refuse_forks(database, [KEY.verifier], [HeadFolder(tmp_path)])
            restored.add(80)  # grown beyond what was published: another history
            with guarding(older, HeadFolder(tmp_path)) as guard:
                guard.until(lambda: guard.events)
                guard.until(
                    lambda: guard.number("audit_trail_guard_findings", check="publish", place="folder") == 1
                )
            assert size_of((tmp_path / "checkpoint").read_bytes()) == 150
            assert [event.type for event in guard.events] == ["integrity_check.failed"]
            assert "the first 150 events differ from those of a published head" in str(
                guard.events[0].outcome_reason
            )


def test_heads_of_strangers_in_the_folder_bind_nobody(log: Log, tmp_path: Path) -> None:
    stranger = SigningKey.generate("audit-trail.test/log")
    (tmp_path / "checkpoint").write_bytes(HeadSigner([stranger]).sign(10**6, bytes(32)).encode())
    with closing(Database(log.url, INGEST)) as database:
        refuse_forks(database, [KEY.verifier], [HeadFolder(tmp_path)])


def test_heads_reach_a_topic_and_bind_the_log_from_there(
    log: Log, topic: str, broker: Broker, migrated_url: str
) -> None:
    settings = IngestSettings(bootstrap_servers=(broker.bootstrap_servers,), topics=(topic,))
    with closing(Publisher(settings)) as publisher:
        place = HeadTopic(settings, topic, publisher)
        assert list(place.published()) == []
        with guarding(log.url, place) as guard:
            guard.until(lambda: guard.number("audit_trail_guard_published_size", place="topic") == 263)
            log.add(5)
            guard.until(lambda: guard.number("audit_trail_guard_published_size", place="topic") == 268)
        assert {size_of(note) for note in place.published()} >= {268}
        log.attack("UPDATE audit_trail.log_state SET size = 0, edge = '', root = sha256('')")
        with (
            closing(Database(migrated_url, INGEST)) as database,
            pytest.raises(LogInconsistentError, match="has 0 events, but a head of 268 was published"),
        ):
            refuse_forks(database, [KEY.verifier], [place])


class _Hook(BaseHTTPRequestHandler):
    bodies: list[bytes]
    status = 200

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(self.status)
        self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not to the tests' output."""


@contextmanager
def webhook(status: int = 200) -> Iterator[tuple[str, type[_Hook]]]:
    hook = type("Hook", (_Hook,), {"bodies": [], "status": status})
    server = HTTPServer(("127.0.0.1", 0), hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/heads?token=secret", hook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_webhook_gets_every_published_head(log: Log) -> None:
    with webhook() as (url, hook), guarding(log.url, Webhook(url)) as guard:
        guard.until(lambda: hook.bodies)
        assert size_of(hook.bodies[0]) == 263


@pytest.mark.parametrize("status", [302, 401, 500])
def test_a_webhook_that_does_not_take_it_is_tried_again(status: int, log: Log) -> None:
    with webhook(status) as (url, hook):
        with pytest.raises(UnavailableError, match=str(status)) as caught:
            Webhook(url).publish(_newest(log))
        assert "secret" not in str(caught.value)
        with guarding(log.url, Webhook(url)) as guard:
            guard.until(lambda: len(hook.bodies) >= 3)
            hook.status = 204
            guard.until(lambda: guard.number("audit_trail_guard_published_size", place="webhook") == 263)


def test_a_place_that_is_away_keeps_no_other_from_its_heads(log: Log, tmp_path: Path) -> None:
    with guarding(log.url, Webhook("http://127.0.0.1:9/"), HeadFolder(tmp_path)) as guard:
        guard.until((tmp_path / "checkpoint").is_file)
        guard.until(
            lambda: (
                (guard.number("audit_trail_guard_publish_failures_total", place="webhook", kind="away") or 0)
                > 1
            )
        )


def _newest(log: Log) -> StoredHead:
    with closing(Database(log.url, GUARD)) as database, database.transaction(read_only=True) as connection:
        head = newest_head(connection)
    assert head is not None
    return head


@contextmanager
def witness(tmp_path: Path, *vkeys: str) -> Iterator[str]:
    rules = WitnessRules(
        WitnessStore(tmp_path / "witness.db"), [WITNESS], read_logs(vkeys or [KEY.verifier.encode()])
    )
    with serving(create_witness_app(rules)) as client:
        yield str(client.base_url)


def test_a_witness_cosigns_and_the_database_keeps_what_it_signed(log: Log, tmp_path: Path) -> None:
    with witness(tmp_path) as url, closing(Database(log.url, GUARD)) as database:
        place = Witness(WITNESS.verifier, url, database)
        with guarding(log.url, place) as guard:
            guard.until(lambda: _newest(log).cosignatures)
            log.add(70, 400)
            guard.until(lambda: _newest(log).size == 733 and _newest(log).cosignatures)
        note = open_head(_newest(log).checkpoint, [KEY.verifier])[1]
        assert verified(note, [KEY.verifier, WITNESS.verifier]) == [KEY.verifier, WITNESS.verifier]


def test_a_witness_that_saw_more_than_the_database_remembers_says_where_to_begin(
    log: Log, tmp_path: Path
) -> None:
    with witness(tmp_path) as url, closing(Database(log.url, GUARD)) as database:
        place = Witness(WITNESS.verifier, url, database)
        place.publish(_newest(log))
        log.attack("DELETE FROM audit_trail.cosignature")
        log.add(9)
        place.publish(_newest(log))
        assert _newest(log).cosignatures


def test_a_witness_refuses_a_log_with_another_history(log: Log, tmp_path: Path) -> None:
    with witness(tmp_path) as url, closing(Database(log.url, GUARD)) as database:
        place = Witness(WITNESS.verifier, url, database)
        place.publish(_newest(log))
        log.attack(
            "UPDATE audit_trail.event SET body = convert_to(replace(convert_from(body, 'UTF8'), 'u1', 'u2'), 'UTF8')"
            " WHERE position = 2"
        )
        log.recompute(signer())
        log.signer = signer()
        log.add(4)
        with pytest.raises(LogInconsistentError, match="does not continue"):
            place.publish(_newest(log))
        log.attack(
            "DELETE FROM audit_trail.cosignature",
            "DELETE FROM audit_trail.tree_head WHERE size > 3",
            "DELETE FROM audit_trail.event WHERE position >= 3",
        )
        log.recompute(signer())
        with pytest.raises(
            LogInconsistentError, match=r"has 3 events, but witness .* has cosigned a head of 263"
        ):
            place.publish(_newest(log))


def test_a_witness_that_does_not_know_the_log_is_for_the_operator(log: Log, tmp_path: Path) -> None:
    other = SigningKey.generate("another.example/log").verifier.encode()
    with (
        witness(tmp_path, other) as url,
        closing(Database(log.url, GUARD)) as database,
        pytest.raises(ConfigurationError, match="404"),
    ):
        Witness(WITNESS.verifier, url, database).publish(_newest(log))


def test_a_witness_with_another_key_than_was_agreed_is_refused(log: Log, tmp_path: Path) -> None:
    agreed = SigningKey.generate("witness.example/w1", 4).verifier
    with (
        witness(tmp_path) as url,
        closing(Database(log.url, GUARD)) as database,
        pytest.raises(ConfigurationError, match="different key"),
    ):
        Witness(agreed, url, database).publish(_newest(log))
    assert not _newest(log).cosignatures


def test_a_finding_of_the_scheduled_verification_is_reported_once_and_stays_a_metric(log: Log) -> None:
    with guarding(log.url, verify=0.1) as guard:
        guard.until(lambda: guard.number("audit_trail_guard_verified_size") == 263)
        log.attack("UPDATE audit_trail.event SET recorded_at = now() WHERE position = 100")
        guard.until(lambda: guard.events)
        time.sleep(0.5)
        assert guard.number("audit_trail_guard_findings", check="verify", place="log") == 1
    (event,) = guard.events
    assert event.type == "integrity_check.failed"
    assert event.outcome_reason == "the event was altered: it is not what was sealed and signed"
    assert event.attributes == {
        "finding": 1,
        "check": "verify",
        "place": "log",
        "certainty": "fact",
        "position": 100,
        "log_size": 263,
    }


def test_a_finding_whose_numbers_change_is_reported_once_an_hour(log: Log, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_bytes(HeadSigner([KEY]).sign(10**6, bytes(32)).encode())

    def failures(guard: Running) -> float:
        return (
            guard.number("audit_trail_guard_publish_failures_total", place="folder", kind="inconsistent") or 0
        )

    with guarding(log.url, HeadFolder(tmp_path)) as guard:
        guard.until(lambda: guard.events)
        log.add(1)  # as the event itself does: "the log has 264 events, but a head of 1000000 ..."
        guard.until(lambda: failures(guard) >= 3)
    (event,) = guard.events
    assert "has 263 events" in str(event.outcome_reason)


def test_another_finding_of_the_same_kind_is_reported_when_the_hour_is_over(log: Log) -> None:
    with guarding(log.url, verify=0.1, again=1) as guard:
        log.attack("UPDATE audit_trail.event SET recorded_at = now() WHERE position IN (100, 150, 200)")
        guard.until(lambda: len(guard.events) == 3)
        time.sleep(1.5)
    assert [event.attributes["position"] for event in guard.events] == [100, 150, 200]


def test_the_guard_can_store_cosignatures_and_change_nothing_else(log: Log) -> None:
    with closing(psycopg2.connect(log.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET ROLE audit_trail_guard")
        for statement in (
            "INSERT INTO audit_trail.tree_head VALUES (9, sha256(''), now(), '')",
            "UPDATE audit_trail.log_state SET size = 9",
            "DELETE FROM audit_trail.cosignature",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)
            connection.rollback()
            cursor.execute("SET ROLE audit_trail_guard")
