"""Evidence kits as people make them, and as others check them: `verify.py` in a process that has nothing of ours."""

from __future__ import annotations

import ast
import html
import json
import re
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid4

import psycopg2

from domain.body import BodyFormat, foreign_message
from domain.event import Actor, Source
from domain.recording_gap import Cause, Decision, RecordingGap
from event_store.append import NewEvent, OffsetAdvance, append
from event_store.database import INGEST, Database
from event_store.gaps import Move, append_gaps
from event_store.streams import open_kafka_stream
from event_store.tlog.proof_files import parse_proof
from event_store.tlog.tree_heads import open_head
from tests.audit_trail.evidence.kits import (
    VKEY,
    WITNESS,
    bad,
    files,
    good,
    made,
)
from tests.hospital import read, record
from tests.signing import KEY, signer


def test_a_kit_is_checked_with_nothing_but_itself_and_the_public_key(kit: Path) -> None:
    said = good(kit, "--vkey", VKEY, "--witness", WITNESS.verifier.encode())
    assert "OK: 4 events are in the log audit-trail.test/log, in its tree of 10 events" in said
    assert "cosigned by witness.example/w1 at 20" in said
    assert "WARNING" not in said
    assert all(each.stat().st_mode & 0o777 == 0o600 for each in files(kit))
    assert {each.relative_to(kit).as_posix() for each in files(kit)} == {
        "README.txt", "SHA256SUMS", "checkpoint", "events.ndjson", "keys/log.vkey", "keys/witnesses.vkey",
        "manifest.json", "report.html", "report.py", "verify.py",
        *(f"{kind}/{n}{end}" for n in (2, 3, 5, 6) for kind, end in
          (("bodies", ""), ("entries", ""), ("proofs", ".tlog-proof"))),
    }  # fmt: skip
    sums = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=kit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (sums.returncode, len(sums.stdout.splitlines())) == (0, len(files(kit)) - 1)


def test_a_kit_holds_what_was_stored_byte_for_byte(kit: Path, trail_url: str) -> None:
    lines = [json.loads(line) for line in (kit / "events.ndjson").read_bytes().splitlines()]
    assert [line["position"] for line in lines] == [2, 3, 5, 6]
    with closing(psycopg2.connect(trail_url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT position, body FROM audit_trail.event WHERE position = ANY(%s)", ([2, 3, 5, 6],)
        )
        for position, body in cursor.fetchall():
            assert (kit / f"bodies/{position}").read_bytes() == bytes(body)
    head, _ = open_head((kit / "checkpoint").read_bytes(), [KEY.verifier])
    assert head.size == 10  # the newest head is larger, but nobody has cosigned it
    for line in lines:
        proof = parse_proof((kit / f"proofs/{line['position']}.tlog-proof").read_bytes())
        assert proof.note == (kit / "checkpoint").read_bytes()
        assert proof.extra == (kit / f"entries/{line['position']}").read_bytes()
    manifest = json.loads((kit / "manifest.json").read_text())
    assert manifest["selection"] == {"patient": "17"}
    assert (manifest["events"], manifest["as_of_position"]) == ("4", "10")


def test_the_verifier_is_written_for_the_pythons_that_inspectors_have(kit: Path) -> None:
    for name in ("verify.py", "report.py"):
        source = (kit / name).read_text("utf-8")
        ast.parse(source, feature_version=(3, 9))
        imported = set(re.findall(r"(?m)^(?:from|import) (\w+)", source))
        assert imported <= {"cryptography", *sys.stdlib_module_names}


def test_a_zip_is_checked_packed_and_unpacked(trail_url: str, tmp_path: Path, kit: Path) -> None:
    packed = made(trail_url, tmp_path / "packed.zip", "--user", "mallory")
    assert packed.stat().st_mode & 0o777 == 0o600
    said = good(packed, by=kit)
    assert "OK: 1 events are in the log audit-trail.test/log, in its tree of 11 events" in said
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "unpacked")
    good(tmp_path / "unpacked" / "packed")
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("packed/bodies/1", b"{}")
    assert "bodies/1" in bad(packed, by=kit)
    packed.write_bytes(packed.read_bytes()[:-40])
    bad(packed, by=kit)
    (tmp_path / "no.zip").write_bytes(b"PK")
    bad(tmp_path / "no.zip", by=kit)


