"""Publish heads over HTTP: to a webhook that stores them, and to witnesses that cosign them (C2SP tlog-witness).

An alarm needs proof. The answers of a witness (409 with a size, 422) are unsigned, so they are only claims. The
checkpoint that the witness serves is proof: if a key of this log has signed it and the log does not continue it, the
log is forked.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import NoReturn

from domain.errors import (
    ConfigurationError,
    ForkedError,
    ProofError,
    UnavailableError,
    UnprovenClaimError,
)
from event_store.database import Database
from event_store.heads import (
    StoredHead,
    add_cosignature,
    largest_cosigned,
    newest_head,
    require_storable,
    stored_keys,
)
from event_store.outgoing_http import Answer, Deadline, exchange, parse_target, unavailable
from event_store.publication.forks import forked_at
from event_store.stored_tree import StoredTree
from event_store.tlog import cosignatures
from event_store.tlog.keys import COSIGNING
from event_store.tlog.notes import Note, VerifierKey
from event_store.tlog.proofs import consistency_proof
from event_store.tlog.tree_heads import TreeHead, open_head
from event_store.tlog.witness_protocol import AddCheckpoint, parse_cosignatures, parse_size

_SECONDS = 15.0
"""The time limit of one publication, including all its requests."""
_MOST = 64 << 10
_ROUNDS = 4
"""How often a witness may report another size in one publication: another client may be publishing to it."""
_CONFLICT, _INCONSISTENT = 409, 422
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}


class Webhook:
    """A URL that accepts each head as the body of a POST, and answers 2xx when it has stored it."""

    name = "webhook"

    def __init__(self, url: str) -> None:
        """Raises `ConfigurationError` when `url` can't be used."""
        self._target = parse_target(url, "the webhook for heads")

    def published(self) -> Sequence[bytes]:
        """Empty: a webhook can't be queried."""
        return ()

    def publish(self, head: StoredHead) -> None:
        """POST the checkpoint."""
        what = "the webhook for heads"
        answer = exchange(
            self._target, Deadline(_SECONDS), what=what, most=_MOST, body=head.checkpoint, headers=_TEXT
        )
        if not 200 <= answer.status < 300:
            raise unavailable(answer, what)


