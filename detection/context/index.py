"""The context in memory: immutable, and compact enough for the tables of a large hospital.

Rows stay in their canonical form, one after the other in one buffer, and are decoded when they are found. A key column
has a hash table of row numbers in two arrays of integers. A table of 3,000,000 encounters takes about 130 bytes a row,
a tenth of what Python objects would take; finding the rows of a patient takes some microseconds.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from detection.context.rows import Row, encode_row, make_row, row_decoder
from detection.context.tables import TABLES, Kind, Table
from detection.context.values import Given, folded

_KEPT = 50_000
"""Rows that were found lately, and are kept: several rules look for the same ones."""


class Version(Struct, frozen=True):
    """A version of a table: SHA-256 of its rows in hexadecimal digits, and their number."""

    table: str
    version: int
    digest: str
    rows: int


class ContextIndex:
    """Tables of context, found by their key columns. A table that was never loaded is missing, not empty."""

    def __init__(self, tables: Iterable[TableRows] = (), versions: Iterable[Version] = ()) -> None:
        self._tables = {each.table.name: each for each in tables}
        self.versions: Mapping[str, Version] = {each.table: each for each in versions}
        self._found: dict[tuple[object, ...], tuple[Row, ...]] = {}
        self._found_rows = 0

    @classmethod
    def of(cls, tables: Mapping[str, Iterable[Mapping[str, Given]]]) -> ContextIndex:
        """A context from values by the names of columns. Raises `RejectedError` that names the column."""
        made = []
        for name, rows in tables.items():
            table = TABLES[name]
            made.append(TableRows(table, sorted({encode_row(make_row(table, row)) for row in rows})))
        return cls(made)

    def table(self, version: Version) -> TableRows | None:
        """The rows of this version, if it is the one that is here."""
        return self._tables[version.table] if self.versions.get(version.table) == version else None

    def changed(self, before: ContextIndex) -> frozenset[str] | None:
        """The tables that have other rows than before; None when more is different: which are here, or whose ids."""
        if self._tables.keys() != before._tables.keys():
            return None
        changed = {name for name, each in self._tables.items() if each is not before._tables[name]}
        if any(self._tables[name].shared_ids != before._tables[name].shared_ids for name in changed):
            return None
        return frozenset(changed)

    def has(self, table: str) -> bool:
        """Whether the table is loaded."""
        return table in self._tables

    def size(self, table: str) -> int:
        """The number of rows; 0 for a table that is missing."""
        found = self._tables.get(table)
        return len(found) if found else 0

    def rows(self, table: str, **keys: str) -> tuple[Row, ...]:
        """The rows in which each of these columns is this text, or a list that has it, in the order of the table.

        A column that names staff or patients is compared by person: any of a person's ids finds the rows. One of the
        columns must be a key of the table. A table that is missing has no rows.
        """
        search = (table, *keys.items())
        found = self._found.get(search)
        if found is None:
            found = self._search(table, keys)
            if self._found_rows > _KEPT:
                self._found, self._found_rows = {}, 0
            self._found[search] = found
            self._found_rows += 1 + len(found)
        return found

    def having(self, table: str, column: str, value: str, rows: Iterable[Row]) -> tuple[Row, ...]:
        """Those of these rows of a table in which the column is this text, or a list that has it, as in `rows`."""
        ids = self._wanted(TABLES[table], column, value)
        return tuple([row for row in rows if _holds(getattr(row, column), ids)])

    def ids(self, table: str, id: str) -> frozenset[str]:
        """All ids of the person or patient who has this id; of somebody unknown, this one."""
        return frozenset(self._ids(table, id))

    def count(self, table: str, **value: str) -> int:
        """How many rows have this value in the table's counted column, such as a family name of patients."""
        [(name, text)] = value.items()
        if TABLES[table].counted != name:
            raise ValueError(f"{table} does not count {name}")
        found = self._tables.get(table)
        return found.counts[folded(text)] if found else 0

    @property
    def bytes(self) -> int:
        """The memory of all tables."""
        return sum(each.bytes for each in self._tables.values())

    def _search(self, table: str, keys: Mapping[str, str]) -> tuple[Row, ...]:
        searched = self._tables.get(table)
        if searched is None:
            return ()
        first = next((name for name in keys if name in searched.lookups), None)
        if first is None:
            raise ValueError(
                f"{table} is searched by {', '.join(searched.lookups)}, not by {', '.join(keys) or 'nothing'}"
            )
        if len(keys) == 1:
            return tuple(searched.find(first, self._wanted(searched.table, first, keys[first])))
        # Rules ask for the rows of one patient in several ways: they are decoded once.
        found = self.rows(table, **{first: keys[first]})
        for name, value in keys.items():
            if found and name != first:
                found = self.having(table, name, value, found)
        return found

    def _wanted(self, table: Table, column: str, value: str) -> Sequence[str]:
        names = table.column(column).names
        return self._ids(names, value) if names else (value,)

    def _ids(self, table: str, id: str) -> Sequence[str]:
        rows = self.rows(table, id=id)
        if not rows or (len(rows) == 1 and not rows[0].other_ids):
            return (id,)
        return tuple(dict.fromkeys(each for row in rows for each in (row.id, *row.other_ids)))


