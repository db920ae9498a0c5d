"""Detect a Kafka client that stalls without an error, by comparing the broker's view with the state of this process.

It runs on a separate thread with a separate connection, so that what stalls the consumer can't stall it. A single check
proves nothing: a rebalance, a slow join or a busy machine look the same for some seconds. So the same kind of finding
must occur in every check for `stall_seconds`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping

import structlog
from kafka import TopicPartition

from domain.errors import AuditTrailError
from event_store.database import Database
from event_store.streams import kafka_stream_id, next_offsets
from ingest.broker.bounded_calls import BoundedCaller, Cause, ClientStalledError
from ingest.broker.group_view import BrokerView, BrokerWatch
from ingest.health import Health, ReaderState, names
from ingest.metrics import IngestMetrics
from ingest.settings import IngestSettings

log = structlog.get_logger(__name__)

Offsets = Mapping[TopicPartition, int]
Stall = tuple[Cause, str]

_DATABASE_SECONDS = 15.0
_SINGLE_PARTITION_FACTOR = 10
"""A multiple of `stall_seconds`: how long one partition may make no progress while others of this process do.

The client fetches partitions in turn, and a slow database makes a turn long.
"""


class Suspicions:
    """Counts consecutive checks with findings. Not thread-safe."""

    def __init__(self, checks: int) -> None:
        self._checks = checks
        self._reading = 0
        self._still: dict[TopicPartition, int] = {}
        self._last: dict[TopicPartition, int] = {}

    def reset(self) -> None:
        """Reset the counters: the last check is too old, or the client was replaced."""
        self._reading = 0
        self._still.clear()
        self._last.clear()

    def finding(self, view: BrokerView, reader: ReaderState, *, appends_late: bool) -> Stall | None:
        """The finding that persisted long enough to replace the client, or None."""
        found = unread(view, reader) or (None if appends_late else not_opened(reader))
        self._reading = self._reading + 1 if found else 0
        if found and self._reading >= self._checks:
            return found
        if appends_late:  # then nothing is fetched
            self._still.clear()
            return None
        return self._stalled(view, reader)

    def _stalled(self, view: BrokerView, reader: ReaderState) -> Stall | None:
        moved = any(offset != self._last.get(partition) for partition, offset in reader.next.items())
        behind = {
            partition
            for partition, offset in reader.next.items()
            if partition not in reader.stopped
            and offset < view.ends.get(partition, 0)
            and offset == self._last.get(partition)
        }
        self._last = dict(reader.next)
        self._still = {partition: self._still.get(partition, 0) + 1 for partition in behind}
        limit = self._checks * (_SINGLE_PARTITION_FACTOR if moved else 1)
        late = {partition for partition, checks in self._still.items() if checks >= limit}
        return ("fetch_stalled", f"not fetched although Kafka has more: {names(late)}") if late else None


def unread(view: BrokerView, reader: ReaderState) -> Stall | None:
    """A mismatch between the group's assignment and the partitions read here; None during a rebalance."""
    wanted = frozenset(partition for partition in view.partitions if partition.topic in reader.subscribed)
    group = view.group
    if group is None or group.rebalances or not wanted:
        # Without a group there is nothing to compare: static assignment, or a broker that can't describe one.
        return None
    mine = group.members.get(reader.member or "")
    if mine is None:
        return "not_a_member", f"this process is not a member of its group, whose state is {group.state}"
    if mine - reader.assigned:
        return (
            "assignment_lost",
            f"assigned by the group but not known here: {names(mine - reader.assigned)}",
        )
    if wanted - group.read:
        return "partition_unread", f"read by no member of the group: {names(wanted - group.read)}"
    return None


def not_opened(reader: ReaderState) -> Stall | None:
    """Assigned partitions that nothing keeps from being opened."""
    if reader.closed and reader.not_opened is None:
        return "partition_not_opened", f"assigned here but not opened: {names(reader.closed)}"
    return None


