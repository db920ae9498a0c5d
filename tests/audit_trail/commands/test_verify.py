"""Keys, heads and verification as operators and inspectors use them: by the command line."""

from __future__ import annotations

import stat
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from audit_trail.demo.clinic import simulate
from audit_trail.embedded.broker import Broker
from domain.validation import encode_event
from event_store.signing import new_key
from event_store.tlog.notes import VerifierKey
from event_store.tlog.tree_heads import open_head
from tests.audit_trail.programs import eventually, run, running, start
from tests.conftest import TopicFactory
from tests.databases import MIGRATED, Databases
from tests.event_store.verify.tampered_log import Log
from tests.hospital import START
from tests.signing import KEY, signer


def test_a_new_key_is_its_owners_alone_and_only_its_public_part_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "log-key"
    made = run("keys", "new", file, "--name", "hospital.example/audit")
    assert made.returncode == 0, made.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = VerifierKey.parse(made.stdout.strip())
    assert (key.name, key.algorithm) == ("hospital.example/audit", 1)
    assert run("keys", "show", file).stdout == made.stdout
    again = run("keys", "new", file, "--name", "hospital.example/audit")
    assert again.returncode == 2
    assert "never overwritten" in again.stderr
    assert "PRIVATE" not in made.stdout + made.stderr + again.stdout + again.stderr
    witness = run("keys", "new", tmp_path / "witness-key", "--name", "witness.example/w1", "--witness")
    assert VerifierKey.parse(witness.stdout.strip()).algorithm == 4


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"log_key": ""}, "no signing key"),
        ({"log_key": "PRIVATE+KEY+nonsense"}, "line 1"),
        ({"log_key": new_key("w.example/1", 4)}, "a witness's key can't sign the heads"),
        ({"log_key": "", "log_key_file": "/nowhere/key"}, "no signing key"),
    ],
)
def test_ingest_without_its_key_does_not_start(
    settings: dict[str, str], says: str, migrated_url: str
) -> None:
    ended = run(
        "ingest",
        settings={"database_url": migrated_url, "kafka_bootstrap_servers": "127.0.0.1:9", **settings},
    )
    assert ended.returncode == 2
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_verify_says_that_the_log_is_intact_or_where_it_is_not(migrated_url: str, tmp_path: Path) -> None:
    log = Log(migrated_url, [300, 20])
    settings = {"database_url": migrated_url}
    good = run("verify", "--vkey", KEY.verifier.encode(), settings=settings)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "The log is intact: 320 events and 3 signed heads agree." in good.stdout
    kept = tmp_path / "heads" / "2026-01-01"
    kept.mkdir(parents=True)
    (kept / "a.checkpoint").write_bytes(log.head().note)
    log.attack("UPDATE audit_trail.event SET recorded_at = now() WHERE position IN (41, 310)")
    for options in ([], ["--since", "300"], ["--jobs", "2"], ["--tree-head", str(kept.parent)]):
        bad = run("verify", *options, settings=settings)
        assert bad.returncode == 1
        assert bad.stdout.startswith("position 41: the event was altered")
        assert "The log is NOT intact: 2 findings." in bad.stdout
    log.attack(
        "DELETE FROM audit_trail.event WHERE position >= 300",
        "DELETE FROM audit_trail.event_identity WHERE position >= 300",
        "DELETE FROM audit_trail.tree_head WHERE size > 300",
        "UPDATE audit_trail.kafka_stream SET next_offset = 300",
    )
    log.recompute(signer())
    (kept.parent / "checkpoint").write_bytes((kept / "a.checkpoint").read_bytes())
    cut = run("verify", settings=settings | {"heads_folder": str(kept.parent)})
    assert f"the signed head in {kept.parent} proves 320 events" in cut.stdout
    stranger = VerifierKey("audit-trail.test/log", 1, bytes(32))
    assert run("verify", "--vkey", stranger.encode(), settings=settings).returncode == 1
    nonsense = run("verify", "--vkey", "nonsense", settings=settings)
    assert nonsense.returncode == 2
    assert "Traceback" not in nonsense.stderr
    (tmp_path / "empty").mkdir()
    (tmp_path / "junk").write_text("junk")
    for place in ("empty", "junk"):
        mistaken = run("verify", "--tree-head", tmp_path / place, settings=settings)
        assert mistaken.returncode == 2
        assert place in mistaken.stderr


def test_verify_without_a_key_says_that_it_took_the_databases_own(migrated_url: str) -> None:
    Log(migrated_url, [3])
    answer = start("verify", settings={"database_url": migrated_url, "log_key": ""})
    assert answer.returncode == 4, answer.stderr
    assert "The public key was taken from the database itself." in answer.stdout
    told = run("verify", settings={"database_url": migrated_url})
    assert (told.returncode, "taken from the database" in told.stdout) == (0, False)


