"""The guard's threads: one for each destination, one that verifies, one that publishes findings."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog
from prometheus_client import CollectorRegistry

from audit_trail.guard.findings import Findings, Report
from audit_trail.guard.head_publisher import HeadPublisher
from audit_trail.guard.metrics import GuardMetrics
from audit_trail.guard.rounds import Rounds
from audit_trail.guard.verification import Verification
from event_store.database import Database
from event_store.head_places import forget_other_places
from event_store.publication.destination import Destination
from event_store.tlog.notes import VerifierKey

log = structlog.get_logger(__name__)

_LEAVE_SECONDS = 18.0
"""How long `run` waits after `stop` for destinations that hang. A supervisor's SIGKILL commonly comes after 30."""
_REPORT_SECONDS = 5.0
"""How long it then waits until the last findings are published and a verification has stopped."""


class Intervals(NamedTuple):
    """Seconds between publications, between verifications of new events, and of all events; 0 is never."""

    publish: float
    verify: float
    verify_all: float


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
        """`again`: seconds after a published finding in which no other one of its kind is published."""
        names = [each.name for each in destinations]
        metrics = GuardMetrics(names, registry)
        self._database = database
        self._stopping = threading.Event()
        self._broken: BaseException | None = None
        self._findings = Findings(database, report, metrics, quiet_seconds=again)
        rounds = Rounds(intervals.publish, self._stopping)
        self._publishers = [
            HeadPublisher(each, database, keys, rounds, self._findings, metrics, self._stopping)
            for each in destinations
        ]
        self._verification = Verification(
            database,
            url,
            keys,
            intervals.verify,
            intervals.verify_all,
            self._findings,
            metrics,
            self._stopping,
        )

    def problems(self) -> list[str]:
        """The problems that keep the guard from its work, or none. It answers at once, to any thread."""
        return [
            *(
                f"heads are not published to {each.name}: {each.problem}"
                for each in self._publishers
                if each.problem
            ),
            *self._findings.problems(),
            *self._verification.problems(),
        ]

    def stop(self) -> None:
        """End `run`: each destination gets the newest head once more."""
        self._stopping.set()

    def run(self) -> None:
        """Publish and verify until `stop`, and return within a bounded time after it, even when a destination hangs.

        Raises `ConfigurationError` at once when the database has no table of findings.
        """
        self._findings.check_schema()
        forget_other_places(self._database, [each.name for each in self._publishers])
        log.info("guard_started", places=[each.name for each in self._publishers])
        publishing = [self._start(each.name, each.run) for each in self._publishers]
        verifying = self._start("verify", self._verification.run)
        reporting = self._start("findings", self._findings.run)
        self._stopping.wait()
        until = time.monotonic() + _LEAVE_SECONDS
        for thread in publishing:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                log.warning("place_left_behind", place=thread.name)
        self._findings.stop()
        until = time.monotonic() + _REPORT_SECONDS
        for thread in (reporting, verifying):
            thread.join(max(0.0, until - time.monotonic()))
        log.info("guard_stopped")
        if self._broken is not None:
            raise self._broken

    def _start(self, name: str, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._work, args=(work,), name=name, daemon=True)
        thread.start()
        return thread

    def _work(self, work: Callable[[], None]) -> None:
        """Run `work`. Its failure by a defect ends the guard, which would otherwise no longer publish or verify."""
        try:
            work()
        except Exception as exc:  # noqa: BLE001 - raised again by `run`
            self._broken = exc
            self.stop()
