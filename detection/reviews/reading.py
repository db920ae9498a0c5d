"""What a work list is drawn from: the tree head, the events up to it, and the staff as known there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple

from detection.context.index import ContextIndex
from detection.context.rows import Row
from detection.context.storage import load_index
from detection.history import position_at
from domain.errors import ConflictError, Reason
from domain.event import RecordedEvent
from event_store.database import Database
from event_store.event_reader import read_events
from event_store.heads import newest_head
from event_store.statements import load

SQL = load(__package__, "reading.sql")
_PAGE = 5000
"""Positions of one transaction."""


class Pinned(NamedTuple):
    """The newest signed tree head, and when it was signed."""

    size: int
    root: bytes
    signed_at: datetime


class LogReading:
    """Reads the log. `proceed` is called before each page, and may raise to end the reading."""

    def __init__(self, database: Database, proceed: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._proceed = proceed

    def pinned(self) -> Pinned:
        """The tree head of now. Raises `ConflictError` for an empty log."""
        with self._database.transaction(read_only=True) as connection:
            head = newest_head(connection)
        if head is None:
            raise ConflictError(Reason.CONFLICT, "the log is empty: there is nothing to review")
        return Pinned(head.size, head.root, head.signed_at)

    def positions(self, begins: datetime | None, ends: datetime | None, size: int) -> tuple[int, int]:
        """The first position of a period of recording, and the one after its last, below `size`."""
        with self._database.transaction(read_only=True) as connection:
            first = 0 if begins is None else min(position_at(connection, begins), size)
            end = size if ends is None else min(position_at(connection, ends), size)
        return first, max(first, end)

    def events(self, first: int, end: int) -> Iterator[RecordedEvent]:
        """The audit events from position `first` on and before `end`."""
        after = first - 1
        while after < end - 1:
            self._proceed()
            with self._database.transaction(read_only=True) as connection:
                batch = read_events(connection, after, min(_PAGE, end - 1 - after))
            if batch.last == after:
                return
            after = batch.last
            yield from batch.events

    def staff(self, size: int) -> Staff:
        """The staff, as context had it at this size of the log."""
        with self._database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            cursor.execute(SQL["staff_version"], {"size": size})
            row = cursor.fetchone()
            version = None if row is None else row[0]
            return Staff(load_index(connection, {} if version is None else {"staff": version}), version)


class Staff:
    """The people of the table `staff`. `version` is None when it was never loaded."""

    def __init__(self, index: ContextIndex, version: int | None) -> None:
        self._index = index
        self.version = version

    def row(self, id: str) -> Row | None:
        """What the table has of a person."""
        return next(iter(self._index.rows("staff", id=id)), None)

    def people(self) -> Iterator[Row]:
        """Everybody in the table."""
        found = self._index.table(self._index.versions["staff"]) if self.version is not None else None
        return iter(found or ())

    def person(self, id: str) -> str:
        """The id of the table for any id of a person; of somebody unknown, this one."""
        row = self.row(id)
        return id if row is None else str(row.id)

    def department(self, id: str | None) -> str:
        """The first department of a person; empty if unknown."""
        row = None if id is None else self.row(id)
        return row.departments[0] if row is not None and row.departments else ""

    def are_one(self, one: str, other: str) -> bool:
        """Whether two ids are of one person."""
        return one == other or other in self._index.ids("staff", one)
