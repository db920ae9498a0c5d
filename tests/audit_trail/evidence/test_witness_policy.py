"""Kits of a log with a witness policy, and of a log whose witness has a key of ML-DSA-44."""

from __future__ import annotations

import json
import time
from contextlib import closing
from pathlib import Path

import pytest

from event_store.database import GUARD, Database
from event_store.heads import add_cosignature, newest_head
from event_store.tlog.notes import COSIGNATURE_V1, ML_DSA_44, Note, SigningKey
from tests.audit_trail import programs
from tests.audit_trail.evidence.kits import VKEY, bad, good, settle
from tests.event_store.verify.tampered_log import Log

WITNESSES = [SigningKey.generate(f"w{n}.example", (ML_DSA_44, COSIGNATURE_V1)[n % 2]) for n in range(3)]
POLICY = (
    "".join(f"witness W{n} {key.verifier.encode()}\n" for n, key in enumerate(WITNESSES))
    + "group G 2 W0 W1 W2\nquorum G\n"
)


def cosign(url: str, *keys: SigningKey) -> None:
    with closing(Database(url, GUARD, size=1)) as database, database.transaction() as connection:
        head = newest_head(connection)
        assert head is not None
        for key in keys:
            line = key.sign_at(Note.parse(head.note).text, int(time.time())).line()
            add_cosignature(connection, head.size, key.verifier, line)


def made(url: str, folder: Path) -> tuple[int, str]:
    """The exit code and the words of the command, with the policy."""
    (folder / "policy").write_text(POLICY)
    settings = {"database_url": url, "reads_unrecorded": "flag", "witness_policy": str(folder / "policy")}
    done = programs.run("evidence", "--patient", "17", "--out", folder / "kit", "--force", settings=settings)
    return done.returncode, done.stdout + done.stderr


def test_a_kit_has_the_newest_head_that_satisfies_the_policy(hospital_url: str, tmp_path: Path) -> None:
    cosign(hospital_url, *WITNESSES[:2])
    Log(hospital_url, [1])
    cosign(hospital_url, WITNESSES[2])  # newer, and no quorum
    code, said = made(hospital_url, tmp_path)
    assert code == 0, said
    kit = tmp_path / "kit"
    assert (kit / "keys/policy").read_text() == POLICY
    manifest = json.loads((kit / "manifest.json").read_text())
    assert (manifest["witness_policy"], manifest["tree_head"]["size"]) == ("satisfied", "10")
    assert "<th>Witness policy</th><td>&quot;satisfied&quot;</td>" in (kit / "report.html").read_text()
    keys = [part for key in WITNESSES[:2] for part in ("--witness", key.verifier.encode())]
    checked = good(kit, "--vkey", VKEY, *keys)
    assert "cosigned by w0.example at 20" in checked
    assert "cosigned by w1.example at 20" in checked
    assert "has not cosigned" in bad(kit, "--vkey", VKEY, "--witness", WITNESSES[2].verifier.encode())


def test_a_kit_without_a_quorum_says_so(hospital_url: str, tmp_path: Path) -> None:
    cosign(hospital_url, WITNESSES[0])
    code, said = made(hospital_url, tmp_path)
    assert code == 4
    assert "NO QUORUM: no signed head that covers these events satisfies the witness policy yet" in said
    manifest = json.loads((tmp_path / "kit/manifest.json").read_text())
    assert manifest["witness_policy"] == "not satisfied"


@pytest.mark.parametrize("at", [12, 500])
def test_a_changed_cosignature_of_ml_dsa_does_not_verify(hospital_url: str, tmp_path: Path, at: int) -> None:
    cosign(hospital_url, *WITNESSES[:2])
    assert made(hospital_url, tmp_path)[0] == 0
    kit = tmp_path / "kit"
    lines = (kit / "checkpoint").read_text().splitlines(keepends=True)
    index = next(n for n, line in enumerate(lines) if " w0.example " in line)
    value = len("\u2014 w0.example ") + at
    old = lines[index]
    lines[index] = old[:value] + ("A" if old[value] != "A" else "B") + old[value + 1 :]
    note, altered = (kit / "checkpoint").read_text(), "".join(lines)
    for file in [kit / "checkpoint", *(kit / "proofs").iterdir()]:
        file.write_text(file.read_text().replace(note, altered))
    settle(kit)
    assert "the signature of w0.example does not verify" in bad(kit)
