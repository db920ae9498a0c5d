"""The guard's findings: stored, shown as metrics, and published to the trail."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from audit_trail.guard.events import ended_event, found_event
from audit_trail.guard.metrics import GuardMetrics
from domain.errors import AuditTrailError, UnavailableError
from domain.event import AuditEvent
from event_store.database import Connection, Database
from event_store.integrity_findings import (
    Certainty,
    Check,
    NewFinding,
    StoredFinding,
    end_findings,
    mark_answered,
    mark_reported,
    open_findings,
    see_finding,
    unanswered,
    unreported,
)
from event_store.stored_tree import StoredTree
from event_store.tlog.proofs import root_at

log = structlog.get_logger(__name__)

Report = Callable[[AuditEvent], None]
"""Publishes an event, which takes the normal way into the trail."""

_POLL_SECONDS = 2.0
"""Between two reads of the table: an operator's command closes findings in it."""
_MOST_UNSTORED = 1000


class Findings:
    """Records, ends and publishes findings. For several threads."""

    def __init__(
        self, database: Database, report: Report, metrics: GuardMetrics, *, quiet_seconds: float
    ) -> None:
        """`quiet_seconds`: in this time the trail gets one event about findings of one kind."""
        self._database = database
        self._report = report
        self._metrics = metrics
        self._quiet_seconds = quiet_seconds
        self._unstored: dict[tuple[Check, str, str], NewFinding] = {}
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._open = 0
        self._unread = "they were not read yet"

    def problems(self) -> list[str]:
        """The number of open findings, and why it is unknown when it is."""
        waiting = self._open + len(self._unstored)
        known = [f"{waiting} findings are open: see `audit-trail findings list`"] if waiting else []
        return [*known, f"the open findings are not known: {self._unread}"] if self._unread else known

    def check_schema(self) -> None:
        """Raise `ConfigurationError` when the table of findings is missing; an unreachable database is no error."""
        try:
            with self._database.transaction(read_only=True) as connection:
                open_findings(connection)
        except UnavailableError:
            return

    def found(self, finding: NewFinding) -> None:
        """Record a finding: in the log each time, in the table once. When the database is away, it is stored later."""
        fact = finding.certainty is Certainty.FACT
        (log.error if fact else log.warning)(
            "integrity_check_failed" if fact else "integrity_check_unconfirmed",
            check=finding.check.value,
            place=finding.place,
            position=finding.position,
            finding=finding.what,
            size=finding.log_size,
        )
        with self._lock:
            if len(self._unstored) < _MOST_UNSTORED:
                self._unstored.setdefault((finding.check, finding.place, finding.cause), finding)
        try:
            self._store()
        except AuditTrailError as exc:
            log.warning("finding_not_stored", error=str(exc))
        self._woken.set()

    def took(self, place: str) -> None:
        """End the findings of `place`, which accepted a head, unless the log still contradicts an earlier head there.

        A finding that ended often recently stays open: see `end_findings`.
        """
        self._store()
        with self._database.transaction() as connection:
            mine = [
                each
                for each in open_findings(connection)
                if (each.check, each.place) == (Check.PUBLISH, place)
            ]
            if mine:
                tree = StoredTree(connection)
                self._end(connection, [each for each in mine if _continued(tree, each)])

    def passed(self, since: int) -> None:
        """End the findings about the range from position `since`, in which a verification found nothing."""
        self._store()
        with self._database.transaction() as connection:
            found = [each for each in open_findings(connection) if each.check is Check.VERIFY]
            self._end(connection, [each for each in found if since == 0 or _at_or_after(each, since)])

    def run(self) -> None:
        """Store, publish and show findings until `stop`, and once more then."""
        while not self._stopping.is_set():
            self._turn()
            self._woken.wait(_POLL_SECONDS)
            self._woken.clear()
        self._turn()

    def stop(self) -> None:
        """Let `run` end."""
        self._stopping.set()
        self._woken.set()

    def _turn(self) -> None:
        try:
            self._store()
            with self._database.transaction(read_only=True) as connection:
                found = open_findings(connection)
            self._open, self._unread = len(found), ""
            self._metrics.show(found)
            self._publish()
        except AuditTrailError as exc:
            with self._lock:
                waiting = list(self._unstored.values())
            self._metrics.show_unstored(waiting)
            self._unread = str(exc)
            log.warning("findings_not_published", error=str(exc))

    def _store(self) -> None:
        with self._lock:
            for key, finding in list(self._unstored.items()):
                with self._database.transaction() as connection:
                    see_finding(connection, finding)
                del self._unstored[key]

    def _publish(self) -> None:
        """Publish events that the trail does not have yet. After a crash, the same event is published again."""
        with self._database.transaction(read_only=True) as connection:
            found = unreported(connection, self._quiet_seconds)
        for each in found:
            self._report(found_event(each))
            with self._database.transaction() as connection:
                mark_reported(connection, each.id)
        with self._database.transaction(read_only=True) as connection:
            ended = unanswered(connection)
        for each in ended:
            self._report(ended_event(each))
            with self._database.transaction() as connection:
                mark_answered(connection, each.id)

    def _end(self, connection: Connection, findings: list[StoredFinding]) -> None:
        if not findings:
            return
        ended = end_findings(connection, [each.id for each in findings])
        for each in ended:
            log.info("integrity_finding_ended", finding=each.id, check=each.check.value, place=each.place)
        for each in (each for each in findings if each not in ended):
            log.warning("integrity_finding_flaps", finding=each.id, check=each.check.value, place=each.place)
        self._woken.set()


def _continued(tree: StoredTree, finding: StoredFinding) -> bool:
    """Whether the log continues the head that the finding is about; True when it is about none."""
    size = finding.head_size
    if size is None:
        return True
    return size <= tree.size and root_at(size, tree.nodes) == finding.head_root


def _at_or_after(finding: StoredFinding, since: int) -> bool:
    return finding.position is not None and finding.position >= since
