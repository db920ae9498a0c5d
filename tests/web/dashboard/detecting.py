"""A trail in which rules count, alerts get cases, and commands are carried out, all in threads of the test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from audit_trail.cases.worker import CaseWorker
from detection.cases.case_book import CaseBook
from detection.live.installed import installed
from detection.live.rule_sets import activation_event, store_activation
from domain.event import AuditEvent
from event_store.database import INGEST, PROJECTOR, READER, Database
from event_store.notification import Announcer
from projections.runner import Runner
from tests.hospital import append_only
from tests.signing import TEXT


class DetectingTrail:
    """The log, with what works on it in threads."""

    def __init__(self, url: str, databases: Sequence[Database]) -> None:
        self.url = url
        self._ingest, self._projector, self._reader = databases

    def append(self, *events: AuditEvent) -> None:
        """Append events; the threads do the rest."""
        with self._ingest.transaction() as connection:
            size = append_only(connection, events)
        Announcer(self._ingest).announce(size)

    def activate(self, *texts: str) -> None:
        """These rules count from here on."""
        documents = [(f"rule_{index}.yaml", text) for index, text in enumerate(texts)]
        self.append(activation_event(store_activation(self._projector, documents, {})))

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What the live build of `detection` has."""
        with self._reader.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('search_path', schema_name, true) FROM audit_trail.projection"
                " WHERE live AND name = 'detection'"
            )
            cursor.execute(statement)
            return cursor.fetchall()


@contextmanager
def detecting(url: str) -> Iterator[DetectingTrail]:
    """The trail of a database that has been migrated, until the end."""
    with (
        closing(Database(url, INGEST, size=4)) as ingest,
        closing(Database(url, PROJECTOR, size=10)) as projector,
        closing(Database(url, READER, size=2)) as reader,
        closing(CaseBook(url, TEXT)) as book,
    ):
        runner, worker = Runner(projector, installed()), CaseWorker(ingest, book)
        runner.catch_up()
        with _thread(runner.run, runner.stop):
            worker.start()
            try:
                yield DetectingTrail(url, (ingest, projector, reader))
            finally:
                worker.stop()


@contextmanager
def _thread(run: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join()
