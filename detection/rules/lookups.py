"""Rows of context tables that a rule looks up for an event, and the fields that they add to it."""

from __future__ import annotations

import contextlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice, product
from operator import itemgetter
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
_TICK = timedelta(microseconds=1)


class When(NamedTuple):
    """Rows count from `begins` to `ends` of theirs, widened by these times; a row without a value has no such bound."""

    at: EventField
    begins: str | None
    ends: str | None
    before: timedelta
    after: timedelta

    def span(self, row: Row) -> tuple[datetime, datetime]:
        """From when until when the row counts."""
        begins = getattr(row, self.begins) if self.begins else None
        ends = getattr(row, self.ends) if self.ends else None
        first, last = _ALWAYS, _FOREVER
        with contextlib.suppress(OverflowError):  # at the ends of the calendar
            first = begins - self.before if begins else _ALWAYS
        with contextlib.suppress(OverflowError):
            last = ends + self.after if ends else _FOREVER
        return first, last


class Found:
    """The rows of one search, and when each counts. Those that count at a time are found by their beginning.

    `longest`: no row counts for longer after its beginning, but those in `open`, which have no beginning or no end.
    """

    __slots__ = ("_cuts", "_firsts", "_longest", "_open", "_spans", "rows")

    def __init__(self, rows: Sequence[Row], when: When | None) -> None:
        self.rows = rows
        spans = [(*when.span(row), row) for row in rows] if when else []
        self._open = [each for each in spans if each[0] is _ALWAYS or each[1] is _FOREVER]
        bounded = (each for each in spans if each[0] is not _ALWAYS and each[1] is not _FOREVER)
        self._spans = sorted(bounded, key=itemgetter(0))
        self._firsts = [first for first, _, _ in self._spans]
        self._longest = max((last - first for first, last, _ in self._spans), default=timedelta())
        ends = {last + _TICK for _, last, _ in spans if last != _FOREVER}
        self._cuts = sorted(ends.union(first for first, _, _ in spans if first is not _ALWAYS))

    def constant(self, moment: datetime) -> tuple[datetime, datetime]:
        """From when until before when the same rows count as then."""
        cuts = self._cuts
        index = bisect_right(cuts, moment)
        return (cuts[index - 1] if index else _ALWAYS, cuts[index] if index < len(cuts) else _FOREVER)

    def at(self, moment: datetime) -> Sequence[Row]:
        """The rows that count then."""
        found = [row for first, last, row in self._open if first <= moment <= last]
        if self._spans:
            end = bisect_right(self._firsts, moment)
            begin = bisect_left(self._firsts, moment - self._longest) if end else 0
            found += [row for _, last, row in self._spans[begin:end] if moment <= last]
        return found


_NOTHING = Found((), None)


class Lookup(Struct, frozen=True):
    """Rows of a table in which each column of `where` has a value of a field; one of the columns is a key.

    `key`: what is looked up, in one text: rules with the same look-up share what it finds. `of_patient`: it depends on
    the patient of the event.
    """

    name: str
    key: str
    table: str
    where: tuple[tuple[str, EventField], ...]
    when: When | None
    of_patient: bool

    @property
    def sources(self) -> frozenset[str]:
        """The fields of the event on which the rows depend, without `occurred_at`: see `Span`."""
        found = {each for _, field in self.where for each in (field.sources or (field.name,))}
        if self.when is not None and self.when.at.name != "occurred_at":
            found.add(self.when.at.name)
        return frozenset(found)

    def rows(self, subject: Subject) -> Sequence[Row]:
        """The rows for an event: of each search, those that count at the event's time."""
        values = []
        for _, field in self.where:
            texts = _texts(field, subject)
            if not texts:
                return ()
            values.append(texts)
        search = subject.context.search
        if self.when is None:
            if all(len(each) == 1 for each in values):
                return search(self, tuple(each[0] for each in values)).rows
            return [row for keys in islice(product(*values), MAX_SEARCHES) for row in search(self, keys).rows]
        [moment] = self.when.at.read(subject)
        assert isinstance(moment, datetime)
        found: list[Row] = []
        for keys in islice(product(*values), MAX_SEARCHES):
            searched = search(self, keys)
            if searched.rows:
                found += searched.at(moment)
                subject.span.narrow(*searched.constant(moment))
        return found


def _texts(field: EventField, subject: Subject) -> Sequence[str]:
    if field.one is not None:
        value = field.one(subject)
        return () if value is None else (value if type(value) is str else text_of(value),)
    return list(dict.fromkeys(text_of(each) for each in field.read(subject) if each is not None))


class KeptContext:
    """A context whose searches are kept for a while: the same persons and patients come again and again."""

    def __init__(self, index: ContextIndex) -> None:
        self.index = index
        self._kept: dict[tuple[str, tuple[str, ...]], Found] = {}
        self._rows: dict[tuple[str, tuple[tuple[str, str], ...]], Sequence[Row]] = {}
        self._size = 0

    def search(self, lookup: Lookup, keys: tuple[str, ...]) -> Found:
        """The rows of a look-up with these values in its columns."""
        search = (lookup.key, keys)
        found = self._kept.get(search)
        if found is None:
            rows = self._searched(lookup, keys)
            found = self._kept[search] = Found(rows, lookup.when) if rows else _NOTHING
            self._size += 1
        return found

    def _searched(self, lookup: Lookup, keys: tuple[str, ...]) -> Sequence[Row]:
        """The rows, which look-ups share that differ in their times."""
        if self._size > _MAX_KEPT:
            self._kept.clear()
            self._rows.clear()
            self._size = 0
        columns = tuple((column, key) for (column, _), key in zip(lookup.where, keys, strict=True))
        search = (lookup.table, columns)
        rows = self._rows.get(search)
        if rows is None:
            rows = self._rows[search] = self.index.rows(lookup.table, **dict(columns))
            self._size += 1 + len(rows)
        return rows


class Span:
    """From when until before when an event of the same persons would have found the same rows, as far as it asked."""

    __slots__ = ("begins", "ends")

    def __init__(self) -> None:
        self.begins = _ALWAYS
        self.ends = _FOREVER

    def narrow(self, begins: datetime, ends: datetime) -> None:
        """Another search finds the same from `begins` until before `ends`."""
        self.begins = max(self.begins, begins)
        self.ends = min(self.ends, ends)


class Subject(RecordedEvent, frozen=True, kw_only=True):
    """An event with the context in which it is seen. `found`: what look-ups have found for it so far, by key."""

    context: KeptContext
    found: dict[str, Sequence[Row]]
    span: Span

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
            span=Span(),
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
