"""The guard: publishes signed heads outside the database, and verifies the log again and again.

Failures: a place that is away is **retry**, each with a pause of its own. A log that contradicts what was published or
signed is never published again; it is said in the log lines, the metrics and in the trail itself, as
`integrity_check.failed`: once for each finding, and hourly at most for findings that differ by numbers alone. The guard
stays up to say so; ingest refuses to append by itself.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from domain.errors import AuditTrailError, ConfigurationError, LogInconsistentError, UnavailableError
from domain.event import Actor, ActorKind, AuditEvent, Outcome, Source
from event_store.database import GUARD, Database
from event_store.heads import StoredHead, newest_head, stored_keys
from event_store.publication.destination import Destination
from event_store.publication.forks import refuse_fork, refuse_forks
from event_store.tlog.notes import VerifierKey
from event_store.tlog.tree_heads import TreeHead
from event_store.verify.run import verify

log = structlog.get_logger(__name__)

SERVICE = "audit-trail"
_PAUSES = (1.0, 60.0)
"""First and longest pause, in seconds, before a place that is away is tried again."""
_FAREWELL = 10.0
"""Seconds that the last heads may take at shutdown."""
_SHOWN = 10
"""Findings of one verification that become events; the first one is what counts."""

_CHANGING = re.compile(r"\b[0-9a-f]{16,}\b|[0-9]+")
"""Sizes, positions and hashes in a finding: each event about it makes the log grow, and so the number another."""

_OVERDUE = 3
"""Intervals that may pass without a verification, beside the time that one takes:"""
_LONG_VERIFICATION = 3600.0

Report = Callable[[AuditEvent], None]
"""Puts an event on its normal way into the trail."""


class Intervals(NamedTuple):
    """Seconds between publications, between verifications of what is new, and of everything; 0 is never."""

    publish: float
    verify: float
    verify_all: float


class GuardMetrics:
    """The guard's numbers for Prometheus."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or REGISTRY
        self.published = Gauge(
            "audit_trail_guard_published_size",
            "Size of the newest head that a place has.",
            ["place"],
            registry=registry,
        )
        self.failures = Counter(
            "audit_trail_guard_publish_failures",
            "Heads that a place did not take, by why.",
            ["place", "kind"],
            registry=registry,
        )
        self.findings = Gauge(
            "audit_trail_guard_findings",
            "Findings of the last verification, and of the last look at what was published; 0 is well.",
            ["check"],
            registry=registry,
        )
        self.verified_size = Gauge(
            "audit_trail_guard_verified_size", "Up to which size the log was verified.", registry=registry
        )
        self.verified_at = Gauge(
            "audit_trail_guard_verified_timestamp_seconds",
            "When the last verification ended.",
            registry=registry,
        )


class _Place:
    """A destination, and when it is tried next."""

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self.head: TreeHead | None = None
        self.pause = 0.0
        self.due = 0.0
        self.problem = ""

    def failed(self, problem: str) -> None:
        self.problem = problem
        self.pause = min(max(self.pause * 2, _PAUSES[0]), _PAUSES[1])
        self.due = time.monotonic() + self.pause

    def took(self, head: TreeHead) -> None:
        self.head = head
        self.problem = ""
        self.pause = self.due = 0.0


