"""Given these events, when these come, then a projector makes these rows: tests of a projection without a database.

given(seen_before).when(event).then(PatientProjector(), "patient_access", row)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from msgspec import Struct

from domain.event import AuditEvent, RecordedEvent
from projections.projector import Projector
from projections.tables import Row

_STREAM = UUID(int=0)
_START = datetime(2026, 1, 1, tzinfo=UTC)


def record(events: Sequence[AuditEvent], first: int = 0) -> list[RecordedEvent]:
    """`events` as the store would give them, from position `first`."""
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
    """Events in batches, as they come."""

    batches: tuple[tuple[AuditEvent, ...], ...]

    def when(self, *events: AuditEvent) -> Story:
        """A further batch."""
        return Story((*self.batches, events))

    def rows(self, projector: Projector, table: str) -> list[Row]:
        """The table's rows after all batches, sorted, columns in the order of their declaration."""
        declared = next(each for each in projector.tables if each.name == table)
        rows: list[Row] = []
        first = 0
        for batch in self.batches:
            rows.extend(projector.rows(record(batch, first)).get(table, ()))
            first += len(batch)
        return sorted(declared.combine(rows) if declared.merged else rows, key=repr)

    def then(self, projector: Projector, table: str, *expected: Row) -> None:
        """Raises `AssertionError` when the table's rows are others than `expected`, in any order."""
        actual = self.rows(projector, table)
        if actual != sorted(expected, key=repr):
            raise AssertionError(f"{table} holds {actual}, not {list(expected)}")


def given(*events: AuditEvent) -> Story:
    """A first batch; empty when nothing has happened so far."""
    return Story((events,))
