"""A witness (C2SP tlog-witness): it cosigns the tree heads of logs, each only if it extends the previous one.

Those who trust the witness know that the log has shown everybody one history. The witness stores the largest cosigned
tree of each log, and needs nothing else from the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import NamedTuple

from domain.errors import ConfigurationError, ProofError
from event_store.merkle import EMPTY_ROOT
from event_store.tlog.cosignatures import cosign
from event_store.tlog.keys import MAX_COSIGNER_NAME
from event_store.tlog.notes import (
    COSIGNATURE_V1,
    ED25519,
    ML_DSA_44,
    Note,
    Signature,
    SigningKey,
    VerifierKey,
    verified,
)
from event_store.tlog.proofs import verify_consistency
from event_store.tlog.tree_heads import TreeHead
from event_store.tlog.witness_protocol import AddCheckpoint
from event_store.witness.store import Cosigned, WitnessStore

Logs = Mapping[str, Sequence[VerifierKey]]


class CosigningResult(Enum):
    """The result of a request to a witness."""

    COSIGNED = auto()
    MALFORMED = auto()
    UNKNOWN_LOG = auto()
    NOT_SIGNED = auto()
    """No trusted key of the log has signed the head, or a signature in the name of one does not verify."""
    CONFLICT = auto()
    """The request starts from another size than the last cosigned one."""
    INCONSISTENT = auto()


class Answer(NamedTuple):
    """The answer to a request.

    `signatures` are set when cosigned, `size` (last cosigned) for a conflict, and `message` says why it was refused.
    """

    outcome: CosigningResult
    message: str = ""
    signatures: tuple[Signature, ...] = ()
    size: int = 0
    origin: str = ""


class Witness:
    """The rules of a witness. Thread-safe."""

    def __init__(
        self,
        store: WitnessStore,
        keys: Sequence[SigningKey],
        logs: Logs,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`keys` are cosigner keys; `logs` maps the origin of each log to its trusted keys.

        Raises `ConfigurationError` for an origin that one of the keys can't cosign.
        """
        if any(key.algorithm == ML_DSA_44 for key in keys):
            for origin in logs:
                if len(origin.encode()) > MAX_COSIGNER_NAME:
                    raise ConfigurationError(
                        f"the origin {origin[:40]!r}... has more than {MAX_COSIGNER_NAME} bytes:"
                        " an ML-DSA-44 key can't cosign its heads"
                    )
        self._store = store
        self._keys = tuple(keys)
        self._logs = logs
        self._clock = clock

    @property
    def verifiers(self) -> tuple[VerifierKey, ...]:
        """The public keys of this witness."""
        return tuple(key.verifier for key in self._keys)

    def check(self) -> None:
        """Raise `UnavailableError` or `LogInconsistentError` when the file can't be read and written."""
        self._store.check()

    def sizes(self) -> dict[str, int]:
        """The size of the largest cosigned tree of each log; 0 for none. Raises as `check`."""
        with self._store.transaction() as transaction:
            known = {origin: transaction.latest(origin) for origin in self._logs}
        return {origin: 0 if latest is None else latest.size for origin, latest in known.items()}

    def add_checkpoint(self, body: bytes) -> Answer:
        """Cosign the tree head of a request, or report why not. The order of checks is that of the specification.

        A cosigned head is on disk before this returns. Raises `UnavailableError` or `LogInconsistentError`.
        """
        try:
            request = AddCheckpoint.parse(body)
            note = Note.parse(request.note)
            head = TreeHead.parse(note.text)
        except ProofError as exc:
            return Answer(CosigningResult.MALFORMED, str(exc))
        keys = self._logs.get(head.origin)
        if keys is None:
            return Answer(CosigningResult.UNKNOWN_LOG, "unknown log")
        try:
            signers = verified(note, keys)
        except ProofError as exc:
            return Answer(CosigningResult.NOT_SIGNED, str(exc), origin=head.origin)
        if not signers:
            return Answer(
                CosigningResult.NOT_SIGNED,
                "no trusted key of the log has signed the head",
                origin=head.origin,
            )
        if request.old_size > head.size:
            return Answer(
                CosigningResult.MALFORMED, "the old size is larger than the tree head's", origin=head.origin
            )
        return self._extend(request, head, Note(note.text, _of(note, signers)))

    def latest(self, origin_hash: str) -> bytes | None:
        """The last cosigned head, with its signatures, of the log whose origin has this SHA-256 (hex), or None."""
        return self._store.note_of(origin_hash)

    def _extend(self, request: AddCheckpoint, head: TreeHead, note: Note) -> Answer:
        with self._store.transaction() as transaction:
            known = transaction.latest(head.origin) or Cosigned(0, EMPTY_ROOT, b"")
            if request.old_size != known.size:
                return Answer(
                    CosigningResult.CONFLICT,
                    "the request starts from another size",
                    (),
                    known.size,
                    head.origin,
                )
            at = int(self._clock())
            try:
                verify_consistency(known.size, head.size, known.root, head.root, request.proof)
            except ProofError as exc:
                refused = Cosigned(head.size, head.root, note.encode())
                if known.size and refused[:2] != known[:2]:
                    transaction.add_contradiction(head.origin, known, refused, str(exc), at)
                return Answer(CosigningResult.INCONSISTENT, str(exc), (), known.size, head.origin)
            cosignatures = tuple(cosign(key, note.text, at) for key in self._keys)
            cosigned = Note(note.text, note.signatures + cosignatures).encode()
            transaction.remember(head.origin, Cosigned(head.size, head.root, cosigned), at)
        return Answer(CosigningResult.COSIGNED, "", cosignatures, head.size, head.origin)


