"""The scheduled verification: new events often, the whole log from time to time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import structlog

from audit_trail.guard.findings import Findings
from audit_trail.guard.metrics import LOG, GuardMetrics
from domain.errors import AuditTrailError
from event_store.database import GUARD, Database
from event_store.integrity_findings import Certainty, Check, NewFinding, without_numbers
from event_store.log_verification import note_verification
from event_store.tlog.notes import VerifierKey
from event_store.verify.findings import Finding
from event_store.verify.run import verify

log = structlog.get_logger(__name__)

_OVERDUE_INTERVALS = 3
_LONG_SECONDS = 3600.0
"""A verification is overdue after so many intervals and this time, which a long log may take."""
_SHOWN = 10
"""Findings of one verification that are stored. The first one matters most."""


class Verification:
    """Verifies new events every `interval` seconds, and the whole log every `interval_all` seconds; 0 is never."""

    def __init__(
        self,
        database: Database,
        url: str,
        keys: Sequence[VerifierKey],
        interval: float,
        interval_all: float,
        findings: Findings,
        metrics: GuardMetrics,
        stopping: threading.Event,
    ) -> None:
        self._database = database
        self._url = url
        self._keys = tuple(keys)
        self._interval = interval
        self._interval_all = interval_all
        self._due_seconds = _OVERDUE_INTERVALS * interval + _LONG_SECONDS
        self._findings = findings
        self._metrics = metrics
        self._stopping = stopping
        self._verified = 0
        self._ended_at = time.monotonic()
        self._failure = ""

    def problems(self) -> list[str]:
        """The problem when the last verification failed, or when none has ended for too long."""
        if self._failure:
            return [f"the log could not be verified: {self._failure}"]
        since = time.monotonic() - self._ended_at
        if self._interval and since > self._due_seconds:
            return [f"verification is overdue: the last one ended {since:.0f} s ago"]
        return []

    def run(self) -> None:
        """Verify until `stopping` is set."""
        if not self._interval:
            return
        next_all = 0.0
        while not self._stopping.is_set():
            everything = bool(self._interval_all) and time.monotonic() >= next_all
            if self._verify(0 if everything else self._verified) and everything:
                next_all = time.monotonic() + self._interval_all
            self._stopping.wait(self._interval)

    def _verify(self, since: int) -> bool:
        try:
            report = verify(self._url, GUARD, self._keys, since=since)
            if not report.findings:
                self._findings.passed(report.since)
        except AuditTrailError as exc:
            log.warning("not_verified", error=str(exc))
            self._failure = str(exc)
            self._note(problem=self._failure)
            return False
        self._failure = ""
        self._metrics.verified_at.set_to_current_time()
        self._ended_at = time.monotonic()
        for finding in report.findings[:_SHOWN]:
            self._findings.found(_fact(finding, report.size))
        if not report.findings:
            self._verified = report.size
            self._metrics.verified_size.set(report.size)
            log.info("log_verified", since=report.since, size=report.size, heads=report.heads)
        self._note(None if report.findings else report.size, everything=report.since == 0)
        return True

    def _note(self, size: int | None = None, *, everything: bool = False, problem: str = "") -> None:
        """Say in the database how it ended, for pages. Verification does not depend on it."""
        try:
            note_verification(
                self._database,
                due_seconds=self._due_seconds,
                size=size,
                everything=everything,
                problem=problem,
            )
        except AuditTrailError as exc:
            log.warning("verification_not_noted", error=str(exc))


def _fact(finding: Finding, log_size: int) -> NewFinding:
    cause = f"{'' if finding.position is None else finding.position}: {without_numbers(finding.what)}"
    return NewFinding(
        Check.VERIFY, LOG, cause, Certainty.FACT, finding.what, log_size, position=finding.position
    )
