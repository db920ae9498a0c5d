"""The newest signed head that satisfies a witness policy (C2SP tlog-policy).

Each witness has cosigned some sizes of the log. The search goes from large to small: the sizes of the witnesses bound
the largest one that a quorum may share, and everything above it is skipped. So one or two statements find the head, at
any size of the log, also when a witness has been away for a year.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from domain.errors import LogInconsistentError, ProofError
from event_store.database import Connection
from event_store.heads import StoredHead, head_at, newest_head
from event_store.statements import load
from event_store.tlog.encoding import MAX_NUMBER
from event_store.tlog.notes import Note, verified
from event_store.tlog.policy import NONE, Policy

_SQL = load(__package__, "quorum.sql")

_FIRST = 64
"""Sizes of each witness that the first statement reads."""
_GROWTH = 16
"""Each further statement reads this many times more, so that few are enough when the witnesses share few sizes."""


def satisfying_head(connection: Connection, policy: Policy, after: int = -1) -> StoredHead | None:
    """The newest head that satisfies `policy` and whose size is above `after`; None when there is none.

    Its cosignatures are verified. Raises `LogInconsistentError` when a stored one does not verify.
    """
    head = _newest_cosigned(connection, policy, after)
    if head is None or head.size <= after or not _is_satisfied(policy, head):
        return None
    return head


def _newest_cosigned(connection: Connection, policy: Policy, after: int) -> StoredHead | None:
    if policy.quorum == NONE:
        return newest_head(connection)
    names = {party.key.encode(): name for name, party in policy.witnesses.items()}
    until, most = MAX_NUMBER, _FIRST
    while True:
        cosigned: dict[str, list[int]] = {name: [] for name in policy.witnesses}
        with connection.cursor() as cursor:
            values = {"vkeys": list(names), "after": after, "until": until, "most": most}
            cursor.execute(_SQL["cosigned_sizes"], values)
            for vkey, size in cursor.fetchall():
                cosigned[names[vkey]].append(size)
        found = search(policy, cosigned, until, most)
        if found.size is not None:
            return head_at(connection, found.size)
        if found.until is None:
            return None
        until, most = found.until, most * _GROWTH


class Found(NamedTuple):
    """The result of one search: `size` is found, or the sizes up to `until` are to be read, or there is none."""

    size: int | None = None
    until: int | None = None


def search(policy: Policy, cosigned: Mapping[str, Sequence[int]], until: int, most: int) -> Found:
    """The largest size that a quorum of `policy` has cosigned.

    `cosigned` has the sizes of each witness up to `until`, descending; those of a witness with `most` may go on.
    """
    sets = {name: frozenset(sizes) for name, sizes in cosigned.items()}
    known_down_to = {name: sizes[-1] if len(sizes) >= most else -1 for name, sizes in cosigned.items()}
    limit = until
    while True:
        below = {name: _largest(sizes, limit) for name, sizes in cosigned.items()}
        if any(size < known_down_to[name] for name, size in below.items()):
            return Found(until=limit)
        size = policy.common_bound(below)
        if size < 0:
            return Found()
        if any(size < known for known in known_down_to.values()):
            return Found(until=size)
        if policy.is_satisfied_by([policy.witnesses[name].key for name in sets if size in sets[name]]):
            return Found(size=size)
        limit = size - 1


def _largest(descending: Sequence[int], limit: int) -> int:
    """The largest of `descending` up to `limit`; -1 when there is none."""
    at = bisect_left(descending, -limit, key=lambda size: -size)
    return descending[at] if at < len(descending) else -1


def _is_satisfied(policy: Policy, head: StoredHead) -> bool:
    note = Note.parse(head.checkpoint)
    try:
        cosigners = verified(note, [party.key for party in policy.witnesses.values()])
        logs = verified(note, [party.key for party in policy.logs])
    except ProofError as exc:
        raise LogInconsistentError(
            f"a signature of the head of size {head.size} does not verify ({exc}): run `audit-trail verify`"
        ) from exc
    return policy.is_satisfied_by(cosigners) and bool(logs or not policy.logs)