def test_a_log_from_before_signing_is_adopted_once(migrated_url: str) -> None:
    log = Log(migrated_url, [600])
    log.attack("DELETE FROM audit_trail.tree_head", "DELETE FROM audit_trail.log_key")
    settings = {"database_url": migrated_url}
    assert run("verify", settings=settings).returncode == 1
    adopted = run("keys", "adopt", settings=settings)
    assert adopted.returncode == 0, adopted.stderr
    assert run("verify", settings=settings).returncode == 0
    assert run("keys", "adopt", settings=settings).returncode == 2
    log.add(3)
    assert run("verify", settings=settings).returncode == 0


def test_a_log_whose_rows_do_not_fit_its_tree_is_not_adopted(migrated_url: str) -> None:
    log = Log(migrated_url, [600])
    log.attack(
        "DELETE FROM audit_trail.tree_head",
        "UPDATE audit_trail.event SET recorded_at = now() WHERE position = 2",
    )
    refused = start("keys", "adopt", settings={"database_url": migrated_url})
    assert refused.returncode == 3
    assert "tile 0/0" in refused.stderr


def test_ingest_and_guard_refuse_a_database_that_was_restored_from_an_older_copy(
    databases: Databases,
    broker: Broker,
    make_topic: TopicFactory,
    tmp_path: Path,
) -> None:
    with databases.copy(MIGRATED) as url:
        settings = {
            "database_url": url,
            "kafka_bootstrap_servers": broker.bootstrap_servers,
            "kafka_topics": make_topic(),
            "kafka_assignment": "static",
            "heads_topic": make_topic(1),
            "heads_folder": str(tmp_path / "heads"),
            "heads_interval_seconds": "0.2",
            "verify_interval_seconds": "0.5",
        }
        file = tmp_path / "events.ndjson"
        events = [encode_event(event) for event in simulate(3, START, 200)]
        newest = tmp_path / "heads" / "checkpoint"

        def published() -> int:
            return open_head(newest.read_bytes(), [KEY.verifier])[0].size if newest.exists() else -1

        def publish(some: list[bytes]) -> None:
            file.write_bytes(b"\n".join(some))
            assert run("publish", file, settings=settings).returncode == 0

        with running(tmp_path, "guard", "ingest", settings=settings):
            publish(events[:100])
            assert eventually(lambda: published() == 100)
        name = url.partition("?")[0].rpartition("/")[2]
        with databases.copy(name) as older:
            with running(tmp_path, "guard", "ingest", settings=settings):
                publish(events[100:])
                assert eventually(lambda: published() >= len(events))
            restored = settings | {"database_url": older}
            ended = run("ingest", settings=restored)
            assert ended.returncode == 3
            assert "restored from an older backup" in ended.stderr
            assert "Traceback" not in ended.stderr
            only_topic = restored | {"heads_folder": str(tmp_path / "empty")}
            assert run("ingest", settings=only_topic).returncode == 3
            # The guard stays up and says so; what it finds waits in Kafka for a log that may be extended again.
            with running(tmp_path, "guard", settings=restored) as parts:
                assert eventually(lambda: "integrity_check_failed" in parts["guard"].log_tail(50))
            assert published() >= len(events)
            # Under a new name the restored log is another one, and goes on.
            key = new_key("audit-trail.test/after-restore") + KEY.verifier.encode() + "\n"
            renamed = restored | {"log_key": key, "heads_folder": str(tmp_path / "anew")}
            with running(tmp_path, "guard", "ingest", settings=renamed):
                assert eventually((tmp_path / "anew" / "checkpoint").exists)
                assert eventually(lambda: rows(older) >= len(events))
            assert run("verify", settings=renamed).returncode == 0


def rows(url: str) -> int:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT size FROM audit_trail.log_state")
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def test_ingest_with_a_key_of_another_log_ends_at_its_start_and_not_at_the_first_event(
    migrated_url: str, broker: Broker, topic: str
) -> None:
    Log(migrated_url, [30])
    settings = {
        "database_url": migrated_url,
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "kafka_topics": topic,
        "heads_topic": "",
    }
    ended = run("ingest", settings=settings | {"log_key": new_key("audit-trail.test/log")}, timeout=60)
    assert ended.returncode == 3
    assert "the newest head (size 30) is not signed by a key of this log" in ended.stderr


def test_ingest_does_not_append_to_a_log_whose_end_was_altered(
    migrated_url: str, broker: Broker, topic: str
) -> None:
    log = Log(migrated_url, [300])
    log.attack("UPDATE audit_trail.event SET recorded_at = now() WHERE position = 299")
    ended = run(
        "ingest",
        settings={
            "database_url": migrated_url,
            "kafka_bootstrap_servers": broker.bootstrap_servers,
            "kafka_topics": topic,
            "heads_topic": "",
        },
    )
    assert ended.returncode == 3
    assert "nothing is appended: position 299: the event was altered" in ended.stderr
