"""Runners in threads, and a projector that refuses some events."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from domain.event import RecordedEvent
from event_store.database import PROJECTOR, Database
from projections.projector import Projector
from projections.registry import built_in
from projections.runner import Runner
from projections.tables import Column, Kind, Row, Table
from tests.trail import Trail

COUNTS = "SELECT (SELECT count(*) FROM activity_v5.activity), (SELECT sum(events) FROM user_v3.user_action)"


class Picky:
    """A projector that refuses some events: by raising, or with a row that PostgreSQL refuses."""

    name = "picky"
    version = 1
    tables = (Table("picky", ("position",), (Column("position", Kind.BIGINT), Column("note", Kind.JSON))),)

    def __init__(self) -> None:
        self.refuses = {"raise", "database"}

    def rows(self, events: Sequence[RecordedEvent]) -> Mapping[str, list[Row]]:
        if "raise" in self.refuses and any(each.event.session == "raise" for each in events):
            raise KeyError("a patient's name")
        note = {"database": b"no json"} if "database" in self.refuses else {}
        return {"picky": [(each.position, note.get(each.event.session or "", b"1")) for each in events]}


def running(trail: Trail, count: int = 1) -> AbstractContextManager[list[Runner]]:
    return running_these(trail, *built_in(), count=count)


@contextmanager
def running_these(trail: Trail, *projectors: Projector, count: int = 1) -> Iterator[list[Runner]]:
    databases = [Database(trail.url, PROJECTOR) for _ in range(count)]
    runners = [Runner(database, projectors, batch=50) for database in databases]
    threads = [threading.Thread(target=runner.run) for runner in runners]
    for thread in threads:
        thread.start()
    try:
        yield runners
    finally:
        for runner in runners:
            runner.stop()
        for thread in threads:
            thread.join(20)
        for database in databases:
            database.close()
    assert not any(thread.is_alive() for thread in threads)


def caught_up(trail: Trail) -> bool:
    states = trail.read.projections()
    return len(states) == 5 and all(each.lag == 0 for each in states)