class Witness:
    """A witness: it cosigns a head only if it continues the previous one. The database stores the cosignatures."""

    def __init__(
        self,
        key: VerifierKey,
        url: str,
        database: Database,
        log_keys: Sequence[VerifierKey] = (),
        *,
        name: str = "",
    ) -> None:
        """`log_keys` are the trusted public keys of the log; by default those in the database.

        `name` is the one in logs and metrics; by default it contains the name of the key.

        Raises `ConfigurationError` when `key` is no witness's key, or `url` can't be used.
        """
        if key.algorithm not in COSIGNING:
            raise ConfigurationError(f"the key {key.name!r} is that of a log: a witness has algorithm 4 or 6")
        require_storable(key)
        self.name = name or f"witness {key.name}"
        self._key = key
        self._target = parse_target(url, self.name)
        self._database = database
        self._log_keys = tuple(log_keys)

    def published(self) -> Sequence[bytes]:
        """Empty: the witness itself compares the next head with its last one."""
        return ()

    def publish(self, head: StoredHead) -> None:
        """Request a cosignature of the head, and store it.

        A witness that cosigned another size last reports that size, and the request is repeated from there. If it is
        ahead of `head`, another client publishes to it: then the log's newest head is sent, if the log has that many
        events now.

        Raises `ForkedError` only with proof: a head that the witness serves, that a key of the log has signed, and that
        the log does not continue. A contradiction without proof raises `UnprovenClaimError`.
        """
        deadline = Deadline(_SECONDS)
        with self._database.transaction(read_only=True) as connection:
            old = min(largest_cosigned(connection, self._key), head.size)
        answer = self._request_cosignature(head, old, deadline)
        for _ in range(_ROUNDS):
            if answer.status != _CONFLICT:
                break
            head, old = self._other_size(answer, head, old, deadline)
            answer = self._request_cosignature(head, old, deadline)
        self._store_cosignature(head, self._accepted(answer, head, deadline))

    def _request_cosignature(self, head: StoredHead, old: int, deadline: Deadline) -> Answer:
        with self._database.transaction(read_only=True) as connection:
            tree = StoredTree(connection)
            proof = consistency_proof(old, head.size, tree.nodes) if 0 < old < head.size else []
        body = AddCheckpoint(old, tuple(proof), head.note).encode()
        target = self._target.under("add-checkpoint")
        return exchange(target, deadline, what=self.name, most=_MOST, body=body, headers=_TEXT)

    def _other_size(
        self, answer: Answer, head: StoredHead, old: int, deadline: Deadline
    ) -> tuple[StoredHead, int]:
        """The head and the old size of the next request, after the witness refused `old`."""
        try:
            size = parse_size(answer.body)
        except ProofError:
            self._contradicted("refused a head (409) without naming the size it has cosigned", head, deadline)
        if size == old:
            self._contradicted(f"has cosigned another head of size {size} (409)", head, deadline, size + 1)
        if size <= head.size:
            return head, size
        with self._database.transaction(read_only=True) as connection:
            newest = newest_head(connection)
        if newest is None or newest.size < size:
            has = 0 if newest is None else newest.size
            self._contradicted(
                f"has cosigned a head of size {size}, and the log has {has} events", head, deadline, size
            )
        return newest, size

    def _contradicted(
        self, claim: str, head: StoredHead, deadline: Deadline, moved: int | None = None
    ) -> NoReturn:
        """Look for proof of the witness's claim in the checkpoint that it serves. Always raises.

        A checkpoint of at least size `moved` that the log continues explains the claim: another client publishes to the
        witness.
        """
        served = self._served_checkpoint(head, deadline)
        if served is None:
            raise UnprovenClaimError(
                f"{self.name} says that it {claim}. This could not be checked: it shows no checkpoint that a key of"
                " this log has signed"
            )
        size = forked_at(self._database, served)
        if size is None and moved is not None and served.size >= moved:
            raise UnavailableError(f"{self.name} has cosigned a newer head of this log meanwhile")
        if size is None:
            raise UnprovenClaimError(
                f"{self.name} says that it {claim}. This could not be confirmed: the log continues the checkpoint of"
                f" size {served.size} that the witness shows"
            )
        if served.size > size:
            what = (
                f"the log has {size} events, but {self.name} has cosigned a head of {served.size} that a key of this"
                " log has signed: its tail is gone, or the database was restored from an older backup"
            )
        else:
            what = (
                f"{self.name} has cosigned a head of {served.size} that a key of this log has signed and that this log"
                " does not continue: run `audit-trail verify`"
            )
        raise ForkedError(what, served.size, served.root)

    def _served_checkpoint(self, head: StoredHead, deadline: Deadline) -> TreeHead | None:
        """The checkpoint of this log that the witness serves to monitors, if a key of the log has signed it."""
        origin = TreeHead.parse(Note.parse(head.note).text).origin
        target = self._target.under(f"{sha256(origin.encode()).hexdigest()}/checkpoint")
        with self._database.transaction(read_only=True) as connection:
            keys = [key for key in self._log_keys or stored_keys(connection) if key.name == origin]
        try:
            answer = exchange(target, deadline, what=self.name, most=_MOST)
            return open_head(answer.body, keys, origin)[0] if answer.status == 200 else None
        except (ProofError, UnavailableError):
            return None

    def _accepted(self, answer: Answer, head: StoredHead, deadline: Deadline) -> bytes:
        """The body of an accepted answer, which contains cosignatures."""
        if answer.status == _CONFLICT:
            raise UnavailableError(f"{self.name} is busy with other heads")
        if answer.status == _INCONSISTENT:
            self._contradicted("has cosigned a head that this log does not continue (422)", head, deadline)
        if answer.status in {400, 403, 404}:
            raise ConfigurationError(
                f"{self.name} answered {answer.status}: it does not know this log or its key"
            )
        if answer.status != 200:
            raise unavailable(answer, self.name)
        if not answer.complete:
            raise UnavailableError(f"{self.name} gave an answer that is too long or was cut off")
        return answer.body

    def _store_cosignature(self, head: StoredHead, body: bytes) -> None:
        text = Note.parse(head.note).text
        try:
            for signature in parse_cosignatures(body):
                if (signature.name, signature.key_id) == (self._key.name, self._key.key_id):
                    cosignatures.check(self._key, text, signature)
                    with self._database.transaction() as connection:
                        add_cosignature(connection, head.size, self._key, signature.line())
                    return
        except ProofError as exc:
            raise UnavailableError(f"{self.name} gave no valid cosignature: {exc}") from exc
        raise ConfigurationError(f"{self.name} signs with a different key than the configured one")
