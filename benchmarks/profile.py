"""Where each microsecond of ingest goes: processor time by thread and process, and each step alone."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any
from uuid import UUID

import psutil
from kafka import KafkaConsumer, TopicPartition

from benchmarks.ingest import ingested, rate
from benchmarks.servers import PARTITIONS, Bench
from event_store import append as appending
from event_store import binary_copy
from event_store.database import INGEST, Database
from event_store.event_rows import encode_events, identity_rows
from event_store.merkle import Edge
from event_store.signing import HeadSigner
from event_store.tlog.notes import SigningKey
from ingest.broker.assignment import consumer_options
from ingest.decoding import Decoded, Record, decode_records
from ingest.records.fetcher import bound

_BATCH = 5000
_STREAM = UUID("0c8b5f2e-2c36-4d9d-8d0c-7b4c4a3f9a55")


def profile(bench: Bench) -> str:
    """Microseconds an event, as lines of text."""
    topic = bench.publish(bench.corpus.messages, bench.corpus.keys)
    lines = ["", "Microseconds an event, in the running ingest (processor time):"]
    lines += [f"    {what:<44} {us:6.1f}" for what, us in _whole(bench, topic)]
    lines += [
        "Microseconds an event, each step alone (processor time of its thread; COPY without PostgreSQL's):"
    ]
    lines += [f"    {what:<44} {us:6.1f}" for what, us in _steps(bench, topic)]
    return "\n".join(lines)


def _whole(bench: Bench, topic: str) -> Iterator[tuple[str, float]]:
    with bench.database() as url:
        bench.settle()
        before = _processes()
        with ingested(bench, url, topic):
            after = _processes() | _threads()
        for what, seconds in after.items():
            yield what, (seconds - before.get(what, 0.0)) / bench.events * 1e6
        yield "on the clock", 1e6 / rate(url)


def _threads() -> dict[str, float]:
    """Processor seconds of ingest's threads, which are all new."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    used: dict[str, float] = {}
    for thread in psutil.Process().threads():
        name = names.get(thread.id, "")
        for prefix, what in (
            ("ingest", "thread that polls and decodes"),
            ("append", "thread that appends"),
            ("kafka-io", "threads of the Kafka client"),
        ):
            if name.startswith(prefix):
                used[what] = used.get(what, 0.0) + thread.user_time + thread.system_time
    return used


def _processes() -> dict[str, float]:
    used = {"PostgreSQL": 0.0, "broker": 0.0}
    for process in psutil.Process(os.getpid()).children(recursive=True):
        with suppress(psutil.NoSuchProcess), process.oneshot():
            what = {"postgres": "PostgreSQL", "java": "broker", "tansu": "broker"}.get(process.name())
            times = process.cpu_times()
            if what:
                used[what] += times.user + times.system
    return used


def _steps(bench: Bench, topic: str) -> Iterator[tuple[str, float]]:
    clock = _Clock(bench.events)
    records = _consumed(bench, topic, clock)
    with bench.database() as url, closing(Database(url, INGEST)) as database, clock.copies():
        bench.settle()
        signer = HeadSigner([SigningKey.generate("audit-trail.example/bench")])
        edge = Edge(0)
        for at in range(0, len(records), _BATCH):
            part = records[at : at + _BATCH]
            with clock("decode and validate"):
                decoded = decode_records(_STREAM, part, 1 << 20)
            with clock("append: whole transaction"), database.transaction() as connection:
                appended = appending.append(connection, decoded.events, signer)
            _hashed(decoded, appended, edge, clock)
    return clock.lines()


def _hashed(decoded: Decoded, appended: appending.Appended, edge: Edge, clock: _Clock) -> None:
    """The client's share of the append again, with nobody at the other end."""
    with clock("before the lock: rows, digests"):
        encoded = encode_events(decoded.events)
    with clock("under the lock: ids in order"):
        identity_rows(encoded.ids, appended.first)
    with clock("under the lock: places, leaf hashes"):
        hashes = appending._insert_events(_Nobody(), encoded, appended.first, appended.recorded_at)  # type: ignore[arg-type]
    with clock("under the lock: tree"):
        edge.extend(hashes)
        edge.root()
    assert edge.root() == appended.root


def _consumed(bench: Bench, topic: str, clock: _Clock) -> list[Record]:
    # Without a group: ingest has told Kafka that its group has read all.
    options = consumer_options(bench.ingest_settings(topic)) | {
        "group_id": None,
        "group_instance_id": None,
        "auto_offset_reset": "earliest",
    }
    with closing(KafkaConsumer(**options)) as consumer:
        bound(consumer, bench.ingest_settings(topic).limits, carried=True)
        consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
        records: list[Record] = []
        with clock("consume (Kafka client)"):
            while len(records) < bench.events:
                for rows in consumer.poll(timeout_ms=200).values():
                    records.extend(rows)
    return sorted(records, key=lambda record: (record.partition, record.offset))


class _Nobody:
    """A cursor that sends nothing."""

    def copy_expert(self, *_: Any, **__: Any) -> None:
        pass


class _Clock:
    """Adds up seconds by name."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        started = time.thread_time()
        try:
            yield
        finally:
            self._seconds[what] = self._seconds.get(what, 0.0) + time.thread_time() - started

    @contextmanager
    def copies(self) -> Iterator[None]:
        """Meanwhile, the time that each COPY takes is added up too."""

        def timed(cursor: Any, statement: str, rows: Any) -> None:
            table = statement.split()[1].removeprefix("audit_trail.")
            if isinstance(cursor, _Nobody):
                return
            with self(f"append: COPY {table}"):
                binary_copy.copy_in(cursor, statement, rows)

        before = vars(appending)["copy_in"]
        vars(appending)["copy_in"] = timed
        try:
            yield
        finally:
            vars(appending)["copy_in"] = before

    def lines(self) -> Iterator[tuple[str, float]]:
        """Microseconds an event."""
        for what, seconds in self._seconds.items():
            yield what, seconds / self._events * 1e6
