"""Other people's witnesses cosign the heads of a log: transparency.dev's omniwitness and torchwood's litewitness."""

from __future__ import annotations

import base64
import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from socket import create_connection

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from audit_trail.embedded.broker import LOOPBACK, free_ports
from domain.errors import UnprovenClaimError
from event_store.database import GUARD, Database
from event_store.heads import StoredHead, newest_head
from event_store.publication.remote import Witness
from event_store.tlog.keys import COSIGNATURE_V1, ED25519, ML_DSA_44, SigningKey, VerifierKey
from event_store.tlog.notes import Note, verified
from tests.databases import MIGRATED, Databases
from tests.event_store.verify.tampered_log import Log
from tests.installed import installed
from tests.signing import KEY
from tests.waiting import eventually

NAME = "witness.example/foreign"
Keys = Sequence[VerifierKey]
Start = Callable[[Path, int], tuple[list[str | Path], Keys]]
"""From a folder and a port, the command of a witness that knows the log, and the keys it cosigns with."""


def omniwitness(folder: Path, port: int) -> tuple[list[str | Path], Keys]:
    """It reads Ed25519 keys as keys of a log, and cosigns with each key."""
    seed = os.urandom(32)
    post_quantum = SigningKey.generate(NAME, ML_DSA_44)
    for name, key in (("ed25519", SigningKey(NAME, ED25519, seed)), ("ml-dsa", post_quantum)):
        (folder / name).write_text(key.encode(), encoding="utf-8")
    log = f"Logs:\n  - {{Origin: {KEY.name}, URL: http://none.example, PublicKey: {vkey()}, Feeder: none}}\n"
    (folder / "logs.yaml").write_text(log, encoding="utf-8")
    (metrics,) = free_ports(1)
    command: list[str | Path] = [
        *(installed("omniwitness") or "", "--listen", f"{LOOPBACK}:{port}"),
        *("--metrics_listen", f"{LOOPBACK}:{metrics}", "--db_file", folder / "witness.db"),
        *("--additional_logs", folder / "logs.yaml"),
        *("--private_key_path", folder / "ed25519", "--private_key_path", folder / "ml-dsa"),
    ]
    return command, [SigningKey(NAME, COSIGNATURE_V1, seed).verifier, post_quantum.verifier]


def litewitness(folder: Path, port: int) -> tuple[list[str | Path], Keys]:
    """Its key is in an SSH agent, which the command starts. Its own tool would write the log into its database."""
    seed = os.urandom(32)
    private = Ed25519PrivateKey.from_private_bytes(seed)
    file, agent = folder / "key", folder / "agent"
    file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    file.chmod(0o600)
    blob = b"".join(
        len(part).to_bytes(4, "big") + part
        for part in (b"ssh-ed25519", private.public_key().public_bytes_raw())
    )
    fingerprint = base64.b64encode(sha256(blob).digest()).decode().rstrip("=")
    with closing(sqlite3.connect(folder / "witness.db")) as database, database:
        database.execute(
            "CREATE TABLE log (origin TEXT PRIMARY KEY, tree_size INTEGER NOT NULL, tree_hash TEXT NOT NULL)"
        )
        database.execute("CREATE TABLE key (origin TEXT NOT NULL REFERENCES log, key TEXT NOT NULL)")
        empty = base64.b64encode(sha256().digest()).decode()
        database.execute("INSERT INTO log VALUES (?, 0, ?)", (KEY.name, empty))
        database.execute("INSERT INTO key VALUES (?, ?)", (KEY.name, vkey()))
    script = 'ssh-add -q key && exec "$0" -db witness.db -name "$1" -key "$2" -listen "$3" -ssh-agent agent'
    command: list[str | Path] = [
        *("ssh-agent", "-a", agent, "sh", "-c", script),
        *(installed("litewitness") or "", NAME, f"SHA256:{fingerprint}", f"{LOOPBACK}:{port}"),
    ]
    return command, [SigningKey(NAME, COSIGNATURE_V1, seed).verifier]


def vkey() -> str:
    return KEY.verifier.encode()


@contextmanager
def running(start: Start, folder: Path) -> Iterator[tuple[str, Keys]]:
    """The URL of a witness and its keys."""
    (port,) = free_ports(1)
    command, keys = start(folder, port)
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(
            list(map(str, command)), cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
    try:
        eventually(lambda: listens(port) or process.poll() is not None)
        assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")
        yield f"http://{LOOPBACK}:{port}", keys
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


def listens(port: int) -> bool:
    try:
        create_connection((LOOPBACK, port), timeout=5).close()
    except OSError:
        return False
    return True


def newest(database: Database) -> StoredHead:
    with database.transaction(read_only=True) as connection:
        head = newest_head(connection)
    assert head
    return head


def publish(log: Log, url: str, key: VerifierKey) -> bytes:
    """The head, with its cosignatures, after it was published."""
    with closing(Database(log.url, GUARD)) as database:
        Witness(key, url, database, [KEY.verifier]).publish(newest(database))
        return newest(database).checkpoint


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(omniwitness, marks=pytest.mark.needs_program("omniwitness")),
        pytest.param(
            litewitness, marks=[pytest.mark.needs_program(each) for each in ("litewitness", "ssh-agent")]
        ),
    ],
    ids=lambda each: each.__name__,
)
def test_a_foreign_witness_cosigns_what_continues_and_refuses_another_history(
    start: Start, databases: Databases, migrated_url: str, server_folder: Path
) -> None:
    log = Log(migrated_url, [3, 260])
    with running(start, server_folder) as (url, keys), databases.copy(MIGRATED) as other:
        for added in (1, 300):
            log.add(added)
            *_, head = [publish(log, url, key) for key in keys]
            assert set(verified(Note.parse(head), keys)) == set(keys)
        with pytest.raises(UnprovenClaimError):
            publish(Log(other, [700]), url, keys[0])
