"""Live projection against the library's runner, and what the whole takes on disk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from statistics import median

import psycopg2
from psycopg2 import sql

from benchmarks.eventsourcing_library import library_projection
from benchmarks.ingest import ingested, query
from benchmarks.report import Result
from benchmarks.servers import Bench
from event_store.database import PROJECTOR, Database
from projections.projector import schema_name
from projections.registry import built_in
from projections.runner import Runner

LIBRARY_EVENTS = 3000
"""One durable transaction each takes most of a millisecond; the rate does not depend on their number."""


def projection_against(bench: Bench) -> Iterator[Result]:
    """The results of `projection` and `disk`."""
    topic = bench.publish(bench.corpus.messages, bench.corpus.keys)
    ours, library, relaxed = [], [], []
    with bench.database() as url:
        with ingested(bench, url, topic):
            pass
        for _ in range(bench.runs):
            _forget_read_models(url)
            bench.settle()
            ours.append(_caught_up(bench, url))
            library.append(_library(bench, "on"))
            relaxed.append(_library(bench, "off"))
        yield Result(
            "Live projection against the library's runner",
            f"all {len(built_in())} built-in read models, caught up by one runner",
            "eventsourcing's ProjectionRunner, one small table, an event a transaction",
            tuple(ours),
            tuple(library),
            15,
            notes=(
                "Our projectors commit with synchronous_commit off: rows and checkpoint are lost together, if at all.",
                f"With the library's set so too: {_ratio(ours, relaxed):.1f}",
                f"The library's side has {LIBRARY_EVENTS:,} of the events.",
            ),
        )
        yield _disk(bench, url)


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return median(ours) / median(theirs)


def _caught_up(bench: Bench, url: str) -> float:
    with closing(Database(url, PROJECTOR, application_name="bench-project")) as database:
        runner = Runner(database, built_in())
        started = time.perf_counter()
        runner.catch_up()
        return bench.events / (time.perf_counter() - started)


def _library(bench: Bench, synchronous_commit: str) -> float:
    with bench.database(migrated=False) as url:
        _execute(
            url,
            sql.SQL("ALTER DATABASE {} SET synchronous_commit = {}").format(
                sql.Identifier(url.partition("?")[0].rpartition("/")[2]), sql.Literal(synchronous_commit)
            ),
        )
        bench.settle()
        return library_projection(url, bench.corpus.messages[:LIBRARY_EVENTS])


def _forget_read_models(url: str) -> None:
    for projector in built_in():
        _execute(
            url, sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema_name(projector)))
        )
    _execute(url, sql.SQL("DELETE FROM audit_trail.projection"))


def _disk(bench: Bench, url: str) -> Result:
    rows = query(
        url,
        "SELECT nspname, sum(pg_table_size(c.oid))::bigint, sum(pg_indexes_size(c.oid))::bigint"
        " FROM pg_class AS c INNER JOIN pg_namespace AS n ON n.oid = relnamespace"
        " WHERE relkind IN ('r', 'p') AND (nspname = 'audit_trail' OR nspname IN"
        " (SELECT schema_name FROM audit_trail.projection)) GROUP BY nspname ORDER BY nspname",
    )
    received = bench.corpus.size
    return Result(
        "Disk",
        "event store and all read models, with their indexes",
        "JSON received",
        (float(sum(table + index for _, table, index in rows)),),
        (float(received),),
        3,
        unit="bytes",
        at_most=True,
        notes=tuple(
            f"{schema:<14} tables {table / received:.2f}, indexes {index / received:.2f} of the JSON"
            for schema, table, index in rows
        ),
    )


def _execute(url: str, statement: sql.Composable) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
