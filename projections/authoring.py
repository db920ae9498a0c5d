"""What the file of a custom projection imports. These names stay the same from version to version.

A file declares `name`, `version`, `tables`, and either `rows` (a pure function) or `sql` (one SELECT per table):

    from projections.authoring import SUM, Column, Events, Kind, Rows, Table

    name = "purposes"
    version = 1
    tables = (
        Table("purpose_use", ("purpose",), (Column("purpose", Kind.TEXT), Column("events", Kind.BIGINT, SUM))),
    )

    def rows(events: Events) -> Rows:
        return {"purpose_use": [(p, 1) for each in events for p in each.event.purpose_of_use]}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from domain.event import Action, ActorKind, AuditEvent, Outcome, RecordedEvent
from projections.merges import MAX, MIN, SUM, UNION, latest
from projections.tables import Column, Index, Kind, Row, Table

__all__ = [
    "MAX",
    "MIN",
    "SUM",
    "UNION",
    "Action",
    "ActorKind",
    "AuditEvent",
    "Column",
    "Events",
    "Index",
    "Kind",
    "Outcome",
    "RecordedEvent",
    "Row",
    "Rows",
    "Table",
    "latest",
]

Events = Sequence[RecordedEvent]
"""A batch: `position`, `recorded_at` and `event` of each, in order of position."""
Rows = Mapping[str, Iterable[Row | Mapping[str, Any]]]
"""By table: each row a tuple in the order of the columns, or a mapping from column to value (a missing one is NULL)."""
