"""Write a kit. Every event is verified against the signed tree head first; an inconsistency stops the export.

Memory use does not depend on the bodies: events are processed in small chunks. Parts that are only complete at the end
(the head of the report, the manifest) are assembled from temporary files.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import IO, Self

from msgspec import Struct

from domain.errors import LogInconsistentError, ProofError
from domain.recording_gap import describe
from domain.tree_head import InclusionProof
from event_store.database import Connection, Database
from event_store.evidence import report, verify
from event_store.evidence.storage import Store, new_kit
from event_store.gaps import stored_gaps
from event_store.heads import head_covering, newest_head, stored_keys, witnesses
from event_store.log_reader import prove
from event_store.quorum import satisfying_head
from event_store.statements import load
from event_store.stored_tree import StoredTree
from event_store.tlog.encoding import to_base64
from event_store.tlog.notes import VerifierKey
from event_store.tlog.policy import Policy
from event_store.tlog.proof_files import encode_proof
from event_store.tlog.proofs import verify_inclusion
from event_store.tlog.tree_heads import TreeHead, open_head

_SQL = load(__package__, "kit.sql")
_CHUNK = 64
"""Events in one transaction."""
_CHUNK_BYTES = 64 << 20
"""Bytes of their bodies; a larger body is processed alone."""


class Selection(Struct, frozen=True, kw_only=True):
    """The events of a kit. `query` describes the selection, field by field; `positions` are ascending.

    The answer is complete up to `as_of_position`.
    """

    query: Mapping[str, str | list[str]]
    positions: Sequence[int]
    as_of_position: int


class Written(Struct, frozen=True, kw_only=True):
    """The result. `manifest_digest` is the SHA-256 of manifest.json, to be communicated over a separate channel."""

    events: int
    head: TreeHead
    cosigned_by: tuple[str, ...]
    manifest_digest: str
    satisfies_policy: bool | None = None
    """None when there is no witness policy."""


@dataclass(frozen=True, slots=True)
class _Signed:
    head: TreeHead
    note: bytes
    keys: list[VerifierKey]
    witnesses: list[VerifierKey]
    policy: Policy | None
    satisfied: bool


def write_kit(
    database: Database,
    selection: Selection,
    out: Path,
    *,
    program: str,
    at: datetime,
    force: bool = False,
    trusted: Sequence[VerifierKey] = (),
    policy: Policy | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Written:
    """Write the kit of the non-empty `selection` to the folder or zip `out`.

    `progress` gets the number of events so far, and the bytes that temporary files occupy beside `out`. An exception of
    it ends the writing, and leaves nothing behind.

    One of `trusted` must have signed the head; by default, the keys in the database are used. The head is the newest
    that satisfies `policy`. If that does not cover the selection, the kit has the newest head, and says so.

    Raises `ConfigurationError` when `out` exists (see `storage.new_kit`), and `LogInconsistentError` when an event
    differs from the signed tree.
    """
    with database.transaction(read_only=True) as connection:
        signed = _signed(connection, selection.positions[-1], trusted, policy)
        gaps = stored_gaps(connection, selection.as_of_position)
    with new_kit(out, at, force=force) as store, _Writer(store, out.parent) as writer:
        written = 0
        for chunk in _chunks(database, selection.positions):
            with database.transaction(read_only=True) as connection:
                rows = list(_rows(connection, chunk, signed))
            for row in rows:
                writer.event(row, signed.note)
            written += len(rows)
            progress(written, writer.temporary_bytes)
        manifest = {
            "kit": "audit-trail-evidence/1",
            "program": program,
            "created_at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
            "selection": dict(selection.query),
            "events": str(len(selection.positions)),
            "as_of_position": str(selection.as_of_position),
            # All gaps are listed: nobody knows the time and the subjects of lost records.
            "recording_gaps": [f"position {position}: {describe(event)}" for position, event in gaps],
            "tree_head": {
                "origin": signed.head.origin,
                "size": str(signed.head.size),
                "root_hash": to_base64(signed.head.root),
                "cosigned_by": [key.encode() for key in signed.witnesses],
            },
        }
        if policy is not None:
            manifest["witness_policy"] = "satisfied" if signed.satisfied else "not satisfied"
        digest = writer.end(manifest, signed)
    witnesses = tuple(key.encode() for key in signed.witnesses)
    return Written(
        events=len(selection.positions),
        head=signed.head,
        cosigned_by=witnesses,
        manifest_digest=digest,
        satisfies_policy=None if policy is None else signed.satisfied,
    )


class _Row(Struct, frozen=True):
    proof: InclusionProof
    body: bytes


class _Writer:
    """The files that grow with every event, and those that are written at the end."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._events, self._report, self._digests = (
            self._open.enter_context(self._temporary()) for _ in range(3)
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def temporary_bytes(self) -> int:
        """What the temporary files occupy."""
        return self._events.tell() + self._report.tell() + self._digests.tell()

    def event(self, row: _Row, note: bytes) -> None:
        position, entry = row.proof.leaf_index, row.proof.entry
        self._add(f"bodies/{position}", row.body)
        self._add(f"entries/{position}", entry)
        self._add(f"proofs/{position}.tlog-proof", encode_proof(position, row.proof.hashes, note, entry))
        fields = verify.ENTRY.fullmatch(entry)
        assert fields is not None
        line = verify.line_of(fields, row.body)
        self._events.write(line)
        self._report.write(report.report_event(line).encode())

    def end(self, manifest: Mapping[str, object], signed: _Signed) -> str:
        """Write the remaining files. Returns the SHA-256 of the manifest."""
        self._add_from("events.ndjson", self._events)
        with self._temporary() as page:
            page.write(report.report_head(dict(manifest)).encode())
            shutil.copyfileobj(_rewound(self._report), page)
            page.write(report.REPORT_END.encode())
            self._add_from("report.html", page)
        self._add("checkpoint", signed.note)
        self._add("keys/log.vkey", _lines(signed.keys))
        if signed.witnesses:
            self._add("keys/witnesses.vkey", _lines(signed.witnesses))
        if signed.policy is not None:
            self._add("keys/policy", signed.policy.text)
        for name in ("README.txt", "verify.py", "report.py"):
            self._add(name, resources.files(__package__).joinpath(name).read_bytes())
        with self._temporary() as file:
            self._write_manifest(file, manifest)
            digest = self._store.add("manifest.json", _rewound(file))
        self._digests.write(f"{digest}  manifest.json\n".encode())
        self._store.add("SHA256SUMS", _rewound(self._digests))
        return digest

    def _write_manifest(self, file: IO[bytes], manifest: Mapping[str, object]) -> None:
        """Write the manifest with the digests of all files, which may be many."""
        head = json.dumps({**manifest, "files": {}}, indent=1)
        file.write(head.removesuffix("}\n}").encode())
        separator = "\n"
        for line in _rewound(self._digests):
            digest, _, name = line.decode().rstrip("\n").partition("  ")
            file.write(f'{separator}  "{name}": "{digest}"'.encode())
            separator = ",\n"
        file.write(b"\n }\n}\n")

    def _add(self, name: str, data: bytes) -> None:
        self._add_from(name, io.BytesIO(data))

    def _add_from(self, name: str, file: IO[bytes]) -> None:
        self._digests.write(f"{self._store.add(name, _rewound(file))}  {name}\n".encode())

    def _temporary(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=self._folder)


