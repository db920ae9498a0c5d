"""A trail in which rules count, alerts get cases, and commands are carried out, all in threads of the test."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from typing import Any
from uuid import uuid4

from audit_trail.cases.worker import CaseWorker
from audit_trail.reviews.filters import matcher
from audit_trail.reviews.worker import ReviewWorker
from audit_trail.serving.development_pages import PERSONAS, Persona
from detection.cases.case_book import CaseBook
from detection.live.installed import installed
from detection.live.rule_sets import activation_event, store_activation
from detection.reviews.reading import LogReading
from detection.reviews.review_book import ReviewBook
from domain.access.principal import Principal, Role
from domain.cases.commands import Person
from domain.event import Actor, AuditEvent, Resource
from event_store.database import INGEST, PROJECTOR, READER, Database
from event_store.notification import Announcer
from projections.runner import Runner
from queries.case_commands import CaseCommands
from tests.detection.live.logs import DELETION
from tests.detection.reviews.given_reviews import begin
from tests.hospital import append_only, event, hospital
from tests.signing import TEXT
from tests.waiting import eventually
from tests.web.dashboard.test_pages import EVIL

PERSONAS["reviewer"] = Persona("Reviewer", {"roles": ["reviewer"], "name": "Rita Reviewer"})
PERSONAS["second-officer"] = Persona("Second", {"roles": ["privacy_officer"], "name": "Olaf Officer"})
OFFICER = Principal(id="privacy-officer", roles=frozenset({Role.PRIVACY_OFFICER}))
RULE = "6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c14"
EVIL_RULE = "6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c66"
HOSTILE = f"""
title: {json.dumps(EVIL)}
id: 6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c66
correlation:
    type: event_count
    rules: [hostile_read]
    group-by: [actor.id, session]
    timespan: 10m
    condition: {{gte: 2}}
level: critical
---
title: A read
id: 6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c67
name: hostile_read
logsource: {{product: audit_trail}}
detection: {{read: {{type: record.searched}}, condition: read}}
"""


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

    @contextmanager
    def working(self) -> Iterator[None]:
        """`ingest` runs: alerts get cases, and commands about cases and reviews are carried out."""
        reading = LogReading(self._ingest)
        with (
            closing(CaseBook(self.url, TEXT)) as book,
            closing(ReviewBook(self.url, TEXT, reading, matcher)) as reviews,
        ):
            workers = (CaseWorker(self._ingest, book), ReviewWorker(self._ingest, reviews))
            for each in workers:
                each.start()
            try:
                yield
            finally:
                for each in workers:
                    each.stop()

    def review(self, *reviewers: str, **fields: Any) -> str:
        """The path of a new review of all deletions, with an item of each."""
        commands, id, review = CaseCommands(self._reader), uuid4(), uuid4()
        given = {"filter": {"type": ["record.deleted"]}, "reviewers": tuple(map(Person, reviewers))} | fields
        commands.give_review(OFFICER, id, review, begin(**given))
        eventually(lambda: commands.wait(id, 0) is not None)
        eventually(lambda: bool(self.rows(f"SELECT FROM review_item WHERE review_id = '{review}'")))
        return f"/reviews/{review}"

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
def detecting(url: str, *, working: bool = True) -> Iterator[DetectingTrail]:
    """The trail of a database that has been migrated, until the end. Not `working`: see `DetectingTrail.working`."""
    with (
        closing(Database(url, INGEST, size=4)) as ingest,
        closing(Database(url, PROJECTOR, size=10)) as projector,
        closing(Database(url, READER, size=2)) as reader,
    ):
        runner = Runner(projector, installed())
        runner.catch_up()
        trail = DetectingTrail(url, (ingest, projector, reader))
        with _thread(runner.run, runner.stop), trail.working() if working else nullcontext():
            yield trail


@contextmanager
def _thread(run: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join()


def with_alerts(trail: DetectingTrail) -> None:
    """An ordinary alert about `eve`, and one of a rule and of events that are full of attacks."""
    trail.append(*hospital())
    trail.activate(DELETION, HOSTILE)
    trail.append(deleted("eve"), hostile_search(30), hostile_search(31))
    eventually(lambda: len(trail.rows("SELECT FROM detection_case")) == 2)


def deleted(actor: str) -> AuditEvent:
    return event(
        "record.deleted",
        20,
        actor=Actor(id=actor, name=None),
        resources=(Resource(type="Patient", id="p-1"),),
    )


def hostile_search(minute: int) -> AuditEvent:
    return event("record.searched", minute, actor=Actor(id=EVIL, name=EVIL), session=EVIL)


def case_about(trail: DetectingTrail, actor: str) -> str:
    """The path of a new case about an actor, which an alert has opened."""
    trail.append(deleted(actor))
    eventually(lambda: bool(trail.rows(f"SELECT FROM detection_case WHERE actor = '{actor}'")))
    [(id,)] = trail.rows(f"SELECT case_id FROM detection_case WHERE actor = '{actor}'")
    return f"/cases/{id}"