def test_a_report_shows_hostile_texts_as_texts(trail_url: str, tmp_path: Path) -> None:
    kit = made(trail_url, tmp_path / "kit", "--user", "mallory")
    good(kit)
    page = (kit / "report.html").read_text("utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e&amp;&lt;b&gt;" in page
    assert "\\x00\\x1b[31m" in page
    assert not re.search(
        r"(?i)https?://|javascript:|<(?!/?(html|head|meta|title|style|body|main|h1|h2|p|section|table|tr|th|td|!DOCTYPE)\b)",
        page,
    )
    assert "record.read" in page
    assert "default-src 'none'" in page


PRETTY = (
    b'{\r\n "event_id": "0193A2A5-7C1E-7B44-9A53-0C5F6F0F1A0F",\n "type": "record.read",\n'
    b' "occurred_at": "2026-03-01T08:15:30Z", "source": {"service": "s"}, "actor": {"id": "zed"},\n'
    b' "patients": [{"id": "17"}], "resources": [{"type": "O", "id": "1"}],\n'
    b' "attributes": {"n": 123456789012345678901234567890, "f": 1.0e-7}\r\n}\n'
)


def test_a_message_is_evidence_in_the_form_in_which_it_came(projected_url: str, tmp_path: Path) -> None:
    other = read(1)
    message = b'{\n"resourceType": "AuditEvent"\n}\n'
    bodies = {
        UUID("0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a0f"): (BodyFormat.NATIVE, PRETTY),
        other.event_id: (BodyFormat.FHIR_R4, foreign_message(other, BodyFormat.FHIR_R4, [], message).body),
    }
    with closing(Database(projected_url, INGEST, size=1)) as database, database.transaction() as connection:
        stream = open_kafka_stream(connection, "audit.events", uuid4(), 0).stream
        rows = [
            NewEvent(event_id, stream, at, "record.read", other.occurred_at, *body)
            for at, (event_id, body) in enumerate(bodies.items())
        ]
        append(connection, rows, signer(), offsets=[OffsetAdvance(stream, 0, len(rows))])
    record(projected_url, [])
    kit = made(projected_url, tmp_path / "kit", "--patient", "17")
    assert "OK: 2 events" in good(kit)
    assert (kit / "bodies/0").read_bytes() == PRETTY
    assert (kit / "bodies/1").read_bytes().endswith(message)
    lines = [json.loads(line)["event"] for line in (kit / "events.ndjson").read_bytes().splitlines()]
    assert lines[0] == json.loads(PRETTY)
    assert lines[1]["event_id"] == str(other.event_id)
    assert "n: 123456789012345678901234567890, f: 1.0e-7" in (kit / "report.html").read_text()


def test_a_kit_names_the_recording_gaps_of_its_log(trail_url: str, tmp_path: Path) -> None:
    with closing(Database(trail_url, INGEST, size=1)) as database, database.transaction() as connection:
        topic_id = uuid4()
        stream = open_kafka_stream(connection, "audit.events", topic_id, 1).stream
        gap = RecordingGap(
            topic="audit.events",
            topic_id=topic_id,
            partition=1,
            stream=stream,
            cause=Cause.DELETED_BY_RETENTION,
            first_lost_offset=0,
            last_lost_offset=8,
            count=9,
            continued_from=9,
        )
        decision = Decision("n.operator", "the outage was too long")
        append_gaps(connection, [Move(gap, 0)], decision, Source(service="audit-trail"), signer())
    record(trail_url, [])
    kit = made(trail_url, tmp_path / "kit", "--patient", "17")
    good(kit)
    said = (
        "offsets 0 to 8 were deleted before they were read; accepted by n.operator: the outage was too long"
    )
    assert said in (kit / "report.html").read_text()
    assert [said in gap for gap in json.loads((kit / "manifest.json").read_text())["recording_gaps"]] == [
        True
    ]


def test_no_text_of_an_event_can_pass_for_another_field_or_line(migrated_url: str, tmp_path: Path) -> None:
    hidden = "a\u200bb\u2066c\u00add\ufe0fe\U000e0041f\x1b[2Jg\u2028h"
    record(
        migrated_url,
        [
            read(1, "17", actor=Actor(id="eve", name="Ann, id: u9"), reason="none\nOutcome: success"),
            read(2, "17", actor=Actor(id="eve", name='Ann", id: "u9'), reason="none\\nOutcome"),
            read(3, "17", actor=Actor(id="eve", name=hidden), reason="=HYPERLINK(1)|[a](b)<i>"),
        ],
    )
    kit = made(migrated_url, tmp_path / "kit", "--patient", "17")
    assert "OK: 3 events" in good(kit)
    page = html.unescape((kit / "report.html").read_text("utf-8"))
    assert 'name: "Ann, id: u9"' in page
    assert 'name: "Ann\\", id: \\"u9"' in page
    assert '"none\\nOutcome: success"' in page
    assert '"none\\\\nOutcome"' in page
    assert '"=HYPERLINK(1)|[a](b)<i>"' in page
    assert 'name: "a\\u200bb\\u2066c\\xadd\\ufe0fe\\U000e0041f\\x1b[2Jg\\u2028h"' in page
    assert "\nOutcome: success" not in page
