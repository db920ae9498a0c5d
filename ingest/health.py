"""The state of one ingest process, shared by its threads, and its problems as text."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from kafka import TopicPartition

from ingest.broker.bounded_calls import ClientStalledError

_LOOP_SECONDS = 30.0
_BROKER_SECONDS = 60.0
_WAIT_SECONDS = 10.0
"""A batch takes the database well below a second, a rebalance some seconds."""
_MAX_NAMES = 10


class ReaderState(NamedTuple):
    """The state of a source at one moment. `client` counts the Kafka clients of this process.

    `next` is the next offset to poll of each open partition; `stored` is the first offset that is not in the event
    store. `stopped` maps each stopped partition to the reason as text.
    """

    client: int = 0
    member: str | None = None
    subscribed: frozenset[str] = frozenset()
    assigned: frozenset[TopicPartition] = frozenset()
    next: Mapping[TopicPartition, int] = {}
    stored: Mapping[TopicPartition, int] = {}
    stopped: Mapping[TopicPartition, str] = {}
    missing: frozenset[str] = frozenset()
    not_opened: str | None = None
    """Why partitions could not be opened at the last try."""

    @property
    def closed(self) -> frozenset[TopicPartition]:
        """Assigned partitions that are not open."""
        return self.assigned - self.next.keys()


class Health:
    """The health of the process. The loop and the watchdog write it, any thread reads it.

    Each attribute is replaced as a whole.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stalled: ClientStalledError | None = None
        self._last_round = time.monotonic()
        self._append_waits: float | None = None
        self._running = False
        self._stopped_by: str | None = None
        self.reader: ReaderState | None = None
        self.waits: str | None = None
        self.broker_seen: float | None = None
        self.broker_error: str | None = None
        self.database_error: str | None = None
        self.findings: tuple[str, ...] = ()

    @property
    def appends_late(self) -> bool:
        """Whether a batch waits for the database, so that nothing is fetched."""
        return self._append_waits is not None

    @property
    def silent_seconds(self) -> float:
        """Seconds since the last round of the loop."""
        return time.monotonic() - self._last_round

    def running(self, running: bool) -> None:
        """Record that the loop has started or ended."""
        self._running = running
        self.loop_ran()

    def stopped_by(self, error: Exception) -> None:
        """Record the error that has ended the loop, for a process that stays up so that it can be seen."""
        self._stopped_by = str(error)

    def loop_ran(self) -> None:
        """Record a round of the loop."""
        self._last_round = time.monotonic()

    def append_waits(self, waits: bool) -> None:
        """Record whether the current batch is still not committed."""
        if not waits:
            self._append_waits = None
        elif self._append_waits is None:
            self._append_waits = time.monotonic()

    def client_stalled(self, client: int, error: ClientStalledError) -> None:
        """Request a new Kafka client in place of `client`; called by the watchdog."""
        with self._lock:
            if self.reader is not None and self.reader.client == client:
                self._stalled = error

    def new_client(self) -> None:
        """Record that a new client is being created: findings about the previous one no longer count."""
        with self._lock:
            self._stalled = self.reader = None

    def raise_if_stalled(self) -> None:
        """Raise the watchdog's finding, once."""
        with self._lock:
            stalled, self._stalled = self._stalled, None
        if stalled is not None:
            raise stalled

    def problems(self) -> list[str]:
        """The problems that keep this process from reading and storing everything; empty when ready."""
        if not self._running:
            return [self._stopped_by or "ingest does not run"]
        return [*self._of_the_loop(), *self._of_partitions(), *self._of_services(), *self.findings]

    def _of_the_loop(self) -> list[str]:
        problems = [self.waits] if self.waits else []
        if self.silent_seconds > _LOOP_SECONDS:
            problems.append(f"the ingest loop has not run for {self.silent_seconds:.0f} s")
        since = self._append_waits
        if since is not None and time.monotonic() - since > _WAIT_SECONDS:
            problems.append(
                f"a batch has waited for the database for {time.monotonic() - since:.0f} s: see append_waits in the log"
            )
        return problems

    def _of_partitions(self) -> list[str]:
        reader = self.reader
        if reader is None:
            return ["not connected to Kafka yet"]
        problems = [f"topic {name} does not exist" for name in sorted(reader.missing)]
        if reader.closed:
            why = f": {reader.not_opened}" if reader.not_opened else ""
            problems.append(f"assigned but not open: {names(reader.closed)}{why}")
        problems.extend(reader.stopped.values())
        return problems

    def _of_services(self) -> list[str]:
        problems = []
        if self.database_error:
            problems.append(f"the database: {self.database_error}")
        seen = self.broker_seen
        if seen is None:
            problems.append(f"Kafka: {self.broker_error or 'the group and the topics were not checked yet'}")
        elif time.monotonic() - seen > _BROKER_SECONDS:
            problems.append(
                f"Kafka: no answer for {time.monotonic() - seen:.0f} s ({self.broker_error or 'no error'})"
            )
        return problems


def names(partitions: AbstractSet[TopicPartition]) -> str:
    """The partitions as ``topic-partition``, abbreviated."""
    found = sorted(f"{partition.topic}-{partition.partition}" for partition in partitions)
    rest = f" and {len(found) - _MAX_NAMES} more" if len(found) > _MAX_NAMES else ""
    return ", ".join(found[:_MAX_NAMES]) + rest
