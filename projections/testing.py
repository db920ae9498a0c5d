"""Tests of a projection without a service: given these events, when these arrive, then the tables hold these rows.

    projection = load("night_access.py")
    given(an_event("record.read", actor="ada")).when(an_event("record.read", actor="ada")).then(
        projection, "night_access", {"actor_id": "ada", "events": 2}
    )

Public: what an analyst's tests import. Only a projection that makes its rows with SQL needs a database, which
`AUDIT_TRAIL_DATABASE_URL` or the settings file names; nothing is written there.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct

from domain.catalogue import CATALOGUE
from domain.errors import ConfigurationError, RejectedError
from domain.event import AuditEvent, RecordedEvent
from domain.validation import decode_event
from event_store.database import ANALYST, Database
from projections.custom.source_file import CustomProjector, load_custom
from projections.projector import Projector
from projections.tables import Row, Table

_STREAM = UUID(int=0)
_REQUIRED: dict[str, Any] = {
    "resources": [{"type": "Observation", "id": "o-1"}],
    "patients": [{"id": "p-1"}],
    "device": {"id": "device-1"},
    "session": "session-1",
    "disclosure": {"recipient": "A court"},
    "reason": "a test",
    "request": {"method": "GET", "path": "/"},
}
"""Values for required fields that a test does not set."""
_START = datetime(2026, 1, 1, tzinfo=UTC)


def at(*, minute: float = 0) -> datetime:
    """The time `minute` minutes after the start of the test."""
    return _START + timedelta(minutes=minute)


def an_event(
    type: str = "record.read",
    *,
    actor: str | None = "ada",
    patient: str = "",
    minute: float = 0,
    **fields: Any,
) -> AuditEvent:
    """An event with the fields that its type requires. `fields` are as in the event's JSON, and override the others.

    `minute` is the time of occurrence, as in `at`. Raises `ValueError` when the trail would reject the event.
    """
    event: dict[str, Any] = {
        "event_id": str(uuid4()),
        "type": type,
        "occurred_at": at(minute=minute).isoformat(),
        "source": {"service": "patient-service"},
        "actor": {} if actor is None else {"id": actor},
    }
    entry = CATALOGUE.get(type)
    event |= {field: _REQUIRED[field] for field in (entry.required if entry else ()) if field in _REQUIRED}
    if patient:
        event["patients"] = [{"id": patient}]
    try:
        return decode_event(msgspec.json.encode(event | fields))
    except RejectedError as exc:
        raise ValueError(f"no such event can be recorded: {exc}") from exc


def load(file: str | Path, database_url: str = "") -> CustomProjector:
    """The projection of a file. Raises `CodeError` with file and line when it is broken."""
    projector = load_custom(Path(file))
    if projector.queries:
        url = database_url or _configured_url()
        projector.bind(Database(url, ANALYST, size=1, application_name="audit-trail-own-test"))
    return projector


def _configured_url() -> str:
    url, file = (
        os.environ.get("AUDIT_TRAIL_DATABASE_URL", ""),
        os.environ.get("AUDIT_TRAIL_SETTINGS_FILE", ""),
    )
    if not url and file:
        url = str(tomllib.loads(Path(file).read_text("utf-8")).get("database_url", ""))
    if not url:
        raise ConfigurationError(
            "SQL is tested on a database: set AUDIT_TRAIL_DATABASE_URL; nothing is written there"
        )
    return url


def record(events: Sequence[AuditEvent], first: int = 0) -> list[RecordedEvent]:
    """`events` as the event store returns them, from position `first` on."""
    return [
        RecordedEvent(
            position=position,
            recorded_at=_START + timedelta(seconds=position),
            stream=_STREAM,
            stream_position=position,
            event=event,
        )
        for position, event in enumerate(events, first)
    ]


class Story(Struct, frozen=True):
    """Events in batches, in the order of arrival."""

    batches: tuple[tuple[AuditEvent, ...], ...]

    def when(self, *events: AuditEvent) -> Story:
        """Add a batch."""
        return Story((*self.batches, events))

    def rows(self, projector: Projector, table: str) -> list[Row]:
        """The table's rows after all batches, sorted, columns in the order of their declaration."""
        declared = _table(projector, table)
        rows: list[Row] = []
        first = 0
        for batch in self.batches:
            rows.extend(projector.rows(record(batch, first)).get(table, ()))
            first += len(batch)
        return sorted(declared.combine(rows) if declared.merged else rows, key=repr)

    def then(self, projector: Projector, table: str, *expected: Row | Mapping[str, Any]) -> None:
        """Raise `AssertionError` when the table's rows differ from `expected`, in any order.

        A row may be given as a mapping from column to value; a column that it does not name is NULL.
        """
        names = _table(projector, table).names
        if isinstance(projector, CustomProjector):
            wanted = projector.checked(table, expected)
        else:
            wanted = [tuple(map(row.get, names)) if isinstance(row, Mapping) else row for row in expected]
        actual = self.rows(projector, table)
        if actual != sorted(wanted, key=repr):
            raise AssertionError(
                f"{table} ({', '.join(names)}) holds\n{_shown(actual)}\nand not\n{_shown(sorted(wanted, key=repr))}"
            )


def _table(projector: Projector, name: str) -> Table:
    for table in projector.tables:
        if table.name == name:
            return table
    raise AssertionError(
        f"{projector.name} has no table {name}; it has {', '.join(t.name for t in projector.tables)}"
    )


def _shown(rows: Sequence[Row]) -> str:
    return "\n".join(f"    {row!r}" for row in rows) or "    no row"


def given(*events: AuditEvent) -> Story:
    """Start a story with a first batch, which may be empty."""
    return Story((events,))
