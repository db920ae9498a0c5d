"""Sign tree heads, and decide which states of the log may be extended.

A signature vouches for more than its own batch: a head covers everything before it. So before it signs, the signer
checks that this log's keys have signed the state that it extends. Someone who changes the database without the key
can't obtain a signature for the change from the next append.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

from domain.errors import ConfigurationError, LogInconsistentError, ProofError
from event_store.files.folders import create_file, read_file
from event_store.heads import require_storable
from event_store.tlog.notes import ED25519, ML_DSA_44, Note, SigningKey, VerifierKey
from event_store.tlog.tree_heads import TreeHead, open_head, sign_head

_PRIVATE = "PRIVATE+KEY+"
_MAX_BYTES = 65_536


class HeadSigner:
    """Signs with each of `keys`; trusts heads signed by these keys and by `former` keys.

    Several keys sign while verifiers switch to a new one. `former` are public keys that no longer sign, and whose heads
    this log continues. Thread-safe: its state changes only under the lock of the log.
    """

    def __init__(self, keys: Sequence[SigningKey], former: Sequence[VerifierKey] = ()) -> None:
        """Raises `ConfigurationError` when there is no key, or when the keys have different origins."""
        if not keys:
            raise ConfigurationError(
                f"there is no signing key: a key file has a line that begins with {_PRIVATE}"
            )
        algorithms = {key.algorithm for key in keys}
        if not algorithms <= {ED25519, ML_DSA_44}:
            raise ConfigurationError(
                "a witness's key can't sign the heads of a log: create a key without --witness"
            )
        if ED25519 not in algorithms:
            raise ConfigurationError(
                "an ML-DSA-44 key signs beside an Ed25519 key: create one with `audit-trail keys new`"
            )
        for key in keys:
            require_storable(key.verifier)
        names = {key.verifier.name for key in keys}
        if len(names) > 1:
            raise ConfigurationError(
                f"the signing keys name {len(names)} logs ({', '.join(sorted(names))}): one log, one name"
            )
        self._keys = tuple(keys)
        self._former = tuple(former)
        self._known = (-1, b"")
        self._signed = (-1, b"")

    @property
    def origin(self) -> str:
        """The log's name, the first line of its heads: the name of the key (C2SP tlog-checkpoint)."""
        return self._keys[0].verifier.name

    @property
    def verifiers(self) -> tuple[VerifierKey, ...]:
        """The public keys of the signing keys."""
        return tuple(key.verifier for key in self._keys)

    @property
    def trusted(self) -> tuple[VerifierKey, ...]:
        """The public keys of heads that this log continues."""
        return self.verifiers + self._former

    def sign(self, size: int, root: bytes) -> Note:
        """The signed head of a tree."""
        self._signed = (size, root)
        return sign_head(TreeHead(self.origin, size, root), self._keys)

    def knows(self, size: int, root: bytes) -> bool:
        """Whether this process has signed or checked this committed state.

        Raises `LogInconsistentError` when the log is behind a state that was committed before.
        """
        if size < self._known[0]:
            raise LogInconsistentError(
                f"the log went back from {self._known[0]} events to {size}:"
                " the database was replaced by an older copy of itself"
            )
        if size and (size, root) == self._signed:  # the head of the empty tree may have been rolled back
            self.remember(size, root)
        return (size, root) == self._known

    def remember(self, size: int, root: bytes) -> None:
        """Remember a state that is committed and checked."""
        self._known = (size, root)

    def check(self, size: int, root: bytes, newest: tuple[int, bytes] | None) -> None:
        """Check that a committed state equals that of the newest stored head, `(size, note)`.

        Raises `LogInconsistentError` when it differs, or when no key of this log has signed that head.
        """
        if newest is None:
            if size:
                raise LogInconsistentError(
                    f"the log has {size} events and no signed head. If it was written by a release that did not sign,"
                    " check it and sign it once: audit-trail keys adopt"
                )
        else:
            self._check_signed(size, root, *newest)

    def _check_signed(self, size: int, root: bytes, head_size: int, note: bytes) -> None:
        try:
            head, _ = open_head(note, self.trusted)
        except ProofError as exc:
            raise LogInconsistentError(
                f"the newest head (size {head_size}) is not signed by a key of this log: {exc}."
                " After a key change, keep the old public key (vkey) in the key file, on a line of its own"
            ) from exc
        if (head.size, head.root) != (size, root):
            raise LogInconsistentError(
                f"the log's state (size {size}) differs from the last signed one (size {head.size}):"
                " run `audit-trail verify`"
            )


def read_signer(text: str) -> HeadSigner:
    """Parse a key file: lines of private keys, lines of former public keys, ``#`` comments.

    Raises `ConfigurationError`, which never quotes a line.
    """
    keys, former = _lines(text)
    return HeadSigner(keys, former)


def read_public(text: str) -> list[VerifierKey]:
    """All public keys of a key file, also a witness's: first those of signing keys, then former ones."""
    keys, former = _lines(text)
    return [key.verifier for key in keys] + former


def _lines(text: str) -> tuple[list[SigningKey], list[VerifierKey]]:
    keys: list[SigningKey] = []
    former: list[VerifierKey] = []
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if not line or line.startswith("#"):
            continue
        try:
            if line.startswith(_PRIVATE):
                keys.append(SigningKey.parse(line))
            else:
                former.append(VerifierKey.parse(line))
        except ProofError as exc:
            raise ConfigurationError(f"the log's key, line {number}: {exc}") from exc
    return keys, former


def read_key_file(path: Path) -> str:
    """The text of a key file. Raises `ConfigurationError` when it can't be read, or when other users could read it."""
    try:
        return read_file(path, _MAX_BYTES, closed_to=stat.S_IRWXG | stat.S_IRWXO).decode("ascii")
    except ConfigurationError as exc:
        raise ConfigurationError(f"the key file {exc}") from exc
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not ASCII text"
        raise ConfigurationError(f"the key file {path} can't be read: {reason}") from exc


def create_key_file(path: Path, text: str) -> None:
    """Write a new key file that only its owner can read.

    Raises `ConfigurationError` when the file exists, or when other users could replace it.
    """
    try:
        create_file(path, text.encode("ascii"))
    except FileExistsError as exc:
        raise ConfigurationError(f"{path} exists already: a key is never overwritten") from exc
    except OSError as exc:
        raise ConfigurationError(f"{path} can't be written: {exc.strerror}") from exc


def new_key(name: str, algorithm: int = ED25519) -> str:
    """The text of a new key file. `name` is the log's origin: like a URL without a scheme, and unique."""
    try:
        key = SigningKey.generate(name, algorithm)
        require_storable(key.verifier)
    except ProofError as exc:
        raise ConfigurationError(f"{name!r} can't name a key: {exc}") from exc
    return f"# public key: {key.verifier.encode()}\n{key.encode()}\n"
