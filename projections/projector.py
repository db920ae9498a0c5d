"""What a projection is: a name, a version, tables, and a pure function from events to rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from domain.event import RecordedEvent
from projections.tables import Row, Table


class Projector(Protocol):
    """A projection's write side.

    Raise `version` with every change of the tables or of the rows: each version has its own tables.
    """

    @property
    def name(self) -> str:
        """Lower-case letters, digits and underscores."""

    @property
    def version(self) -> int:
        """A number from 1 on."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables. No other projection has tables of these names: queries find them without a schema."""

    def rows(self, events: Sequence[RecordedEvent]) -> Mapping[str, Iterable[Row]]:
        """Each table's rows for these events, in the order of its columns. Pure: the same events, the same rows.

        Rows of merged tables may repeat a key; they are combined before they are written.
        """


def schema_name(projector: Projector, build: int = 1) -> str:
    """The PostgreSQL schema of a build; builds of a projection are numbered from 1, whatever their version."""
    first = f"{projector.name}_v{projector.version}"
    return first if build == 1 else f"{first}_b{build}"
