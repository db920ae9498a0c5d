"""Rows of context tables that a rule looks up for an event, and the fields that they add to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice, product
from typing import Any, NamedTuple

from msgspec import Struct

from detection.context.index import ContextIndex
from detection.context.rows import Row
from detection.rules.event_fields import EventField, Read, Scalar, text_of
from domain.event import RecordedEvent

MAX_SEARCHES = 100
"""Combinations of values by which one look-up searches: a person with more departments is looked up by the first."""
_MAX_KEPT = 20_000
"""Searches whose rows are kept, until there are more."""


class When(NamedTuple):
    """Rows count from `begins` to `ends` of theirs, widened by these times; a row without a value has no such bound."""

    at: EventField
    begins: str | None
    ends: str | None
    before: timedelta
    after: timedelta


class Lookup(Struct, frozen=True):
    """Rows of a table in which each column of `where` has a value of a field; one of the columns is a key.

    `key`: what is looked up, in one text: rules with the same look-up share what it finds. `of_patient`: it depends on
    the patient of the event.
    """

    name: str
    key: str
    table: str
    where: tuple[tuple[str, Read], ...]
    when: When | None
    of_patient: bool

    def rows(self, subject: Subject) -> Sequence[Row]:
        """The rows for an event, each search's in the order of the table."""
        values = [
            list(dict.fromkeys(text_of(each) for each in read(subject) if each is not None))
            for _, read in self.where
        ]
        columns = [column for column, _ in self.where]
        found: list[Row] = []
        for keys in islice(product(*values), MAX_SEARCHES):
            found.extend(subject.context.rows(self.table, tuple(zip(columns, keys, strict=True))))
        return found if self.when is None else [row for row in found if _counts(row, self.when, subject)]


class KeptContext:
    """A context whose searches are kept for a while: the same persons and patients come again and again."""

    def __init__(self, index: ContextIndex) -> None:
        self.index = index
        self._kept: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[Row, ...]] = {}

    def rows(self, table: str, keys: tuple[tuple[str, str], ...]) -> tuple[Row, ...]:
        """The rows with these values."""
        search = (table, keys)
        found = self._kept.get(search)
        if found is None:
            if len(self._kept) >= _MAX_KEPT:
                self._kept.clear()
            found = self._kept[search] = self.index.rows(table, **dict(keys))
        return found


class Subject(RecordedEvent, frozen=True, kw_only=True):
    """An event with the context in which it is seen. `found`: what look-ups have found for it so far, by key."""

    context: KeptContext
    found: dict[str, Sequence[Row]]

    @classmethod
    def of(cls, recorded: RecordedEvent, context: KeptContext) -> Subject:
        """The event in this context."""
        return cls(
            position=recorded.position,
            recorded_at=recorded.recorded_at,
            stream=recorded.stream,
            stream_position=recorded.stream_position,
            event=recorded.event,
            context=context,
            found={},
        )


def row_reader(lookup: Lookup, column: str) -> Read:
    """The values of a column in the rows that are found."""

    def read(recorded: RecordedEvent) -> Sequence[Scalar]:
        return list(_values(_found(lookup, recorded), column))

    return read


def number_reader(lookup: Lookup) -> Read:
    """How many rows are found; no value when there is none."""

    def read(recorded: RecordedEvent) -> Sequence[Scalar]:
        found = len(_found(lookup, recorded))
        return (found,) if found else ()

    return read


def frequency_reader(lookup: Lookup, column: str) -> Read:
    """In how many rows of the whole table the values that are found stand."""

    def read(recorded: RecordedEvent) -> Sequence[Scalar]:
        assert isinstance(recorded, Subject)
        index = recorded.context.index
        return [
            index.count(lookup.table, **{column: str(value)})
            for value in _values(_found(lookup, recorded), column)
        ]

    return read


def _found(lookup: Lookup, recorded: RecordedEvent) -> Sequence[Row]:
    assert isinstance(recorded, Subject)
    found = recorded.found.get(lookup.key)
    if found is None:
        found = recorded.found[lookup.key] = lookup.rows(recorded)
    return found


def _values(rows: Sequence[Row], column: str) -> Iterator[Scalar]:
    for row in rows:
        value: Any = getattr(row, column)
        if isinstance(value, tuple):
            yield from value
        elif value is not None:
            yield value


def _counts(row: Row, when: When, subject: Subject) -> bool:
    [at] = when.at.read(subject)
    begins = getattr(row, when.begins) if when.begins else None
    ends = getattr(row, when.ends) if when.ends else None
    try:
        return (begins is None or at >= begins - when.before) and (ends is None or at <= ends + when.after)
    except OverflowError:  # a time at the end of the calendar: no bound
        return True
