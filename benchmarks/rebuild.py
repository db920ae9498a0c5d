"""A rebuild of all built-in read models against a raw COPY of their finished rows plus the making of their indexes."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from uuid import UUID

import psutil
import psycopg2

from benchmarks.opening import open_database
from benchmarks.report import Result
from benchmarks.servers import Bench
from domain.body import BodyFormat
from domain.validation import decode_event
from event_store.append import NewEvent, append
from event_store.database import INGEST, Connection, Database
from event_store.signing import HeadSigner
from event_store.tlog.notes import SigningKey
from projections.builds.switching import drop
from projections.rebuild.coordinator import rebuild
from projections.rebuild.plan import Parts
from projections.registry import Build, built_in, live_builds
from projections.tables import Table, create_indexes, create_table

_STREAM = UUID(int=1)
_BATCH = 10_000


def rebuild_against(bench: Bench) -> Iterator[Result]:
    """The result of `rebuild`."""
    ours, raw, steps, workers = [], [], _Steps(), _Workers()
    with bench.database() as url, tempfile.TemporaryDirectory(prefix="audit-trail-bench-") as folder:
        append_all(bench, url, bench.events)
        with closing(open_database(url)) as database:
            for run in range(bench.runs):
                bench.settle()
                with workers.watched():
                    ours.append(bench.events / _rebuilt(url, database, steps))
                if run == 0:
                    _keep_rows(url, database, Path(folder))
                bench.settle()
                raw.append(bench.events / _copied(url, Path(folder)))
                for projector in built_in():
                    drop(database, projector.name)
        yield Result(
            "Rebuild against raw COPY",
            f"all {len(built_in())} built-in read models, from the log to the switch",
            "COPY of the finished rows, encoded beforehand, and their indexes, one after the other",
            tuple(ours),
            tuple(raw),
            0.4,
            notes=(
                "Seconds of ours, by step: " + steps.text(),
                f"Most memory of a worker process: {workers.most >> 20} MB",
            ),
        )


class _Steps:
    """How long each step took, in the last rebuild."""

    def __init__(self) -> None:
        self._began: list[tuple[str, float]] = []

    def begin(self, step: str, total: int, unit: str) -> None:  # noqa: ARG002 - as the rebuild calls it
        self._began.append((step, time.perf_counter()))

    def advance(self, count: int) -> None:
        pass

    def say(self, message: str) -> None:
        pass

    def start(self) -> None:
        self._began = [("beginning", time.perf_counter())]

    def text(self) -> str:
        ends = [moment for _, moment in self._began[1:]]
        return ", ".join(
            f"{name} {end - began:.1f}" for (name, began), end in zip(self._began, ends, strict=False)
        )


class _Workers:
    """The most memory, in bytes, that one of this process's children had: it does not follow the log's size."""

    def __init__(self) -> None:
        self.most = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look while this lasts."""
        stop = threading.Event()
        looking = threading.Thread(target=self._look, args=(stop,))
        looking.start()
        try:
            yield
        finally:
            stop.set()
            looking.join()

    def _look(self, stop: threading.Event) -> None:
        while not stop.wait(0.2):
            for child in psutil.Process().children():
                with suppress(psutil.NoSuchProcess):
                    if child.name().startswith("python"):
                        self.most = max(self.most, child.memory_info().rss)


def append_all(bench: Bench, url: str, events: int) -> None:
    """Put the first `events` of the corpus into the log, without a broker."""
    signer = HeadSigner([SigningKey.generate("audit-trail.example/bench")])
    messages = bench.corpus.messages[:events]
    with closing(Database(url, INGEST)) as database:
        for first in range(0, len(messages), _BATCH):
            append_messages(database, signer, messages[first : first + _BATCH], first)


def append_messages(database: Database, signer: HeadSigner, messages: Sequence[bytes], first: int) -> None:
    """Append native messages in one transaction; `first` is the stream position of the first."""
    rows = []
    for at, message in enumerate(messages, first):
        event = decode_event(message)
        rows.append(
            NewEvent(event.event_id, _STREAM, at, event.type, event.occurred_at, BodyFormat.NATIVE, message)
        )
    with database.transaction() as connection:
        append(connection, rows, signer)


def _rebuilt(url: str, database: Database, steps: _Steps) -> float:
    parts = Parts(
        database=database,
        open_database=partial(open_database, url),
        source=built_in,
        publish=lambda _: None,
        progress=steps,
    )
    started = time.perf_counter()
    steps.start()
    rebuild(parts, [each.name for each in built_in()])
    steps.begin("end", 0, "")
    return time.perf_counter() - started


def _keep_rows(url: str, database: Database, folder: Path) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        for name, build in _live(database).items():
            for table in _tables(name):
                with (folder / table.name).open("wb") as file:
                    cursor.copy_expert(f"COPY {build.schema}.{table.name} TO STDOUT (FORMAT binary)", file)


def _copied(url: str, folder: Path) -> float:
    """Seconds for the rows and their indexes, on one connection."""
    with closing(psycopg2.connect(url)) as connection:
        _execute(connection, "DROP SCHEMA IF EXISTS bench_raw CASCADE")
        _execute(connection, "CREATE SCHEMA bench_raw")
        _execute(connection, "SET search_path = bench_raw")
        tables = [table for projector in built_in() for table in projector.tables]
        for table in tables:
            _execute(connection, create_table(table))
        _execute(connection, "SET maintenance_work_mem = '256MB'")
        started = time.perf_counter()
        for table in tables:
            with (folder / table.name).open("rb") as file, connection.cursor() as cursor:
                cursor.copy_expert(f"COPY {table.name} FROM STDIN (FORMAT binary)", file, size=1 << 20)
            connection.commit()
        for table in tables:
            for statement in create_indexes(table):
                _execute(connection, statement)
        seconds = time.perf_counter() - started
        _execute(connection, "DROP SCHEMA bench_raw CASCADE")
        return seconds


def _live(database: Database) -> dict[str, Build]:
    with database.transaction(read_only=True) as connection:
        return live_builds(connection)


def _tables(name: str) -> tuple[Table, ...]:
    return next(each.tables for each in built_in() if each.name == name)


def _execute(connection: Connection, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.commit()
