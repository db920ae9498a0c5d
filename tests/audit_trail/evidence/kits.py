"""Evidence kits as people make them, and as others check them: in a process that has nothing of the product."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from domain.event import AuditEvent
from event_store.database import GUARD, Database
from event_store.heads import add_cosignature, newest_head
from event_store.tlog import cosignatures
from event_store.tlog.notes import COSIGNATURE_V1, Note, SigningKey
from tests.audit_trail import programs
from tests.signing import KEY

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