def _rewound(file: IO[bytes]) -> IO[bytes]:
    file.seek(0)
    return file


def _lines(keys: Sequence[VerifierKey]) -> bytes:
    return "".join(f"{key.encode()}\n" for key in keys).encode()


def _signed(
    connection: Connection, last: int, trusted: Sequence[VerifierKey], policy: Policy | None
) -> _Signed:
    """The head for the whole kit: see `write_kit`. Without a policy, the newest cosigned one that covers `last`."""
    stored = satisfying_head(connection, policy, after=last) if policy else head_covering(connection, last)
    satisfied = policy is not None and stored is not None
    stored = stored or newest_head(connection)
    if stored is None or stored.size <= last:
        raise LogInconsistentError(
            f"the log has an event at position {last} and no signed head that covers it"
        )
    keys = stored_keys(connection)
    try:
        head, _ = open_head(stored.checkpoint, trusted or keys)
    except ProofError as exc:
        raise LogInconsistentError(f"the signed head of size {stored.size} does not verify: {exc}") from exc
    cosigners = witnesses(connection, stored.size)
    return _Signed(head, stored.checkpoint, keys, cosigners, policy, satisfied)


def _chunks(database: Database, positions: Sequence[int]) -> Iterator[list[int]]:
    """The positions in chunks, one per transaction, whose bodies fit into memory together."""
    for start in range(0, len(positions), _CHUNK):
        wanted = list(positions[start : start + _CHUNK])
        with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(_SQL["sizes"], {"positions": wanted})
            sizes = cursor.fetchall()
        if [position for position, _ in sizes] != wanted:
            raise LogInconsistentError(
                f"an event between positions {wanted[0]} and {wanted[-1]} is missing: run `audit-trail verify`"
            )
        yield from grouped(sizes, _CHUNK_BYTES)


def grouped(sizes: Sequence[tuple[int, int]], most: int) -> Iterator[list[int]]:
    """Group (position, size) pairs into at most `most` bytes per group, or one larger position."""
    group: list[int] = []
    total = 0
    for position, size in sizes:
        if group and total + size > most:
            yield group
            group, total = [], 0
        group.append(position)
        total += size
    if group:
        yield group


def _rows(connection: Connection, positions: Sequence[int], signed: _Signed) -> Iterator[_Row]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL["bodies"], {"positions": list(positions)})
        bodies = {position: bytes(body) for position, body in cursor.fetchall()}
    proofs = prove(connection, StoredTree(connection), [(each, signed.head.size) for each in positions])
    for proof in proofs:
        try:
            verify_inclusion(
                proof.leaf_index, signed.head.size, proof.leaf_hash, proof.hashes, signed.head.root
            )
        except ProofError as exc:
            raise LogInconsistentError(
                f"the event at position {proof.leaf_index} differs from the signed one: run `audit-trail verify`"
            ) from exc
        yield _Row(proof, bodies[proof.leaf_index])