def read_keys(text: str) -> list[SigningKey]:
    """Parse the keys of a witness: one private key of algorithm 4 or 6 per line, and ``#`` comments.

    Raises `ConfigurationError`, which never quotes a line.
    """
    keys = []
    for number, line in _lines(text.splitlines()):
        try:
            key = SigningKey.parse(line)
        except ProofError as exc:
            raise ConfigurationError(f"the witness's key, line {number}: {exc}") from exc
        if key.algorithm == ED25519:
            raise ConfigurationError(
                f"the witness's key, line {number}: this is the key of a log; a witness needs a cosigner's key"
            )
        keys.append(key)
    if not keys:
        raise ConfigurationError("the witness's key file contains no key")
    return keys


def read_logs(lines: Iterable[str]) -> dict[str, list[VerifierKey]]:
    """Parse the list of logs: a public key (vkey) per line, several per log during a key change, and ``#`` comments.

    The origin of a log is the name of its key. Where they differ, the line has the origin, a space, and the key. Raises
    `ConfigurationError`.
    """
    logs: dict[str, list[VerifierKey]] = {}
    for number, line in _lines(lines):
        origin, _, encoded = line.rpartition(" ")
        try:
            key = VerifierKey.parse(encoded)
        except ProofError as exc:
            raise ConfigurationError(f"the key of log {number}: {exc}") from exc
        if key.algorithm == COSIGNATURE_V1:
            raise ConfigurationError(f"the key of log {number} is a witness's")
        keys = logs.setdefault(origin.strip() or key.name, [])
        if any((key.name, key.key_id) == (other.name, other.key_id) and key != other for other in keys):
            raise ConfigurationError(f"the key of log {number} has the name and id of another one")
        if key not in keys:
            keys.append(key)
    if not logs:
        raise ConfigurationError("a witness needs the public key of at least one log")
    return logs


def _of(note: Note, signers: Sequence[VerifierKey]) -> tuple[Signature, ...]:
    """The signatures of these keys, one each. Signatures of others are dropped."""
    signed = {(signature.name, signature.key_id): signature for signature in note.signatures}
    return tuple(signed[key.name, key.key_id] for key in signers)


def _lines(lines: Iterable[str]) -> Iterable[tuple[int, str]]:
    for number, line in enumerate(map(str.strip, lines), 1):
        if line and not line.startswith("#"):
            yield number, line
