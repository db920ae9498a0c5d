"""Inclusion proofs: fetched from the trail's API, and checked against the event that was sent.

A proof file (C2SP tlog-proof) has the leaf entry of the event, the hashes up to the root, and the signed tree head.
This module checks that the entry names the event and the SHA-256 of its bytes, and that it leads to the root (RFC 9162,
section 2.1.3.2). The signature of the tree head is for a verifier that has the log's public key.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from audit_trail_publisher.errors import ProofError
from audit_trail_publisher.promises import Confirmation, Promise

_HEADER = b"c2sp.org/tlog-proof@v1"
_ENTRY = b"audit-trail-entry/1"
_MOST_HASHES = 63


def confirmation(event_id: UUID, body: bytes, file: bytes) -> Confirmation:
    """The confirmation that a proof file is. Raises `ProofError` unless it proves that `body` is sealed."""
    try:
        index, hashes, entry, size, root = _parsed(file)
        position, named, recorded_us, digest = _entry(entry)
    except (ValueError, IndexError) as exc:
        raise ProofError(f"the proof of event {event_id} is malformed") from exc
    if (named, position) != (event_id, index) or digest != sha256(body).hexdigest():
        raise ProofError(f"the proof of event {event_id} is that of another event, or of other content")
    if _root(index, size, sha256(b"\0" + entry).digest(), hashes) != root:
        raise ProofError(f"the proof of event {event_id} does not lead to the root of its tree head")
    return Confirmation(
        event_id=event_id,
        promise=Promise.CONFIRMED,
        position=index,
        recorded_at=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=recorded_us),
        proof=file,
    )


def _parsed(file: bytes) -> tuple[int, list[bytes], bytes, int, bytes]:
    """Index, hashes and entry of a proof file, and the size and root of its tree head."""
    proof, _, note = file.partition(b"\n\n")
    header, extra, index, *hashes = proof.split(b"\n")
    _, size, root, *_ = note.split(b"\n")
    if header != _HEADER or len(hashes) > _MOST_HASHES:
        raise ValueError("no proof file")
    entry = _base64(_after(b"extra ", extra))
    return int(_after(b"index ", index)), list(map(_base64, hashes)), entry, int(size), _base64(root)


def _entry(entry: bytes) -> tuple[int, UUID, int, str]:
    """Position, event id, time of recording in microseconds, and digest of the body."""
    version, position, event_id, recorded, _stream, _at, _format, digest, _ = entry.decode("ascii").split(
        "\n"
    )
    if version.encode() != _ENTRY:
        raise ValueError("no entry")
    return int(position), UUID(hex=event_id), int(recorded), digest


def _root(index: int, size: int, leaf: bytes, hashes: Sequence[bytes]) -> bytes | None:
    """The root that the path leads to; None for a path of another length."""
    if not 0 <= index < size:
        return None
    node, last, found = index, size - 1, leaf
    for each in hashes:
        if last == 0:
            return None
        if node & 1 or node == last:
            found = sha256(b"\1" + each + found).digest()
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            found = sha256(b"\1" + found + each).digest()
        node, last = node >> 1, last >> 1
    return found if last == 0 else None


def _after(prefix: bytes, line: bytes) -> bytes:
    if not line.startswith(prefix):
        raise ValueError("no proof file")
    return line.removeprefix(prefix)


def _base64(text: bytes) -> bytes:
    return base64.b64decode(text, validate=True)
