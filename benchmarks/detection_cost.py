"""What detection costs an event, beside decoding and the other read models, and in the live projection."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar
from uuid import UUID

import psycopg2
from msgspec import Struct
from psycopg2 import sql

from audit_trail.embedded.postgres import EmbeddedPostgres
from detection.context.index import ContextIndex
from detection.evaluation.detector import Detector
from detection.live.installed import installed
from detection.live.rule_sets import Documents, activation_event, store_activation
from detection.rules.rule_file import parse_rules
from domain.body import BodyFormat, read_event
from domain.event import AuditEvent, RecordedEvent
from domain.validation import encode_event
from event_store.append import NewEvent, append
from event_store.database import INGEST, PROJECTOR, Database
from event_store.migrations import migrate
from event_store.signing import HeadSigner
from event_store.tlog.notes import SigningKey
from projections.projector import Projector
from projections.registry import built_in
from projections.runner import Runner

_T = TypeVar("_T")
_BATCH = 2000
_DETECTION = "detection without context"
_IN_CONTEXT = "detection in context"
_STREAM = UUID(int=2)
_GOAL = 1.3
"""Detection adds at most 30 % to the time of the projection."""


class Cost(Struct, kw_only=True):
    """Microseconds an event, alone in Python, and seconds of the live projection without and with detection."""

    events: int
    steps: dict[str, float]
    without: list[float]
    with_detection: list[float]

    @property
    def ratio(self) -> float:
        """The live projection with detection, over the same without."""
        return median(self.with_detection) / median(self.without)

    def lines(self) -> list[str]:
        """The lines of a table."""
        detect, in_context = self.steps[_DETECTION], self.steps[_IN_CONTEXT]
        others = sum(self.steps.values()) - detect - in_context
        seconds = f"without {_seconds(self.without)}, with {_seconds(self.with_detection)}"
        return [
            f"| step, {self.events:,} events | microseconds an event |",
            "|---|---|",
            *(f"| {name} | {micros:.1f} |" for name, micros in self.steps.items()),
            "",
            f"Detection over decoding and the rows of all other models: {detect / others:.2f}",
            f"The same in context: {in_context / others:.2f}",
            f"Live projection with detection over without: {self.ratio:.2f} (goal: at most {_GOAL})",
            f"Seconds of the live projection: {seconds}",
        ]


def cost_of(events: Sequence[RecordedEvent], documents: Documents, context: ContextIndex, runs: int) -> Cost:
    """The cost of the rules of `documents` for these events of a log."""
    steps: dict[str, list[float]] = {}
    for _ in range(runs):
        for name, seconds in _steps(events, documents, context).items():
            steps.setdefault(name, []).append(seconds)
    without, with_detection = [], []
    with _postgres() as postgres:
        for number in range(runs):
            without.append(_live(postgres, f"without_{number}", events, None))
            with_detection.append(_live(postgres, f"with_{number}", events, documents))
    return Cost(
        events=len(events),
        steps={name: median(seconds) / len(events) * 1e6 for name, seconds in steps.items()},
        without=without,
        with_detection=with_detection,
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
    postgres: EmbeddedPostgres, name: str, events: Sequence[RecordedEvent], documents: Documents | None
) -> float:
    """The seconds in which one runner applies all events, with detection when there are rules."""
    with closing(psycopg2.connect(postgres.url_for("postgres"))) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = postgres.url_for(name)
    migrate(url)
    with closing(Database(url, PROJECTOR)) as database:
        _append(
            url,
            events,
            None if documents is None else activation_event(store_activation(database, documents, {})),
        )
        runner = Runner(database, built_in() if documents is None else installed())
        began = time.perf_counter()
        runner.catch_up()
        return time.perf_counter() - began


def _append(url: str, events: Sequence[RecordedEvent], activation: AuditEvent | None) -> None:
    """Append them, after the decision that the rules count, and give them the times of the simulation.

    The store's own times would all lie within a minute: windows would never pass.
    """
    signer, at = HeadSigner([SigningKey.generate("audit-trail.example/bench")]), 0
    first = [activation] if activation else []
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


def _seconds(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
