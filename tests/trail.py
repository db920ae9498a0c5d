"""Events for the tests, and a trail that they are appended to."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec

from domain.body import BodyFormat
from domain.event import AuditEvent
from domain.validation import encode_event
from event_store.append import NewEvent, append
from event_store.database import INGEST, PROJECTOR, READER, Database
from event_store.notification import Announcer
from projections.projector import Projector
from projections.registry import built_in
from projections.runner import Runner
from queries.counts import EventCounts
from queries.filters.event_filter import CountBy, Distinct, EventFilter, EventPage, PageRequest
from queries.read_models import DEFAULT_LIMIT, ReadModels
from queries.search.prepared import prepare
from tests.signing import signer

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
STREAM = UUID("018f0000-0000-7000-8000-000000000001")


def an_event(type: str = "record.read", minute: float = 0, **fields: Any) -> AuditEvent:
    """An event of `type`, `minute` minutes after START; `fields` as they stand in the JSON."""
    defaults: dict[str, Any] = {
        "event_id": str(uuid4()),
        "type": type,
        "occurred_at": (START + timedelta(minutes=minute)).isoformat(),
        "source": {"service": "patient-service"},
        "actor": {"id": "dr-smith", "name": "Dr Smith"},
    }
    return msgspec.convert(defaults | fields, AuditEvent)


class Trail:
    """A database with the log and its read models."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ingest = Database(url, INGEST)
        self.projector = Database(url, PROJECTOR)
        self.reader = Database(url, READER)
        self.read = ReadModels(self.reader)
        self.size = 0
        self.signer = signer()

    def append(self, *events: AuditEvent) -> list[int]:
        """Append, and return the positions."""
        rows = [
            NewEvent(
                event.event_id,
                STREAM,
                self.size + at,
                event.type,
                event.occurred_at,
                BodyFormat.NATIVE,
                encode_event(event),
            )
            for at, event in enumerate(events)
        ]
        with self.ingest.transaction() as connection:
            appended = append(connection, rows, self.signer)
        Announcer(self.ingest).announce(appended.size)
        self.size = appended.size
        return list(range(appended.first, appended.size))

    def project(self, *projectors: Projector, batch: int = 2000) -> None:
        """Apply all that was appended."""
        Runner(self.projector, projectors or built_in(), batch=batch).catch_up()

    def given(self, *events: AuditEvent) -> list[int]:
        """Append and project."""
        positions = self.append(*events)
        self.project()
        return positions

    def events(self, filter: EventFilter, page: PageRequest, scope: EventFilter | None = None) -> EventPage:
        """A page of the events that match."""
        return self.read.events(prepare(filter, scope), page)

    def counts(
        self,
        filter: EventFilter,
        by: CountBy,
        limit: int = DEFAULT_LIMIT,
        scope: EventFilter | None = None,
        distinct: Collection[Distinct] = (),
    ) -> EventCounts:
        """How many events match, by bucket."""
        return self.read.event_counts(prepare(filter, scope, by, distinct=distinct), limit)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What a reader sees of a read model's table."""
        with self.reader.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def close(self) -> None:
        for database in (self.ingest, self.projector, self.reader):
            database.close()