class Guard:
    """Runs until `stop`. `keys` are the trusted public keys; without any, those that the database names are used."""

    def __init__(
        self,
        database: Database,
        url: str,
        destinations: Sequence[Destination],
        keys: Sequence[VerifierKey],
        intervals: Intervals,
        report: Report,
        *,
        registry: CollectorRegistry | None = None,
        again: float = 3600.0,
    ) -> None:
        """`again` is how many seconds findings of one kind keep quiet in the trail after one was said there."""
        self._database = database
        self._url = url
        self._places = [_Place(each) for each in destinations]
        self._keys = tuple(keys)
        self._intervals = intervals
        self._report = report
        self._metrics = GuardMetrics(registry)
        self._stopping = threading.Event()
        self._again = again
        self._said: set[tuple[str, int | None]] = set()
        self._quiet_until: dict[tuple[str, bool], float] = {}
        self._unsaid: list[AuditEvent] = []
        self._saying = threading.Lock()
        self._verified = 0
        self._open_findings = 0
        self._verified_at = time.monotonic()

    def problems(self) -> list[str]:
        """What keeps the guard from its work, in words; nothing when all is well. Answers at once."""
        found = [
            f"heads are not published to {place.destination.name}: {place.problem}"
            for place in self._places
            if place.problem
        ]
        if self._open_findings:
            found.append(
                f"the log is NOT intact: the last verification has {self._open_findings} findings; `audit-trail verify`"
            )
        since = time.monotonic() - self._verified_at
        if self._intervals.verify and since > _OVERDUE * self._intervals.verify + _LONG_VERIFICATION:
            found.append(f"verification is overdue: the last one ended {since:.0f} s ago")
        return found

    def stop(self) -> None:
        """Ask `run` to end: it publishes the newest head once more."""
        self._stopping.set()

    def run(self) -> None:
        """Publish and verify until `stop`."""
        verifying = threading.Thread(target=self._verify_for_ever, name="verify", daemon=True)
        verifying.start()
        while not self._stopping.is_set():
            self._publish_newest()
            self._say()
            if self._places and not any(place.head for place in self._places):
                self._stopping.wait(_PAUSES[0])  # the log is young, or a place away
                continue
            retry = min((place.due for place in self._places if place.due), default=float("inf"))
            self._stopping.wait(max(0.1, min(self._intervals.publish, retry - time.monotonic())))
        until = time.monotonic() + _FAREWELL
        for place in self._places:
            place.due = 0.0
        while self._publish_newest() and time.monotonic() < until:
            time.sleep(0.5)
        self._say()
        log.info("guard_stopped")

    def _publish_newest(self) -> bool:
        """Publish the newest head where it is not yet; returns whether a place that may yet take it is left."""
        try:
            with self._database.transaction(read_only=True) as connection:
                head = newest_head(connection)
                keys = self._keys or tuple(reversed(stored_keys(connection)))
        except AuditTrailError as exc:
            log.warning("heads_not_read", error=str(exc))
            return True
        if head is None:
            return False
        now = time.monotonic()
        due = [
            place
            for place in self._places
            if place.due <= now and (place.head is None or place.head.size != head.size)
        ]
        left = [place for place in due if self._publish(place, head, keys)]
        return bool(left)

    def _publish(self, place: _Place, head: StoredHead, keys: Sequence[VerifierKey]) -> bool:
        """Returns whether to try again soon. First the log has to be the continuation of what the place has."""
        name = place.destination.name
        try:
            if place.head is None:
                refuse_forks(self._database, keys, [place.destination])
            else:
                refuse_fork(self._database, place.head, name)
            place.destination.publish(head)
        except LogInconsistentError as exc:
            place.failed(str(exc))
            self._metrics.failures.labels(name, "inconsistent").inc()
            self._metrics.findings.labels("publish").set(1)
            self._found(str(exc), None, head.size)
            return False
        except (ConfigurationError, UnavailableError) as exc:
            place.failed(str(exc))
            away = isinstance(exc, UnavailableError)
            self._metrics.failures.labels(name, "away" if away else "refused").inc()
            log.warning("head_not_published", place=name, error=str(exc), seconds=round(place.pause, 1))
            return away
        place.took(TreeHead(keys[0].name, head.size, head.root))
        self._metrics.published.labels(name).set(head.size)
        self._metrics.findings.labels("publish").set(0)
        log.info("head_published", place=name, size=head.size)
        return False

    def _verify_for_ever(self) -> None:
        if not self._intervals.verify:
            return
        next_all = 0.0
        while not self._stopping.is_set():
            everything = bool(self._intervals.verify_all) and time.monotonic() >= next_all
            if self._verify(0 if everything else self._verified) and everything:
                next_all = time.monotonic() + self._intervals.verify_all
            self._stopping.wait(self._intervals.verify)

    def _verify(self, since: int) -> bool:
        try:
            found = verify(self._url, GUARD, self._keys, since=since)
        except AuditTrailError as exc:
            log.warning("not_verified", error=str(exc))
            return False
        self._metrics.findings.labels("verify").set(len(found.findings))
        self._metrics.verified_at.set_to_current_time()
        self._verified_at, self._open_findings = time.monotonic(), len(found.findings)
        for finding in found.findings[:_SHOWN]:
            self._found(finding.what, finding.position, found.size)
        if not found.findings:
            self._verified = found.size
            self._metrics.verified_size.set(found.size)
            log.info("log_verified", since=found.since, size=found.size, heads=found.heads)
        return True

    def _found(self, what: str, position: int | None, size: int) -> None:
        """Say it in the log each time; in the trail once, and another finding of its kind and place hourly at most."""
        log.error("integrity_check_failed", position=position, finding=what, size=size)
        kind = (_CHANGING.sub("#", what), position is not None)
        with self._saying:
            now = time.monotonic()
            if (what, position) in self._said or now < self._quiet_until.get(kind, now):
                return
            self._said.add((what, position))
            self._quiet_until[kind] = now + self._again
            self._unsaid.append(_event(what, position, size))

    def _say(self) -> None:
        """Report what was found; what can't be reported now is reported later."""
        with self._saying:
            events, self._unsaid = self._unsaid, []
        for at, event in enumerate(events):
            try:
                self._report(event)
            except AuditTrailError as exc:
                log.warning("finding_not_reported", error=str(exc))
                with self._saying:
                    self._unsaid[:0] = events[at:]
                return


def _event(what: str, position: int | None, size: int) -> AuditEvent:
    return AuditEvent(
        event_id=uuid4(),
        type="integrity_check.failed",
        occurred_at=datetime.now(UTC),
        source=Source(service=SERVICE),
        actor=Actor(kind=ActorKind.SERVICE, id=f"{SERVICE}-guard"),
        outcome=Outcome.MAJOR_FAILURE,
        outcome_reason=what,
        attributes={"position": position, "log_size": size},
    )