class TableRows:
    """The rows of one table, with the hash tables of its keys. `canonical`: rows in the table's order."""

    def __init__(self, table: Table, canonical: Iterable[bytes]) -> None:
        self.table = table
        self.counts: Counter[str] = Counter()
        self._rows = bytearray()
        self._ends = array("Q")
        self._decode = row_decoder(table.name)
        # The ids of one person share one hash table.
        ids = table.unique if len(table.unique) > 1 else ()
        self.shared_ids = b""
        """A digest of the persons with several ids."""
        several = hashlib.sha256()
        self._columns: dict[str, tuple[str, ...]] = {name: (name,) for name in table.keys if name not in ids}
        if ids:
            self._columns = {ids[0]: ids, **self._columns}
        self.lookups = {name: _Lookup() for name in self._columns}
        columns = [(lookup, name) for key, lookup in self.lookups.items() for name in self._columns[key]]
        for number, each in enumerate(canonical):
            self._rows += each
            self._ends.append(len(self._rows))
            row = self._decode(each)
            for lookup, name in columns:
                value = getattr(row, name)
                for key in (value,) if isinstance(value, str) else value or ():
                    lookup.add(key, number)
            if ids and any(getattr(row, name) for name in ids[1:]):
                several.update(msgspec.json.encode([getattr(row, name) for name in ids]) + b"\n")
            if table.counted and (counted := getattr(row, table.counted)):
                self.counts[counted] += 1
        self.shared_ids = several.digest()
        for lookup in self.lookups.values():
            lookup.finish()

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[Row]:
        return map(self._row, range(len(self._ends)))

    def find(self, column: str, keys: Sequence[str]) -> list[Row]:
        """The rows that have one of these keys, each once, in their order."""
        lookup, names = self.lookups[column], self._columns[column]
        numbers = [number for key in keys for number in lookup.rows(key)]
        if len(numbers) > 1:
            numbers = sorted(set(numbers))
        rows = map(self._row, numbers)
        if len(names) == 1 and self.table.column(column).kind is Kind.TEXT:
            return [row for row in rows if getattr(row, column) in keys]
        return [row for row in rows if any(_holds(getattr(row, name), keys) for name in names)]

    @property
    def bytes(self) -> int:
        """The memory of the rows and their hash tables, without the counted names."""
        return len(self._rows) + 8 * len(self._ends) + sum(lookup.bytes for lookup in self.lookups.values())

    def _row(self, number: int) -> Row:
        ends = self._ends
        return self._decode(self._rows[ends[number - 1] if number else 0 : ends[number]])


class _Lookup:
    """Row numbers by the hash of a key: chains in arrays of integers. Other keys share a chain: the caller compares."""

    def __init__(self) -> None:
        self._hashes = array("q")
        self._numbers = array("I")
        self._next = array("I")
        self._heads = array("I")
        self._mask = 0

    def add(self, key: str, number: int) -> None:
        """Let a key find a row."""
        self._hashes.append(hash(key))
        self._numbers.append(number)

    def finish(self) -> None:
        """Make the chains; nothing is added after that. An entry is written as its number plus one, 0 is the end."""
        size = 1 << max(0, (len(self._hashes) - 1).bit_length())
        self._mask = size - 1
        self._heads = heads = array("I", bytes(4 * size))
        self._next = following = array("I")
        mask = self._mask
        for entry, hashed in enumerate(self._hashes, 1):
            place = hashed & mask
            following.append(heads[place])
            heads[place] = entry
        self._hashes = array("q")

    def rows(self, key: str) -> Iterator[int]:
        """The rows that may have the key."""
        numbers, following = self._numbers, self._next
        entry = self._heads[hash(key) & self._mask]
        while entry:
            yield numbers[entry - 1]
            entry = following[entry - 1]

    @property
    def bytes(self) -> int:
        """The memory of the arrays."""
        return 4 * (len(self._numbers) + len(self._next) + len(self._heads))


def _holds(value: object, wanted: Sequence[str]) -> bool:
    """Whether a value of a row is one of these texts, or a list that has one of them."""
    if type(value) is not tuple:
        return value in wanted
    if len(wanted) == 1:
        return wanted[0] in value
    return any(each in wanted for each in value)