class Watchdog:
    """Checks every `watch_seconds`, from `start` to `stop`."""

    def __init__(
        self, settings: IngestSettings, database: Database, metrics: IngestMetrics, health: Health
    ) -> None:
        self._settings = settings
        self._database = database
        self._metrics = metrics
        self._health = health
        self._broker = BrokerWatch(settings)
        self._suspicions = Suspicions(max(2, round(settings.stall_seconds / settings.watch_seconds)))
        self._ask_database = BoundedCaller("database-watch", _DATABASE_SECONDS)
        self._stopping = threading.Event()
        self._client = 0
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._checked_at = time.monotonic()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, in bounded time."""
        self._stopping.set()
        self._thread.join(self._settings.watch_seconds + 1)

    def _run(self) -> None:
        seconds = min(1.0, self._settings.watch_seconds)
        while not self._stopping.wait(seconds):
            seconds = self._settings.watch_seconds
            try:
                self._check()
            except Exception:
                # The watchdog must survive while ingest runs, whatever the client library raises.
                log.exception("watchdog_failed")
                self._suspicions.reset()
        self._broker.close()
        self._ask_database.close()

    def _check(self) -> None:
        self._forget_after_a_pause()
        view = self._view()
        if view is None:
            self._suspicions.reset()
            return
        reader = self._health.reader
        stored = self._stored(view)
        self._measure(view, reader, stored)
        if reader is None or reader.client != self._client or self._loop_is_busy():
            self._client = reader.client if reader is not None else 0
            self._suspicions.reset()
            return
        self._health.findings = tuple(_messages(view, reader))
        found = self._suspicions.finding(view, reader, appends_late=self._health.appends_late)
        if found is not None:
            cause, words = found
            self._health.client_stalled(reader.client, ClientStalledError(cause, words))
            self._suspicions.reset()

    def _loop_is_busy(self) -> bool:
        """Whether the loop is in one long call, so that its state is old. Calls to Kafka have time limits."""
        return self._health.silent_seconds > 2 * self._settings.watch_seconds

    def _forget_after_a_pause(self) -> None:
        """After a pause of the process or the machine, earlier checks prove nothing."""
        now = time.monotonic()
        if now - self._checked_at > 3 * self._settings.watch_seconds + 10:
            self._suspicions.reset()
        self._checked_at = now

    def _view(self) -> BrokerView | None:
        try:
            view = self._broker.view()
        except AuditTrailError as exc:
            self._health.broker_error = str(exc)
            return None
        self._health.broker_error = None
        self._health.broker_seen = time.monotonic()
        return view

    def _stored(self, view: BrokerView) -> Offsets | None:
        """The next offset of each partition in the store, or None when the database does not answer."""
        streams = {
            kafka_stream_id(view.topic_ids[partition.topic], partition.partition): partition
            for partition in view.partitions
            if partition.topic in view.topic_ids
        }
        try:
            found = self._ask_database(lambda: next_offsets(self._database, list(streams)))
        except AuditTrailError as exc:
            # A hanging call occupies a connection of the pool, so no second call is made before it returns.
            self._health.database_error = "no answer" if isinstance(exc, ClientStalledError) else str(exc)
            return None
        self._health.database_error = None
        return {streams[stream]: offset for stream, offset in found.items()}

    def _measure(self, view: BrokerView, reader: ReaderState | None, stored: Offsets | None) -> None:
        """Measure the lag of the partitions that are read here, and of those that nobody reads."""
        if stored is None:
            return
        here = reader.assigned if reader is not None else frozenset()
        if view.group is not None:
            elsewhere = view.group.read - here
        else:  # a static assignment has all; in a group that can't be described, others may have the rest
            elsewhere = view.partitions - here if self._settings.assignment == "group" else frozenset()
        for partition, end in view.ends.items():
            if partition not in elsewhere:
                lag = max(0, end - stored.get(partition, 0))
                self._metrics.lag(partition.topic, partition.partition, lag)
            else:
                self._metrics.forget_lag(partition.topic, partition.partition)


def _messages(view: BrokerView, reader: ReaderState) -> Iterable[str]:
    if view.group is not None and view.group.rebalances:
        yield f"the consumer group is rebalancing ({view.group.state})"
    found = unread(view, reader)
    if found is not None:
        yield found[1]
    if view.group is None and view.partitions - reader.assigned:
        # Static assignment, or a group that the broker can't describe.
        yield f"not assigned here: {names(view.partitions - reader.assigned)}"
    if view.without_leader:
        yield f"without a leader in Kafka: {names(view.without_leader)}"
