"""A kit that somebody has changed, or made to do harm, is bad in one line."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from event_store.evidence.kit import grouped
from event_store.tlog.notes import COSIGNATURE_V1, Note, SigningKey
from tests.audit_trail.evidence.kits import (
    VKEY,
    WITNESS,
    bad,
    check,
    files,
    good,
    settle,
)


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


@pytest.mark.thorough
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
    assert "its number of events differs" in bad(incomplete, by=kit)


def test_a_key_of_somebody_else_or_a_witness_that_did_not_sign_is_no_proof(kit: Path) -> None:
    other = SigningKey.generate("audit-trail.test/log").verifier.encode()
    assert "checkpoint: none of the given keys has signed it" in bad(kit, "--vkey", other)
    assert "none of the given keys" in bad(kit, "--vkey", WITNESS.verifier.encode())
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
    assert "bodies/0: its compression method is not used in kits" in bad(packed, by=kit)


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
        assert bad(forged, by=kit) == "BAD: bodies/2: not a regular file\n"
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
