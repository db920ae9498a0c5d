"""Ingest against a raw COPY of the same rows, and against the library's own PostgreSQL recorder."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from statistics import median
from typing import Any, NamedTuple
from uuid import UUID

import psycopg2
from eventsourcing.persistence import StoredEvent
from prometheus_client import CollectorRegistry

from benchmarks.eventsourcing_library import BATCH, library_recorder
from benchmarks.ingest_processes import ingest_in_processes, publish_halves
from benchmarks.report import Result
from benchmarks.servers import Bench
from event_store.database import INGEST, Database
from event_store.signing import HeadSigner
from event_store.tlog.notes import SigningKey
from ingest.pipeline import Ingest

_EVENT = "position, recorded_at, stream, format, type, stream_position, occurred_at, event_id, body"
_TABLES = {"event": _EVENT, "event_identity": "event_id, position"}
_ORDER = {"event": "position", "event_identity": "event_id"}
"""As ingest sends the rows of a transaction."""


class Copies(NamedTuple):
    """The binary COPY data of each of ingest's transactions, by table."""

    event: list[bytes]
    event_identity: list[bytes]


def ingest_against(bench: Bench, names: Sequence[str]) -> Iterator[Result]:
    """The results of `copy` and `library`, measured in turns."""
    topic = bench.publish(bench.corpus.messages, bench.corpus.keys)
    halves = publish_halves(bench) if "copy" in names else ()
    ours, two, raw, raw_ids, library, size = [], [], [], [], [], 0.0
    copies: Copies | None = None
    stored: list[StoredEvent] = []
    for _ in range(bench.runs):
        with bench.database() as url:
            bench.settle()
            with ingested(bench, url, topic):
                pass
            ours.append(rate(url))
            if copies is None:
                copies, size = _taken_out(url)
                stored = _stored_events(url)
        if "copy" in names:
            with bench.database() as url:
                bench.settle()
                ingest_in_processes(bench, url, halves)
                two.append(rate(url))
            raw.append(_copied(bench, copies, ("event",)))
            raw_ids.append(_copied(bench, copies, ("event", "event_identity")))
        if "library" in names:
            library.append(_recorded(bench, stored))
    mine = "ingest: Kafka -> committed and sealed, one process"
    if "copy" in names:
        theirs = "COPY of the same rows, encoded beforehand, into both tables"
        notes = (
            f"{size:,.0f} rows a transaction on average, the same ones for both, in the order of ingest.",
            "Both tables: that of the events, and that which keeps their ids unique.",
        )
        event = f"Against COPY into the table of the events alone: {{:.2f}} of {median(raw):,.0f} events/s"
        for title, side, runs, goal in (
            ("Ingest against raw COPY", mine, ours, 0.35),
            (
                "Ingest in two processes against raw COPY",
                mine.replace("one process", "two processes"),
                two,
                0.5,
            ),
        ):
            alone = event.format(median(runs) / median(raw))
            yield Result(title, side, theirs, tuple(runs), tuple(raw_ids), goal, notes=(*notes, alone))
    if "library" in names:
        yield Result(
            "Ingest against the library's recorder",
            mine,
            f"eventsourcing.postgres, batches of {BATCH}, no Kafka, no hashing",
            tuple(ours),
            tuple(library),
            3,
            notes=(f"The library's side has {len(stored):,} of the events.",),
        )


@contextmanager
def ingested(bench: Bench, url: str, topic: str) -> Iterator[None]:
    """An ingest that has moved all of `topic` into `url`, and still runs; it is stopped at the end."""
    with closing(Database(url, INGEST, application_name="bench-ingest")) as database:
        ingest = Ingest(bench.ingest_settings(topic), database, _signer(), registry=CollectorRegistry())
        with ThreadPoolExecutor(1, thread_name_prefix="ingest") as thread:
            run = thread.submit(ingest.run)
            try:
                while ingest.counters.received < bench.events and not run.done():
                    time.sleep(0.05)
                yield
            finally:
                ingest.stop()
            run.result()


def _signer() -> HeadSigner:
    return HeadSigner([SigningKey.generate("audit-trail.example/bench")])


def rate(url: str) -> float:
    """Events a second, by the database's own clock: from the first transaction's time to the last one's.

    The last one's own events are left out, since its time is that of its beginning. Start-up is not measured.
    """
    ((rows, seconds),) = query(
        url,
        "SELECT count(*) FILTER (WHERE recorded_at < last), extract(epoch FROM max(last) - min(recorded_at))::float"
        " FROM audit_trail.event, (SELECT max(recorded_at) AS last FROM audit_trail.event) AS newest",
    )
    return float(rows / seconds)


def _taken_out(url: str) -> tuple[Copies, float]:
    """Each transaction's rows as COPY gave them, so that the raw side has nothing to encode."""
    bounds = query(
        url,
        "SELECT min(position), max(position) FROM audit_trail.event GROUP BY recorded_at ORDER BY min(position)",
    )
    copies = Copies([], [])
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        for first, last in bounds:
            for table, columns in _TABLES.items():
                sink = io.BytesIO()
                cursor.copy_expert(
                    f"COPY (SELECT {columns} FROM audit_trail.{table} WHERE position BETWEEN {first} AND {last}"
                    f" ORDER BY {_ORDER[table]}) TO STDOUT (FORMAT binary)",
                    sink,
                )
                getattr(copies, table).append(sink.getvalue())
    return copies, (bounds[-1][1] + 1) / len(bounds)


def _copied(bench: Bench, copies: Copies, tables: Sequence[str]) -> float:
    with bench.database() as url, closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        bench.settle()
        started = time.perf_counter()
        for batch in zip(*(getattr(copies, table) for table in tables), strict=True):
            for table, data in zip(tables, batch, strict=True):
                cursor.copy_expert(
                    f"COPY audit_trail.{table} ({_TABLES[table]}) FROM STDIN (FORMAT binary)",
                    io.BytesIO(data),
                    size=1 << 20,
                )
            connection.commit()
        return bench.events / (time.perf_counter() - started)


def _stored_events(url: str) -> list[StoredEvent]:
    """A quarter of the rows as the library's recorder takes them: the stream, its version, a topic and the body."""
    rows = query(
        url,
        "SELECT stream::text, stream_position, type, body FROM audit_trail.event"
        " WHERE position < (SELECT (size + 3) / 4 FROM audit_trail.log_state) ORDER BY position",
    )
    return [StoredEvent(UUID(stream), version, type, bytes(body)) for stream, version, type, body in rows]


def _recorded(bench: Bench, stored: list[StoredEvent]) -> float:
    with bench.database(migrated=False) as url, library_recorder(url) as recorder:
        bench.settle()
        started = time.perf_counter()
        for at in range(0, len(stored), BATCH):
            recorder.insert_events(stored[at : at + BATCH])
        return len(stored) / (time.perf_counter() - started)


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """All rows."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()
