"""What detection costs an event, beside decoding and the other read models, and in the live projection.

All in processor time, that of PostgreSQL included: other work on the machine would count in time on the clock.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar
from uuid import UUID

import psutil
import psycopg2
from msgspec import Struct
from psycopg2 import sql

from audit_trail.embedded.postgres import EmbeddedPostgres
from detection.context.index import ContextIndex, TableRows
from detection.context.storage import Decision, store_version
from detection.context.tables import TABLES, Format
from detection.context.version import loaded_event
from detection.evaluation.detector import Detector
from detection.live.installed import installed
from detection.live.rule_sets import Documents, activation_event, store_activation
from detection.rules.rule_file import parse_rules
from domain.body import BodyFormat, read_event
from domain.event import AuditEvent, RecordedEvent
from domain.validation import encode_event
from event_store.append import NewEvent, append
from event_store.database import CONTEXT, INGEST, PROJECTOR, Database
from event_store.migrations import migrate
from event_store.signing import HeadSigner
from event_store.tlog.notes import SigningKey
from projections.projector import Projector
from projections.registry import built_in
from projections.runner import Runner

_T = TypeVar("_T")
Tables = Mapping[str, Sequence[bytes]]
"""Rows of context tables in their canonical form."""
_BATCH = 2000
_DETECTION = "detection without context"
_IN_CONTEXT = "detection in context"
_STREAM = UUID(int=2)
_GOAL = 1.3
"""Detection adds at most 30 % to the time of the projection."""


class Cost(Struct, kw_only=True):
    """Microseconds an event: alone in Python, and in the live projection without detection, with it, and in context."""

    events: int
    steps: dict[str, float]
    without: list[float]
    with_detection: list[float]
    in_context: list[float]

    def lines(self) -> list[str]:
        """The lines of a table."""
        detect, in_context = self.steps[_DETECTION], self.steps[_IN_CONTEXT]
        others = sum(self.steps.values()) - detect - in_context
        live = median(self.without)
        return [
            f"| step, {self.events:,} events | microseconds an event |",
            "|---|---|",
            *(f"| {name} | {micros:.1f} |" for name, micros in self.steps.items()),
            "",
            f"Detection over decoding and the rows of all other models: {detect / others:.2f}",
            f"The same in context: {in_context / others:.2f}",
            f"Live projection with detection over without: {median(self.with_detection) / live:.2f}",
            f"The same in context: {median(self.in_context) / live:.2f} (goal: at most {_GOAL})",
            f"Without, in microseconds an event: {_shown(self.without)}",
            f"With detection: {_shown(self.with_detection)}",
            f"In context: {_shown(self.in_context)}",
        ]


def cost_of(events: Sequence[RecordedEvent], documents: Documents, tables: Tables, runs: int) -> Cost:
    """The cost of the rules of `documents` for these events of a log."""
    steps: dict[str, list[float]] = {}
    context = ContextIndex([TableRows(TABLES[name], rows) for name, rows in tables.items()])
    for _ in range(runs):
        for name, seconds in _steps(events, documents, context).items():
            steps.setdefault(name, []).append(seconds)
    live: dict[str, list[float]] = {}
    with _postgres() as postgres:
        for number in range(runs):
            for name, rules, known in (
                ("without", None, {}),
                ("with_detection", documents, {}),
                ("in_context", documents, tables),
            ):
                seconds = _live(postgres, f"{name}_{number}", events, rules, known)
                live.setdefault(name, []).append(seconds / len(events) * 1e6)
    return Cost(
        events=len(events),
        steps={name: median(seconds) / len(events) * 1e6 for name, seconds in steps.items()},
        **live,
    )


def _steps(events: Sequence[RecordedEvent], documents: Documents, context: ContextIndex) -> dict[str, float]:
    bodies = [encode_event(each.event) for each in events]
    rules = parse_rules(documents)
    seconds = {"decode": _timed(lambda: [read_event(BodyFormat.NATIVE, body) for body in bodies])}
    for projector in built_in():
        seconds[f"rows: {projector.name}"] = _timed(partial(_make_rows, projector, events))
    seconds[_DETECTION] = _timed(partial(_detect, Detector(rules), events))
    seconds[_IN_CONTEXT] = _timed(partial(_detect, Detector(rules, context), events))
    return seconds


def _detect(detector: Detector, events: Sequence[RecordedEvent]) -> None:
    for batch in _batches(events, _BATCH):
        detector.feed(batch)


def _make_rows(projector: Projector, events: Sequence[RecordedEvent]) -> None:
    for batch in _batches(events, _BATCH):
        for rows in projector.rows(batch).values():
            for _ in rows:
                pass


def _batches(values: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (values[at : at + size] for at in range(0, len(values), size))


def _timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


@contextmanager
def _postgres() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="audit-trail-bench-") as name:
        Path(name).chmod(0o711)  # as root, PostgreSQL runs as another account, which has to get in
        with EmbeddedPostgres(Path(name) / "postgres") as postgres:
            yield postgres


def _live(
    postgres: EmbeddedPostgres,
    name: str,
    events: Sequence[RecordedEvent],
    documents: Documents | None,
    tables: Tables,
) -> float:
    """The seconds that one runner and PostgreSQL take to apply all events, with detection when there are rules."""
    with closing(psycopg2.connect(postgres.url_for("postgres"))) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = postgres.url_for(name)
    migrate(url)
    with closing(Database(url, PROJECTOR)) as database:
        first = [] if documents is None else [activation_event(store_activation(database, documents, {}))]
        _append(url, [*_load(url, tables), *first], events)
        runner = Runner(database, built_in() if documents is None else installed())
        began = _processor_seconds()
        runner.catch_up()
        return _processor_seconds() - began


def _processor_seconds() -> float:
    """Of this process, and of PostgreSQL: its processes, and those of them that have ended."""
    seconds = time.process_time()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            seconds += sum(process.cpu_times()[:4])
    return seconds


def _load(url: str, tables: Tables) -> list[AuditEvent]:
    """Store the tables; the events from which on they count."""
    decision = Decision("bench", "What is known", Format.CSV)
    with closing(Database(url, CONTEXT)) as database:
        return [
            loaded_event(store_version(database, TABLES[name], rows, decision)[0])
            for name, rows in tables.items()
        ]


def _append(url: str, first: Sequence[AuditEvent], events: Sequence[RecordedEvent]) -> None:
    """Append them, after the events about rules and context, and give them the times of the simulation.

    The store's own times would all lie within a minute: windows would never pass.
    """
    signer, at = HeadSigner([SigningKey.generate("audit-trail.example/bench")]), 0
    with closing(Database(url, INGEST)) as database:
        for batch in _batches([*first, *(each.event for each in events)], 20_000):
            rows = [
                NewEvent(
                    each.event_id,
                    _STREAM,
                    number,
                    each.type,
                    each.occurred_at,
                    BodyFormat.NATIVE,
                    encode_event(each),
                )
                for number, each in enumerate(batch, at)
            ]
            at += len(rows)
            with database.transaction() as connection:
                append(connection, rows, signer)
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "UPDATE audit_trail.event SET recorded_at = seen.at FROM"
            " (SELECT position, max(occurred_at) OVER (ORDER BY position) AS at FROM audit_trail.event"
            " WHERE position >= %(first)s) AS seen WHERE event.position = seen.position",
            {"first": len(first)},
        )
        cursor.execute(
            "UPDATE audit_trail.event SET recorded_at = (SELECT min(recorded_at) FROM audit_trail.event)"
            " WHERE position < %(first)s",
            {"first": len(first)},
        )


def _shown(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)
