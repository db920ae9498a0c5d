"""Publishes heads to one destination, in its own thread: a destination that hangs delays no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import structlog

from audit_trail.guard.findings import Findings
from audit_trail.guard.metrics import GuardMetrics
from audit_trail.guard.rounds import Rounds
from domain.errors import (
    AuditTrailError,
    ConfigurationError,
    ForkedError,
    LogInconsistentError,
    ProofError,
    ThrottledError,
    UnavailableError,
    UnprovenClaimError,
)
from event_store.backoff import Backoff
from event_store.database import Database
from event_store.head_places import note_place
from event_store.heads import StoredHead, stored_keys
from event_store.integrity_findings import Certainty, Check, NewFinding
from event_store.publication.destination import Destination
from event_store.publication.forks import refuse_fork, refuse_forks
from event_store.tlog.notes import Note, VerifierKey
from event_store.tlog.tree_heads import TreeHead

log = structlog.get_logger(__name__)

_PAUSES = (1.0, 60.0)
"""First and longest pause, in seconds, before the next attempt at a destination that is away."""
_FAREWELL = 10.0
"""Seconds after `stop` in which the last head is tried again."""


class HeadPublisher:
    """Publishes each newest head to one destination. `problem` says why the destination refused the last one."""

    def __init__(
        self,
        destination: Destination,
        database: Database,
        keys: Sequence[VerifierKey],
        rounds: Rounds,
        findings: Findings,
        metrics: GuardMetrics,
        stopping: threading.Event,
    ) -> None:
        self.name = destination.name
        self._destination = destination
        self._database = database
        self._keys = tuple(keys)
        self._rounds = rounds
        self._findings = findings
        self._metrics = metrics
        self._stopping = stopping
        self._head: TreeHead | None = None
        self._backoff = Backoff(*_PAUSES)
        self._throttled_until = 0.0
        self.problem = ""

    def run(self) -> None:
        """Publish until `stopping` is set, and then the newest head once more."""
        while not self._stopping.is_set():
            self._publish_newest()
            self._stopping.wait(self._wait())
        until = time.monotonic() + _FAREWELL
        while time.monotonic() < until and time.monotonic() >= self._throttled_until:
            if not self._publish_newest():
                return
            time.sleep(0.5)

    def _wait(self) -> float:
        """Seconds until the next attempt."""
        if self._throttled_until > time.monotonic():
            return self._throttled_until - time.monotonic()
        if self._backoff.seconds:
            return self._backoff.seconds
        young = self._head is None or self._head.size == 0
        return min(self._rounds.seconds, _PAUSES[0]) if young else self._rounds.seconds

    def _publish_newest(self) -> bool:
        """Publish the head of the round if the destination does not have it; returns whether to try again soon."""
        try:
            with self._database.transaction(read_only=True) as connection:
                head = self._rounds.head(connection)
                keys = self._keys or tuple(reversed(stored_keys(connection)))
        except AuditTrailError as exc:
            self._backoff.next()
            self.problem = str(exc)
            log.warning("heads_not_read", place=self.name, error=str(exc))
            return True
        if head is None or (self._head is not None and self._head.size == head.size):
            self._backoff.reset()
            self.problem = ""
            self._note(None if self._head is None else self._head.size)
            return False
        return self._publish(head, keys)

    def _publish(self, head: StoredHead, keys: Sequence[VerifierKey]) -> bool:
        """Publish a head, when the log continues the heads of the destination. Returns whether to retry soon."""
        try:
            _check_head(head, keys)
            if self._head is None:
                refuse_forks(self._database, keys, [self._destination])
            else:
                refuse_fork(self._database, self._head, self.name)
            self._destination.publish(head)
            self._findings.took(self.name)
        except (LogInconsistentError, ProofError) as exc:
            self._refused("inconsistent", exc)
            self._findings.found(_fact(self.name, exc, head.size))
            return False
        except UnprovenClaimError as exc:
            self._refused("unconfirmed", exc)
            self._findings.found(_claim(self.name, exc, head.size))
            return False
        except (ConfigurationError, UnavailableError) as exc:
            away = isinstance(exc, UnavailableError)
            self._refused("away" if away else "refused", exc)
            if isinstance(exc, ThrottledError):
                self._throttled_until = time.monotonic() + exc.seconds
            log.warning("head_not_published", place=self.name, error=str(exc), seconds=round(self._wait(), 1))
            return away
        self.problem = ""
        self._head = TreeHead(keys[0].name, head.size, head.root)
        self._backoff.reset()
        self._metrics.published.labels(self.name).set(head.size)
        self._note(head.size)
        log.info("head_published", place=self.name, size=head.size)
        return False

    def _refused(self, why: str, error: AuditTrailError) -> None:
        self._backoff.next()
        self.problem = str(error)
        self._metrics.failures.labels(self.name, why).inc()
        self._note(None if self._head is None else self._head.size)

    def _note(self, size: int | None) -> None:
        """Say in the database what the destination has, for pages. Publishing does not depend on it."""
        try:
            note_place(self._database, self.name, size, self.problem)
        except AuditTrailError as exc:
            log.warning("place_not_noted", place=self.name, error=str(exc))


def _check_head(head: StoredHead, keys: Sequence[VerifierKey]) -> None:
    """Raise `LogInconsistentError` or `ProofError` when the newest head in the database can't be one of this log."""
    if not keys:
        raise LogInconsistentError(
            "the log has signed heads, and the database names no public key: run `audit-trail verify`"
        )
    noted = TreeHead.parse(Note.parse(head.note).text)
    if (noted.size, noted.root) != (head.size, head.root):
        raise LogInconsistentError(
            "the newest head's note is about another tree than its row: run `audit-trail verify`"
        )


def _fact(place: str, error: LogInconsistentError | ProofError, log_size: int) -> NewFinding:
    what = str(error) if isinstance(error, LogInconsistentError) else f"the newest head is malformed: {error}"
    found = NewFinding(Check.PUBLISH, place, "log", Certainty.FACT, what, log_size)
    if not isinstance(error, ForkedError):
        return found
    return found._replace(cause="fork", head_size=error.size, head_root=error.root)


def _claim(place: str, error: UnprovenClaimError, log_size: int) -> NewFinding:
    return NewFinding(Check.PUBLISH, place, "claim", Certainty.CLAIM, str(error), log_size)
