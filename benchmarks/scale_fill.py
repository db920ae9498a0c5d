"""A trail of many million events, kept in a folder: made once, measured often.

`python -m benchmarks.scale_fill FOLDER --events 10000000 100000` makes what is missing.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from uuid import UUID

import psycopg2
from psycopg2 import sql

from audit_trail.embedded.postgres import EmbeddedPostgres
from benchmarks.opening import open_database
from benchmarks.scale_corpus import Made, make_events
from domain.body import BodyFormat
from domain.errors import ConfigurationError
from event_store.append import NewEvent, append
from event_store.database import INGEST, Database
from event_store.migrations import migrate
from event_store.signing import HeadSigner
from event_store.tlog.notes import SigningKey
from projections.rebuild.coordinator import rebuild
from projections.rebuild.plan import Parts
from projections.registry import built_in

_STREAM = UUID(int=1)
_BATCH = 20_000
_AHEAD = 6
"""Batches that are made while one is appended."""


def server(folder: Path) -> EmbeddedPostgres:
    """The server of a folder of trails, set up as docs/how-to/operate.md says."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    settings = {"shared_buffers": f"{memory // 3 >> 20}MB", "io_method": "sync", "max_wal_size": "4GB"}
    return EmbeddedPostgres(folder / "postgres", settings=settings)


def database_of(events: int) -> str:
    """The name of the database that holds so many."""
    return f"scale_{events}"


def fill(postgres: EmbeddedPostgres, events: int) -> str:
    """The URL of a trail of so many events with all read models; one that is whole stays."""
    url, made = postgres.url_for(database_of(events)), _create(postgres, events)
    signer = HeadSigner([SigningKey.generate("audit-trail.example/scale")])
    if 0 < made < events:
        raise ConfigurationError(f"{database_of(events)} was made in part: drop it, and start again")
    if made < events:
        started = time.perf_counter()
        with closing(Database(url, INGEST)) as database:
            for first, batch in _batches(made, events):
                rows = [
                    NewEvent(
                        made.event_id,
                        _STREAM,
                        at,
                        made.type,
                        made.occurred_at,
                        BodyFormat.NATIVE,
                        made.message,
                    )
                    for at, made in enumerate(batch, first)
                ]
                with database.transaction() as connection:
                    append(connection, rows, signer)
        print(f"{events - made:,} events appended in {time.perf_counter() - started:.0f} s", flush=True)
    return url


def project(url: str) -> None:
    """Build the read models, as `audit-trail projections rebuild` does, and bring the statistics up to date."""
    started = time.perf_counter()
    with closing(open_database(url)) as database:
        parts = Parts(
            database=database,
            open_database=partial(open_database, url),
            source=built_in,
            publish=lambda _: None,
            progress=_Steps(),
        )
        rebuild(parts, [each.name for each in built_in()])
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("VACUUM ANALYZE")
    print(f"projected in {time.perf_counter() - started:.0f} s", flush=True)


class _Steps:
    def begin(self, step: str, total: int, unit: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {step} {total:,} {unit}", flush=True)

    def advance(self, count: int) -> None:
        pass

    def say(self, message: str) -> None:
        print(message, flush=True)


def _create(postgres: EmbeddedPostgres, events: int) -> int:
    """Make the database unless it is there, and say how many events it holds."""
    name = database_of(events)
    with closing(psycopg2.connect(postgres.url_for("postgres"))) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("SELECT count(*) FROM pg_database WHERE datname = %s", (name,))
        if cursor.fetchone() == (0,):
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    migrate(postgres.url_for(name))
    with closing(psycopg2.connect(postgres.url_for(name))) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT size FROM audit_trail.log_state")
        [(size,)] = cursor.fetchall()
    return int(size)


def _batches(made: int, events: int) -> Iterator[tuple[int, list[Made]]]:
    starts = iter(range(made, events, _BATCH))
    waiting: deque[tuple[int, Future[list[Made]]]] = deque()
    with ProcessPoolExecutor(1) as pool:
        while True:
            while len(waiting) < _AHEAD and (first := next(starts, None)) is not None:
                waiting.append((first, pool.submit(_made, first, min(first + _BATCH, events), events)))
            if not waiting:
                return
            first, future = waiting.popleft()
            yield first, future.result()


def _made(first: int, until: int, total: int) -> list[Made]:
    return list(make_events(first, until, total))


def main(given: Sequence[str] | None = None) -> None:
    """Make what is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_fill")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--events", type=int, nargs="+", default=[100_000, 10_000_000])
    arguments = parser.parse_args(given)
    with server(arguments.folder) as postgres:
        for events in arguments.events:
            project(fill(postgres, events))


if __name__ == "__main__":
    main()
