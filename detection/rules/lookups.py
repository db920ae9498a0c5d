"""Rows of context tables that a rule looks up for an event, and the fields that they add to it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from itertools import islice, product
from operator import itemgetter
from typing import Any, NamedTuple

from msgspec import Struct

from detection.context.index import ContextIndex
from detection.context.rows import Row
from detection.context.tables import TABLES
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
        return (
            _ALWAYS if begins is None else _moved(begins, -self.before, _ALWAYS),
            _FOREVER if ends is None else _moved(ends, self.after, _FOREVER),
        )


def _moved(moment: datetime, by: timedelta, end: datetime) -> datetime:
    """The moment so much earlier or later; `end` beyond the ends of the calendar."""
    try:
        return moment + by if by else moment
    except OverflowError:
        return end


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


class Lookup(Struct, frozen=True, dict=True):
    """Rows of a table in which each column of `where` has a value of a field; one of the columns is a key.

    `key`: what is looked up, in one text that begins with the table: rules with the same look-up share what it finds.
    `of_patient`: it depends on the patient of the event.
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

    @cached_property
    def driving(self) -> int:
        """The number of the first column that is a key of the table."""
        keys = {*TABLES[self.table].keys} - {"other_ids"}  # rows are found by these together with the id
        return next(number for number, (column, _) in enumerate(self.where) if column in keys)

    @cached_property
    def rows(self) -> Callable[[Subject], Sequence[Row]]:
        """Gives the rows for an event: of each search, those that count at the event's time."""
        searches = _searches([_texts_reader(field) for _, field in self.where])
        when = self.when

        def rows(subject: Subject) -> Sequence[Row]:
            found: Sequence[Row] = ()
            for keys in searches(subject):
                searched = subject.context.search(self, keys)
                if not searched.rows:
                    continue
                more = searched.rows if when is None else _counting(searched, when, subject)
                found = [*found, *more] if found else more
            return found

        return rows


def _counting(searched: Found, when: When, subject: Subject) -> Sequence[Row]:
    """The rows that count for an event."""
    [moment] = when.at.read(subject)
    assert isinstance(moment, datetime)
    subject.span.narrow(*searched.constant(moment))
    return searched.at(moment)


def _searches(
    readers: Sequence[Callable[[RecordedEvent], Sequence[str]]],
) -> Callable[[Subject], Iterable[tuple[str, ...]]]:
    """Gives the combinations of values of an event."""

    def of_one(subject: Subject) -> Iterable[tuple[str, ...]]:
        return [(text,) for text in readers[0](subject)[:MAX_SEARCHES]]

    def of_several(subject: Subject) -> Iterable[tuple[str, ...]]:
        values = []
        for read in readers:
            texts = read(subject)
            if not texts:
                return ()
            values.append(texts)
        return islice(product(*values), MAX_SEARCHES)

    return of_one if len(readers) == 1 else of_several


def _texts_reader(field: EventField) -> Callable[[RecordedEvent], Sequence[str]]:
    """Reads the values of a field as texts, each once."""
    one, read = field.one, field.read

    def read_one(recorded: RecordedEvent) -> Sequence[str]:
        assert one is not None
        value = one(recorded)
        return () if value is None else (value if type(value) is str else text_of(value),)

    def read_several(recorded: RecordedEvent) -> Sequence[str]:
        values = read(recorded)
        if len(values) == 1:
            [value] = values
            if type(value) is str:
                return (value,)
        return list(dict.fromkeys(text_of(each) for each in values if each is not None))

    return read_several if one is None else read_one


class KeptContext:
    """A context whose searches are kept for a while: the same persons and patients come again and again."""

    def __init__(self, index: ContextIndex) -> None:
        self.index = index
        self._kept: dict[tuple[str, tuple[str, ...]], Found] = {}
        self._rows: dict[tuple[str, str, str], Sequence[Row]] = {}
        self._size = 0

    def use(self, index: ContextIndex, changed: Collection[str]) -> None:
        """From now on, this is the context: it differs in the rows of these tables."""
        self.index = index
        mask = tables_mask(changed)
        self._kept = {search: each for search, each in self._kept.items() if not _bit(search[0]) & mask}
        self._rows = {search: each for search, each in self._rows.items() if search[0] not in changed}
        self._size = len(self._kept) + sum(1 + len(rows) for rows in self._rows.values())

    def search(self, lookup: Lookup, keys: tuple[str, ...]) -> Found:
        """The rows of a look-up with these values in its columns."""
        search = (lookup.key, keys)
        found = self._kept.get(search)
        if found is None:
            if self._size > _MAX_KEPT:
                self._kept.clear()
                self._rows.clear()
                self._size = 0
            rows = self._searched(lookup, keys)
            found = self._kept[search] = Found(rows, lookup.when) if rows else _NOTHING
            self._size += 1
        return found

    def _searched(self, lookup: Lookup, keys: tuple[str, ...]) -> Sequence[Row]:
        """The rows of the column that is a key, which look-ups share, as far as they have the other values."""
        driving = lookup.driving
        search = (lookup.table, lookup.where[driving][0], keys[driving])
        rows = self._rows.get(search)
        if rows is None:
            table, column, key = search
            rows = self._rows[search] = self.index.rows(table, **{column: key})
            self._size += 1 + len(rows)
        for number, (column, _) in enumerate(lookup.where):
            if rows and number != driving:
                rows = self.index.having(lookup.table, column, keys[number], rows)
        return rows


_BITS = {name: 1 << place for place, name in enumerate(TABLES)}


def tables_mask(tables: Iterable[str]) -> int:
    """Tables as the bits of a number."""
    mask = 0
    for name in tables:
        mask |= _BITS[name]
    return mask


@lru_cache(maxsize=1024)
def _bit(key: str) -> int:
    """The bit of the table of a look-up with this key."""
    return _BITS[key.partition(" ")[0]]


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

    @property
    def asked(self) -> int:
        """The tables that were searched for it so far: see `tables_mask`."""
        mask = 0
        for key in self.found:
            mask |= _bit(key)
        return mask

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
        rows = _found(lookup, recorded)
        if len(rows) != 1:
            return list(_values(rows, column))
        value = getattr(rows[0], column)
        if isinstance(value, tuple):
            return value
        return () if value is None else (value,)

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
