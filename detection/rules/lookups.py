"""Rows of context tables that a rule looks up for an event, and the fields that they add to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from typing import Any, NamedTuple

from msgspec import Struct

from detection.context.index import ContextIndex
from detection.context.rows import Row
from detection.rules.event_fields import EventField, Read, Scalar, text_of
from domain.event import RecordedEvent

MAX_SEARCHES = 100
"""Combinations of values by which one look-up searches: a person with more departments is looked up by the first."""
_MAX_KEPT = 200_000
"""Rows and searches that are kept; all are forgotten when there are more."""
_ALWAYS = datetime.min.replace(tzinfo=UTC)
_FOREVER = datetime.max.replace(tzinfo=UTC)

Span = tuple[datetime, datetime, Row]
"""A row, and from when until when it counts."""


class When(NamedTuple):
    """Rows count from `begins` to `ends` of theirs, widened by these times; a row without a value has no such bound."""

    at: EventField
    begins: str | None
    ends: str | None
    before: timedelta
    after: timedelta

    def span(self, row: Row) -> Span:
        """When the row counts."""
        begins = getattr(row, self.begins) if self.begins else None
        ends = getattr(row, self.ends) if self.ends else None
        first, last = _ALWAYS, _FOREVER
        with contextlib.suppress(OverflowError):  # at the ends of the calendar
            first = begins - self.before if begins else _ALWAYS
        with contextlib.suppress(OverflowError):
            last = ends + self.after if ends else _FOREVER
        return first, last, row


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
        """The rows for an event, those of each search in the order of the table."""
        values = [self._texts(read(subject)) for _, read in self.where]
        found: list[Row] = []
        for keys in islice(product(*values), MAX_SEARCHES):
            spans = subject.context.search(self, keys)
            if self.when is None:
                found += [row for _, _, row in spans]
            elif spans:
                [at] = self.when.at.read(subject)
                assert isinstance(at, datetime)
                found += [row for first, last, row in spans if first <= at <= last]
        return found

    @staticmethod
    def _texts(values: Sequence[Scalar]) -> Sequence[str]:
        if len(values) == 1 and type(values[0]) is str:
            return values  # type: ignore[return-value]
        return list(dict.fromkeys(text_of(each) for each in values if each is not None))


class KeptContext:
    """A context whose searches are kept for a while: the same persons and patients come again and again."""

    def __init__(self, index: ContextIndex) -> None:
        self.index = index
        self._kept: dict[tuple[str, tuple[str, ...]], list[Span]] = {}
        self._size = 0

    def search(self, lookup: Lookup, keys: tuple[str, ...]) -> list[Span]:
        """The rows of a look-up with these values in its columns."""
        search = (lookup.key, keys)
        found = self._kept.get(search)
        if found is None:
            columns = [column for column, _ in lookup.where]
            rows = self.index.rows(lookup.table, **dict(zip(columns, keys, strict=True)))
            span = lookup.when.span if lookup.when else lambda row: (_ALWAYS, _FOREVER, row)
            if self._size > _MAX_KEPT:
                self._kept.clear()
                self._size = 0
            found = self._kept[search] = [span(row) for row in rows]
            self._size += 1 + len(found)
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
