"""Evidence kits as people make them, and as others check them: `verify.py` in a process that has nothing of ours."""

from __future__ import annotations

import ast
import hashlib
import html
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import psycopg2
import pytest

from domain.body import BodyFormat, foreign_message
from domain.errors import ConfigurationError
from domain.event import Actor, AuditEvent, Patient, Source
from domain.recording_gap import Cause, Decision, RecordingGap
from event_store.append import NewEvent, OffsetAdvance, append
from event_store.database import GUARD, INGEST, Database
from event_store.evidence.kit import grouped
from event_store.evidence.storage import new_kit
from event_store.gaps import Move, append_gaps
from event_store.heads import add_cosignature, newest_head
from event_store.streams import open_kafka_stream
from event_store.tlog import cosignatures
from event_store.tlog.notes import COSIGNATURE_V1, Note, SigningKey
from event_store.tlog.proof_files import parse_proof
from event_store.tlog.tree_heads import open_head
from tests.audit_trail import programs
from tests.graphql_api.trail import event, read, record
from tests.signing import KEY, signer

VKEY = KEY.verifier.encode()
WITNESS = SigningKey.generate("witness.example/w1", COSIGNATURE_V1)
HOSTILE = "</td><script>alert(1)</script>\u202e&<b>"


def make(url: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    # How it is put on record has tests of its own.
    return programs.run("evidence", *arguments, settings={"database_url": url, "reads_unrecorded": "flag"})


def made(url: str, out: Path, *arguments: str) -> Path:
    done = make(url, *arguments, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def check(verifier: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a verifier as an inspector does, in a folder where nothing of the project can be imported."""
    folder = verifier.parent.parent / "empty"
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-I", str(verifier), *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={},
    )


def bad(kit: Path, *arguments: str | Path, by: Path | None = None) -> str:
    """What the verifier says of a kit that does not hold."""
    done = check((by or kit) / "verify.py", kit, *(arguments or ("--vkey", VKEY)))
    assert done.returncode == 1, (done.stdout, done.stderr)
    return done.stdout + done.stderr


def good(kit: Path, *arguments: str | Path, by: Path | None = None) -> str:
    done = check((by or kit) / "verify.py", kit, *(arguments or ("--vkey", VKEY)))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


def files(kit: Path) -> list[Path]:
    return sorted(each for each in kit.rglob("*") if each.is_file())


def settle(kit: Path) -> None:
    """What a forger does last: a manifest and sums that fit."""
    manifest = json.loads((kit / "manifest.json").read_text())
    own = {kit / "manifest.json", kit / "SHA256SUMS"}
    manifest["files"] = {
        each.relative_to(kit).as_posix(): hashlib.sha256(each.read_bytes()).hexdigest()
        for each in files(kit)
        if each not in own
    }
    (kit / "manifest.json").write_text(json.dumps(manifest))
    lines = [f"{digest}  {name}\n" for name, digest in manifest["files"].items()]
    digest = hashlib.sha256((kit / "manifest.json").read_bytes()).hexdigest()
    (kit / "SHA256SUMS").write_text("".join(lines) + f"{digest}  manifest.json\n")


def cosign(url: str) -> None:
    with closing(Database(url, GUARD, size=1)) as database, database.transaction() as connection:
        head = newest_head(connection)
        assert head is not None
        signature = cosignatures.cosign(WITNESS, Note.parse(head.note).text, int(time.time()))
        add_cosignature(connection, head.size, WITNESS.verifier, signature.line())


def about(event: AuditEvent, patient: str) -> bool:
    return any(each.id == patient for each in event.patients)


@pytest.fixture
def trail_url(hospital_url: str) -> str:
    """The hospital's morning, cosigned, and an event whose texts are hostile after it."""
    cosign(hospital_url)
    record(
        hospital_url, [read(20, "99", actor=Actor(id="mallory", name=HOSTILE), reason="\u0000\u001b[31m\r\n")]
    )
    return hospital_url


@pytest.fixture
def kit(trail_url: str, tmp_path: Path) -> Path:
    """The kit of patient 17: positions 2, 3, 5 and 6."""
    return made(trail_url, tmp_path / "kit", "--patient", "17")


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


def test_a_byte_that_is_changed_in_any_file_is_found_and_the_file_is_named(kit: Path, tmp_path: Path) -> None:
    pristine = shutil.copytree(kit, tmp_path / "pristine")
    for file in files(kit):
        before = file.read_bytes()
        at = len(before) // 2
        file.write_bytes(before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :])
        name = file.relative_to(kit).as_posix()
        said = bad(kit, by=pristine)
        assert said.startswith("BAD: ")
        assert name in said or name == "SHA256SUMS", said
        file.write_bytes(before)
    good(kit)


def test_the_verifier_is_written_for_the_pythons_that_inspectors_have(kit: Path) -> None:
    for name in ("verify.py", "report.py"):
        source = (kit / name).read_text("utf-8")
        ast.parse(source, feature_version=(3, 9))
        imported = set(re.findall(r"(?m)^(?:from|import) (\w+)", source))
        assert imported <= {"cryptography", *sys.stdlib_module_names}


def test_a_changed_verifier_notices_that_it_is_one(kit: Path) -> None:
    file = kit / "verify.py"
    file.write_text(file.read_text().replace("Check an evidence kit.", "Check an Evidence kit."))
    assert "verify.py" in bad(kit)


def test_no_other_file_of_a_kit_is_loaded_as_a_program(kit: Path) -> None:
    for name in ("uuid", "__future__", "argparse", "html", "cryptography", "typing", "zlib"):
        (kit / f"{name}.py").write_text("print('OK: forged')\nraise SystemExit(0)\n")
    for started in ([str(kit / "verify.py")], ["verify.py", str(kit)], ["-I", "verify.py"]):
        done = subprocess.run(
            [sys.executable, *started, "--vkey", VKEY],
            cwd=kit,
            capture_output=True,
            text=True,
            check=False,
            env={},
        )
        assert done.returncode == 1, done.stderr
        assert done.stdout.startswith("BAD: __future__.py: it is in the kit and not in the manifest")


def test_a_kit_that_is_made_to_exhaust_its_reader_is_bad_in_one_line(kit: Path, tmp_path: Path) -> None:
    def said(forged: Path) -> str:
        answer = bad(forged, by=kit)
        assert "Traceback" not in answer
        assert [line[:5] for line in answer.splitlines() if "cosigned by" not in line] == ["BAD: "]
        return answer

    deep = shutil.copytree(kit, tmp_path / "deep")
    (deep / "manifest.json").write_text("[" * 200_000)
    digest = hashlib.sha256((deep / "manifest.json").read_bytes()).hexdigest()
    (deep / "SHA256SUMS").write_text(f"{digest}  manifest.json\n")
    assert "manifest.json: its JSON is nested deeper" in said(deep)
    for name in ("SHA256SUMS", "manifest.json", "checkpoint", "keys/witnesses.vkey", "entries/2", "bodies/2"):
        large = shutil.copytree(kit, tmp_path / "large")
        with (large / name).open("ab") as grown:
            grown.truncate(300 << 20)  # a hole: it takes no room on the disk
        if name not in {"SHA256SUMS", "manifest.json"}:
            settle(large)
        assert f"{name}: " in said(large)
        shutil.rmtree(large)
    packed = tmp_path / "bomb.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files(kit):
            if file.name != "SHA256SUMS":
                archive.write(file, file.relative_to(kit).as_posix())
        with archive.open("SHA256SUMS", "w", force_zip64=True) as inflating:
            for _ in range(80):
                inflating.write(bytes(1 << 20))
    assert "SHA256SUMS: it is larger than" in said(packed)


def remove(kit: Path, name: str) -> None:
    (kit / name).unlink()


def add(kit: Path, name: str) -> None:
    (kit / name).write_bytes(b"{}")


def swap(kit: Path, one: str, other: str) -> None:
    first = (kit / one).read_bytes()
    (kit / one).write_bytes((kit / other).read_bytes())
    (kit / other).write_bytes(first)


def edit(kit: Path, name: str, old: bytes, new: bytes) -> None:
    before = (kit / name).read_bytes()
    assert old in before
    (kit / name).write_bytes(before.replace(old, new))


def swap_all(kit: Path) -> None:
    for name in ("bodies/{}", "entries/{}", "proofs/{}.tlog-proof"):
        swap(kit, name.format(2), name.format(3))


def edit_everywhere(kit: Path) -> None:
    """The event of position 2 with another purpose, in body, entry, line and report."""
    for name in ("bodies/2", "events.ndjson", "report.html"):
        edit(kit, name, b"TREAT", b"HRSCH")
    digest = hashlib.sha256((kit / "bodies/2").read_bytes()).hexdigest().encode()
    entry = (kit / "entries/2").read_bytes()
    (kit / "entries/2").write_bytes(entry[:-65] + digest + b"\n")


def drop_event(kit: Path) -> None:
    lines = (kit / "events.ndjson").read_bytes().splitlines(keepends=True)
    (kit / "events.ndjson").write_bytes(b"".join(lines[1:]))
    for name in ("bodies/2", "entries/2", "proofs/2.tlog-proof"):
        remove(kit, name)


def repeat_event(kit: Path) -> None:
    lines = (kit / "events.ndjson").read_bytes().splitlines(keepends=True)
    (kit / "events.ndjson").write_bytes(b"".join([lines[0], *lines]))
    edit(kit, "manifest.json", b'"events": "4"', b'"events": "5"')
    edit(kit, "report.html", b"<td>4</td>", b"<td>5</td>")


def resign(kit: Path) -> None:
    """A tree head of one's own."""
    key = SigningKey.generate("audit-trail.test/log")
    note = Note.parse((kit / "checkpoint").read_bytes())
    forged = Note(note.text, (key.sign(note.text),)).encode()
    for file in [kit / "checkpoint", *(kit / "proofs").iterdir()]:
        file.write_bytes(file.read_bytes().replace((kit / "checkpoint").read_bytes(), forged))
    for file in (kit / "proofs").iterdir():
        file.write_bytes(file.read_bytes().split(b"\n\n")[0] + b"\n\n" + forged)
    (kit / "keys/log.vkey").write_text(key.verifier.encode() + "\n")


FORGERIES: dict[str, Callable[[Path], None]] = {
    "bodies/2": lambda kit: edit(kit, "bodies/2", b"TREAT", b"HRSCH"),
    "events.ndjson": lambda kit: edit(kit, "events.ndjson", b"TREAT", b"HRSCH"),
    "report.html": lambda kit: edit(kit, "report.html", b"record.updated", b"record.read"),
    "report.html ": lambda kit: edit(kit, "report.html", b"</main>", b"<p>All is well.</p></main>"),
    "entries/2": lambda kit: edit(kit, "entries/2", b"audit-trail-entry/1\n2\n", b"audit-trail-entry/1\n4\n"),
    "proofs/2.tlog-proof": lambda kit: edit(kit, "proofs/2.tlog-proof", b"index 2", b"index 1"),
    "proofs/3.tlog-proof": lambda kit: swap(kit, "proofs/3.tlog-proof", "proofs/5.tlog-proof"),
    "checkpoint": lambda kit: edit(kit, "checkpoint", b"\n10\n", b"\n11\n"),
    "bodies/2 ": lambda kit: remove(kit, "bodies/2"),
    "proofs/6.tlog-proof": lambda kit: remove(kit, "proofs/6.tlog-proof"),
    "bodies/9": lambda kit: add(kit, "bodies/9"),
    "entries/2 ": swap_all,
    "proofs/2.tlog-proof ": edit_everywhere,
    "events.ndjson ": repeat_event,
    "checkpoint ": resign,
    "manifest.json": lambda kit: edit(kit, "manifest.json", b'"events": "4"', b'"events": "5"'),
    "manifest.json ": lambda kit: edit(kit, "manifest.json", b'"size": "10"', b'"size": "11"'),
}


def test_a_forger_who_makes_all_digests_fit_is_found(kit: Path, tmp_path: Path) -> None:
    for name, forge in FORGERIES.items():
        forged = shutil.copytree(kit, tmp_path / "forged")
        forge(forged)
        settle(forged)
        assert f"BAD: {name.strip()}: " in bad(forged, by=kit)
        shutil.rmtree(forged)
    incomplete = shutil.copytree(kit, tmp_path / "forged")
    drop_event(incomplete)
    settle(incomplete)
    assert "another number of events" in bad(incomplete, by=kit)


def test_a_key_of_somebody_else_or_a_witness_that_did_not_sign_is_no_proof(kit: Path) -> None:
    other = SigningKey.generate("audit-trail.test/log").verifier.encode()
    assert "checkpoint: no key that was given has signed it" in bad(kit, "--vkey", other)
    assert "no key that was given" in bad(kit, "--vkey", WITNESS.verifier.encode())
    stranger = SigningKey.generate("witness.example/w1", COSIGNATURE_V1).verifier.encode()
    assert "has not cosigned" in bad(kit, "--vkey", VKEY, "--witness", stranger)
    assert "has not cosigned" in bad(kit, "--vkey", VKEY, "--witness", VKEY)
    for text in ("", "x", VKEY[:-4], VKEY.replace("audit-trail", "audit-trial"), "a+b+\u00e9"):
        bad(kit, "--vkey", text)
    said = good(kit, "--vkey", other, "--vkey", VKEY)
    assert "WARNING" in said  # the witness's key is the kit's own
    alone = check(kit / "verify.py")
    assert (alone.returncode, "proves nothing about who made it" in alone.stdout) == (4, True)
    assert "OK:" not in alone.stdout
    digest = hashlib.sha256((kit / "manifest.json").read_bytes()).hexdigest()
    good(kit, "--vkey", VKEY, "--manifest", digest)
    assert "manifest.json" in bad(kit, "--vkey", VKEY, "--manifest", "0" * 64)


def test_bodies_are_read_in_groups_of_a_bounded_size() -> None:
    sizes = [(1, 40), (2, 60), (4, 1), (7, 500), (8, 99), (9, 1)]
    assert list(grouped(sizes, 100)) == [[1, 2], [4], [7], [8, 9]]
    assert list(grouped([], 100)) == []


@pytest.mark.parametrize("way", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_is_compressed_as_no_kit_is_bad_before_it_is_unpacked(
    way: int, kit: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "bomb.zip"
    with (
        zipfile.ZipFile(packed, "w", way) as archive,
        archive.open("bodies/0", "w", force_zip64=True) as bomb,
    ):
        for _ in range(64):
            bomb.write(bytes(1 << 20))
    assert "bodies/0: it is compressed in a way that no kit is" in bad(packed, by=kit)


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


def test_events_are_chosen_by_time_user_device_and_id(trail_url: str, tmp_path: Path) -> None:
    def chosen(name: str, *arguments: str) -> list[int]:
        kit = made(trail_url, tmp_path / name, *arguments)
        good(kit)
        return [json.loads(line)["position"] for line in (kit / "events.ndjson").read_bytes().splitlines()]

    assert chosen("user", "--user", "bob") == [4, 5]
    assert chosen("both", "--user", "ada", "--patient", "17") == [2, 3, 6]
    assert chosen("device", "--device", "pump-1") == [7]
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
    refused(1, "no event has the id", "--event", "0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a01", "--out", out)
    refused(1, "UUID", "--event", "x", "--out", out)
    refused(1, "offset", "--patient", "17", "--from", "2026-03-01T08:00:00", "--out", out)
    refused(1, "--to", "--patient", "17", "--to", "yesterday", "--out", out)
    refused(1, "--to", "--patient", "17", "--from", "2026-03-02", "--to", "2026-03-01", "--out", out)
    refused(1, "--from", "--patient", "17", "--from", "", "--out", out)
    refused(1, "device", "--patient", "17", "--device", "", "--out", out)
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


def test_a_kit_is_not_read_through_links_and_no_name_in_it_can_pass_for_a_result(
    kit: Path, tmp_path: Path
) -> None:
    for plant in (
        lambda file: file.symlink_to("/etc/passwd"),
        lambda file: file.symlink_to(kit / "nowhere"),
        lambda file: file.symlink_to(kit / "bodies"),
        os.mkfifo,
    ):
        forged = shutil.copytree(kit, tmp_path / "forged")
        (forged / "bodies/2").unlink()
        plant(forged / "bodies/2")
        assert bad(forged, by=kit) == "BAD: bodies/2: it is no regular file\n"
        shutil.rmtree(forged)
    forged = shutil.copytree(kit, tmp_path / "forged")
    (forged / "x\nOK: 4 events are in the log \u202e").touch()
    assert '"x\\nOK: 4 events are in the log \\u202e"' in bad(forged, by=kit)
    packed = tmp_path / "packed.zip"
    for name in ("../bodies/2", "/etc/passwd", "kit/../../evil"):
        with zipfile.ZipFile(packed, "w") as archive:
            for file in files(kit):
                archive.write(file, f"kit/{file.relative_to(kit).as_posix()}")
            archive.writestr(name, "evil")
        bad(packed, by=kit)
        assert not (tmp_path / "evil").exists()
