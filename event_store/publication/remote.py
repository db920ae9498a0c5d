"""Heads to others over HTTP: a webhook that keeps them, and witnesses that cosign them (C2SP tlog-witness)."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import NamedTuple

from domain.errors import ConfigurationError, LogInconsistentError, ProofError, UnavailableError
from event_store.database import Database
from event_store.heads import StoredHead, add_cosignature, largest_cosigned
from event_store.nodes import StoredTree
from event_store.tlog import cosignatures
from event_store.tlog.notes import Note, VerifierKey
from event_store.tlog.proofs import consistency_proof
from event_store.tlog.witnessing import AddCheckpoint, parse_cosignatures, parse_size

_SECONDS = 15.0
_MOST = 64 << 10
_CONFLICT = 409


class _Answer(NamedTuple):
    status: int
    body: bytes


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A head goes where the setting says and nowhere else."""

    def redirect_request(self, *_: object) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


class Webhook:
    """A URL that takes each head as the body of a POST, and answers 2xx when it has kept it."""

    name = "webhook"

    def __init__(self, url: str) -> None:
        """Raises `ConfigurationError` when `url` is none."""
        self._url = _checked(url, "the webhook for heads")

    def published(self) -> Sequence[bytes]:
        """A webhook can't be asked."""
        return ()

    def publish(self, head: StoredHead) -> None:
        """POST the checkpoint."""
        answer = _post(self._url, head.checkpoint, self.name)
        if not 200 <= answer.status < 300:
            raise UnavailableError(f"the webhook for heads answered {answer.status}")


class Witness:
    """A witness: it signs a head only when it continues the one before. The database keeps what it signs."""

    def __init__(self, key: VerifierKey, url: str, database: Database) -> None:
        """Raises `ConfigurationError` when `url` is none."""
        self.name = f"witness {key.name}"
        self._key = key
        self._url = _checked(url, self.name).rstrip("/") + "/add-checkpoint"
        self._database = database

    def published(self) -> Sequence[bytes]:
        """It answers for itself, when the next head is published."""
        return ()

    def publish(self, head: StoredHead) -> None:
        """Have the head cosigned, and store what it signed. A witness that has seen another size says which."""
        with self._database.transaction(read_only=True) as connection:
            old = min(largest_cosigned(connection, self._key), head.size)
        answer = self._ask(head, old)
        if answer.status == _CONFLICT:
            answer = self._ask(head, self._size(answer.body, head))
        if answer.status == _CONFLICT:
            raise UnavailableError(f"{self.name} is busy with another head")
        if answer.status == 422:
            raise LogInconsistentError(
                f"{self.name} has cosigned a head that this log does not continue: run `audit-trail verify`"
            )
        if answer.status in {400, 403, 404}:
            raise ConfigurationError(
                f"{self.name} answered {answer.status}: it does not know this log or its key"
            )
        if answer.status != 200:
            raise UnavailableError(f"{self.name} answered {answer.status}")
        self._keep(head, answer.body)

    def _ask(self, head: StoredHead, old: int) -> _Answer:
        with self._database.transaction(read_only=True) as connection:
            tree = StoredTree(connection)
            proof = consistency_proof(old, head.size, tree.nodes) if 0 < old < head.size else []
        return _post(self._url, AddCheckpoint(old, tuple(proof), head.note).encode(), self.name)

    def _size(self, body: bytes, head: StoredHead) -> int:
        try:
            size = parse_size(body)
        except ProofError as exc:
            raise UnavailableError(f"{self.name} did not say which size it has: {exc}") from exc
        if size > head.size:
            raise LogInconsistentError(
                f"the log has {head.size} events, but {self.name} has cosigned a head of {size}: its tail is gone,"
                " or the database was restored from an older backup"
            )
        return size

    def _keep(self, head: StoredHead, body: bytes) -> None:
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
        raise ConfigurationError(f"{self.name} signs with another key than the one that the settings name")


def _checked(url: str, what: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise ConfigurationError(f"{what} needs a URL that begins with https:// or http://")
    return url


def _post(url: str, body: bytes, what: str) -> _Answer:
    request = urllib.request.Request(url, body, {"Content-Type": "text/plain; charset=utf-8"})  # noqa: S310
    try:
        with _opener.open(request, timeout=_SECONDS) as answer:
            return _Answer(answer.status, answer.read(_MOST))
    except urllib.error.HTTPError as exc:
        with exc:
            return _Answer(exc.code, exc.read(_MOST))
    except (OSError, http.client.HTTPException, ValueError) as exc:
        # The reason could repeat the URL, which may hold a secret.
        raise UnavailableError(f"{what} does not answer ({type(exc).__name__})") from exc
