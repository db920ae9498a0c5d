"""A guard that runs in a thread of the tests' process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from prometheus_client import CollectorRegistry

from audit_trail.guard import Guard, Intervals
from audit_trail.guard.findings import Findings
from audit_trail.guard.metrics import GuardMetrics
from domain.event import AuditEvent
from event_store.database import GUARD, Database
from event_store.publication.destination import Destination
from event_store.tlog.notes import VerifierKey
from tests.event_store.verify.tampered_log import Log
from tests.signing import KEY


class Running:
    """A guard that runs in a thread."""

    def __init__(
        self,
        url: str,
        *places: Destination,
        verify: float = 0,
        keys: tuple[VerifierKey, ...] = (KEY.verifier,),
        again: float = 3600,
        report: Callable[[AuditEvent], None] | None = None,
    ) -> None:
        self.events: list[AuditEvent] = []
        self.registry = CollectorRegistry()
        self._database = Database(url, GUARD)
        self._guard = Guard(
            self._database,
            url,
            places,
            keys,
            Intervals(0.1, verify, 0),
            report or self.events.append,
            registry=self.registry,
            again=again,
        )
        self._thread = threading.Thread(target=self._guard.run)
        self._thread.start()

    def until(self, condition: Callable[[], object], seconds: float = 30) -> None:
        """Wait for `condition`."""
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, "it did not happen"
            time.sleep(0.02)

    def number(self, name: str, **labels: str) -> float | None:
        """A metric's value."""
        return self.registry.get_sample_value(name, labels)

    def stop(self) -> None:
        """As SIGTERM does."""
        self._guard.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._database.close()


@contextmanager
def guarding(url: str, *places: Destination, verify: float = 0, again: float = 3600) -> Iterator[Running]:
    running = Running(url, *places, verify=verify, again=again)
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def database_of(log: Log) -> Iterator[Database]:
    with closing(Database(log.url, GUARD)) as database:
        yield database


@contextmanager
def book_of(log: Log) -> Iterator[Findings]:
    with database_of(log) as database:
        metrics = GuardMetrics([], CollectorRegistry())
        yield Findings(database, lambda _: None, metrics, quiet_seconds=3600)


def findings(guard: Running, place: str, check: str = "publish") -> float | None:
    return guard.number("audit_trail_guard_findings", check=check, place=place)


def claims(guard: Running, place: str) -> float | None:
    return guard.number("audit_trail_guard_claims", place=place)
