"""Making a kit: which events it holds, what is refused, and where it is written."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pytest

from domain.errors import ConfigurationError
from domain.event import Patient
from event_store.evidence.storage import new_kit
from event_store.tlog.notes import SigningKey
from tests.audit_trail import programs
from tests.audit_trail.evidence.kits import (
    VKEY,
    good,
    made,
    make,
)
from tests.hospital import event, record


def test_events_are_chosen_by_time_user_device_and_id(trail_url: str, tmp_path: Path) -> None:
    def chosen(name: str, *arguments: str) -> list[int]:
        kit = made(trail_url, tmp_path / name, *arguments)
        good(kit)
        return [json.loads(line)["position"] for line in (kit / "events.ndjson").read_bytes().splitlines()]

    assert chosen("user", "--user", "bob") == [4, 5]
    assert chosen("both", "--user", "ada", "--patient", "17") == [2, 3, 6]
    assert chosen("device", "--device", "pump-1") == [7]
    many = ("--patient", "17", "--patient", "18", "--action", "R", "--action", "U")
    assert chosen("many", *many, "--occurred-from", "2026-03-01T08:05:00Z") == [5, 6]
    assert chosen("resource", "--resource-type", "Observation", "--resource-id", "o-18") == [4]
    times = ("--from", "2026-03-01T08:03:00Z", "--to", "2026-03-01T09:06:00+01:00")
    assert chosen("times", "--patient", "17", *times) == [3, 5]
    assert chosen("day", "--patient", "17", "--from", "2026-03-01", "--to", "2026-03-02") == [2, 3, 5, 6]
    with closing(psycopg2.connect(trail_url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT event_id FROM audit_trail.event WHERE position IN (1, 8) ORDER BY position DESC"
        )
        ids = [str(row[0]) for row in cursor.fetchall()]
    assert chosen("ids", "--event", ids[0], "--event", ids[1], "--event", ids[0].upper()) == [1, 8]


def test_what_can_not_be_written_is_said_and_nothing_is_left(trail_url: str, tmp_path: Path) -> None:
    def refused(code: int, says: str, *arguments: str | Path) -> None:
        before = sorted(tmp_path.iterdir())
        done = make(trail_url, *arguments)
        assert (done.returncode, done.stdout) == (code, ""), done
        assert says in done.stderr, done.stderr
        assert sorted(tmp_path.iterdir()) == before

    out = tmp_path / "kit"
    refused(1, "nothing to write", "--patient", "nobody", "--out", out)
    refused(1, "nothing to write", "--patient", "17", "--from", "2027-01-01", "--out", out)
    refused(2, "no event has the id", "--event", "0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a01", "--out", out)
    refused(2, "UUID", "--event", "x", "--out", out)
    refused(2, "offset", "--patient", "17", "--from", "2026-03-01T08:00:00", "--out", out)
    refused(2, "--to", "--patient", "17", "--to", "yesterday", "--out", out)
    refused(2, "--to", "--patient", "17", "--from", "2026-03-02", "--to", "2026-03-01", "--out", out)
    refused(2, "--from", "--patient", "17", "--from", "", "--out", out)
    refused(2, "device", "--patient", "17", "--device", "", "--out", out)
    refused(2, "say which events", "--out", out)
    refused(2, "say which events", "--event", "x", "--patient", "17", "--out", out)
    refused(2, "no folder", "--patient", "17", "--out", tmp_path / "none" / "kit")
    made(trail_url, out, "--patient", "17")
    refused(2, "--force", "--patient", "17", "--out", out)
    made(trail_url, out, "--patient", "18", "--force")
    good(out)
    assert json.loads((out / "manifest.json").read_text())["selection"] == {"patient": "18"}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    refused(2, "not an evidence kit", "--patient", "17", "--out", tmp_path / "mine", "--force")
    (tmp_path / "mine.zip").touch()
    refused(2, "--force", "--patient", "17", "--out", tmp_path / "mine.zip")
    made(trail_url, tmp_path / "mine.zip", "--patient", "17", "--force")


def test_an_event_that_was_altered_in_the_database_is_not_given_out_as_evidence(
    trail_url: str, tmp_path: Path
) -> None:
    with closing(psycopg2.connect(trail_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "UPDATE audit_trail.event SET body = replace(convert_from(body, 'UTF8'), 'TREAT', 'HRSCH')::bytea"
            " WHERE position = 3"
        )
    done = make(trail_url, "--patient", "17", "--out", tmp_path / "kit")
    assert done.returncode == 3
    assert "position 3 is not the one that was signed" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_many_events_go_through_page_by_page(projected_url: str, tmp_path: Path) -> None:
    record(projected_url, [event("record.read", n, patients=(Patient(id="17"),)) for n in range(1100)])
    kit = made(projected_url, tmp_path / "kit.zip", "--patient", "17")
    small = made(projected_url, tmp_path / "small", "--patient", "17", "--to", "2026-03-01T08:01:00Z")
    assert "OK: 1100 events" in good(kit, by=small)
    assert "cosigned by" not in good(small)


def test_a_kit_is_not_written_through_what_was_planted(tmp_path: Path) -> None:
    at = datetime.now(UTC)
    victim, shared = tmp_path / "victim", tmp_path / "shared"
    victim.mkdir()
    shared.mkdir()
    for mark in ("manifest.json", "SHA256SUMS", "verify.py"):
        (victim / mark).write_text("mine")

    def refused(out: Path, *, force: bool = True) -> None:
        with pytest.raises(ConfigurationError), new_kit(out, at, force=force) as store:
            store.add("manifest.json", io.BytesIO(b"ours"))
        assert {each.read_text() for each in victim.iterdir()} == {"mine"}
        assert len(list(victim.iterdir())) == 3

    for name in ("kit", "kit.zip"):
        for planted in (victim, victim / "manifest.json", victim / "nowhere"):
            (shared / name).symlink_to(planted)
            refused(shared / name)
            refused(shared / name, force=False)
            (shared / name).unlink()
        os.mkfifo(shared / name)
        refused(shared / name)
        (shared / name).unlink()
    (shared / "kit").mkdir()
    for each in list(victim.iterdir()):
        (shared / "kit" / each.name).symlink_to(each)
    refused(shared / "kit")
    shutil.rmtree(shared / "kit")
    shared.chmod(0o777)
    refused(shared / "kit")
    assert list(shared.iterdir()) == []
    shared.chmod(0o1777)
    for name in ("kit", "kit.zip"):
        with new_kit(shared / name, at, force=False) as store:
            store.add("keys/log.vkey", io.BytesIO(b"ours"))
    assert (shared / "kit" / "keys" / "log.vkey").read_bytes() == b"ours"
    assert sorted(each.name for each in shared.iterdir()) == ["kit", "kit.zip"]


def test_a_kit_that_only_the_databases_own_keys_vouch_for_has_an_exit_code_of_its_own(
    trail_url: str, tmp_path: Path
) -> None:
    def evidence(out: str, **settings: str) -> subprocess.CompletedProcess[str]:
        asked = ("evidence", "--patient", "17", "--out", tmp_path / out)
        told = {"database_url": trail_url, "reads_unrecorded": "flag", "log_key": ""}
        return programs.run(*asked, settings=told | settings)

    alone = evidence("alone")
    assert (alone.returncode, "taken from the database itself" in alone.stdout) == (4, True), alone.stderr
    good(tmp_path / "alone")
    assert evidence("told", log_vkeys=VKEY).returncode == 0
    other = SigningKey.generate("audit-trail.test/log").verifier.encode()
    assert evidence("other", log_vkeys=other).returncode == 3
    assert not (tmp_path / "other").exists()
