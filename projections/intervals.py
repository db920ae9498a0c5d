"""Tables of intervals: which whole numbers events have, for each key, as few rows as there are gaps.

A row is a run of numbers without a gap. Runs that touch or overlap become one, and numbers that two events have are
rows of their own (`repeated`). Both follow from the set of events alone, so batches may be combined in any grouping and
order, as in other merged tables: a number counts as never seen, seen once, or seen more than once.

What senders send bounds the size and the time. An event adds two rows at most, with no text that is not in the event; a
batch reads and replaces at most six rows for each of its events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from operator import itemgetter

from projections.merges import MIN
from projections.tables import Column, Groups, Index, Kind, Row, Table, partial_name, staging_name

_Run = tuple[int, int, int | None]
"""First number, last number, and the lowest position of their events."""
_BOUNDS = itemgetter(0, 1)


class IntervalTable(Table, frozen=True, dict=True):
    """A table of runs, made by `interval_table`. `of` are the text columns within which numbers are counted.

    `repeated` is true of a run of numbers that more than one event has; those numbers are in another run too, which
    tells that they were seen. `position` is the lowest one of the run's events, and NULL if `repeated`.
    """

    of: tuple[str, ...] = ()

    @cached_property
    def fold(self) -> Callable[[Groups, Iterable[Row]], None]:
        """Puts rows into groups, one run per group."""
        key = itemgetter(*map(self.names.index, self.key))

        def fold(groups: Groups, rows: Iterable[Row]) -> None:
            runs = self.combine([*map(tuple, groups.values()), *rows])
            groups.clear()
            groups.update((key(row), list(row)) for row in runs)

        return fold

    def combine(self, rows: Iterable[Row]) -> list[Row]:
        """The runs, and the runs of repeated numbers."""
        found: dict[Row, list[_Run]] = {}
        for position, first, last, _, *of in rows:
            found.setdefault(tuple(of), []).append((first, last, position))
        return [row for of, runs in found.items() for row in _rows(of, runs)]

    def merge_partial(self) -> str:
        """The finished rows from the partial ones, in one statement."""
        names = ", ".join(self.names)
        return f"WITH {self._runs_of(partial_name(self))} INSERT INTO {self.name} ({names}) SELECT {names} FROM run"

    def merge_staged(self, schema: str) -> str:
        """Replaces the runs that staged ones touch or overlap. A run that only grows is updated in place."""
        table, names = f"{schema}.{self.name}", ", ".join(self.names)
        of = " AND ".join(f"held.{name} = new.{name}" for name in self.of)
        same = " AND ".join(f"{{0}}.{name} = {{1}}.{name}" for name in self.key)
        held = f"SELECT held.* FROM {table} AS held WHERE held.repeated = kind.repeated AND {of}"
        return (
            f"WITH touched AS MATERIALIZED (SELECT DISTINCT held.* FROM {staging_name(self)} AS new"
            " CROSS JOIN (VALUES (false), (true)) AS kind (repeated) CROSS JOIN LATERAL ("
            f"({held} AND held.first BETWEEN new.first AND new.last + 1) UNION ALL"
            f" ({held} AND held.first < new.first ORDER BY held.first DESC LIMIT 1)"
            ") AS held WHERE held.last >= new.first - 1),"
            f" piece AS (SELECT {names} FROM touched UNION ALL SELECT {names} FROM {staging_name(self)}),"
            f" {self._runs_of('piece')},"
            f" gone AS (DELETE FROM {table} AS held USING touched WHERE {same.format('held', 'touched')}"
            f" AND NOT EXISTS (SELECT FROM run WHERE {same.format('run', 'touched')}))"
            f" INSERT INTO {table} AS held ({names}) SELECT {names} FROM run"
            f" ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET last = excluded.last, position = excluded.position"
            " WHERE (held.last, held.position) IS DISTINCT FROM (excluded.last, excluded.position)"
        )

    def _runs_of(self, source: str) -> str:
        """Definitions for WITH, the last of which, `run`, has the finished rows of those in `source`.

        `reach` is the highest number of the pieces before. A piece that begins at most one after it continues the run,
        and one that begins within it repeats numbers.
        """
        of = ", ".join(self.of)
        return (
            f"reached AS ({_reached(source, of)}),"
            " twice AS (SELECT NULL::bigint AS position, first, least(last, reach) AS last,"
            f" {of} FROM reached WHERE first <= reach),"
            f" reached_twice AS ({_reached('twice', of)}),"
            f" run AS ({_joined('reached', of, 'false')} UNION ALL {_joined('reached_twice', of, 'true')})"
        )


def _reached(source: str, of: str) -> str:
    # PostgreSQL evaluates both functions in one order of the rows, also where `first` and `last` are equal.
    order = f"PARTITION BY {of} ORDER BY first, last"
    return (
        f"SELECT position, first, last, {of}, row_number() OVER ({order}) AS place,"
        f" max(last) OVER ({order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reach FROM {source}"
    )


def _joined(reached: str, of: str, repeated: str) -> str:
    return (
        f"SELECT min(position) AS position, min(first) AS first, max(last) AS last, {repeated} AS repeated, {of}"
        " FROM (SELECT *, count(*) FILTER (WHERE reach IS NULL OR first > reach + 1)"
        f" OVER (PARTITION BY {of} ORDER BY place) AS number FROM {reached}) AS numbered GROUP BY {of}, number"
    )


def interval_table(name: str, of: tuple[str, ...], indexes: tuple[Index, ...] = ()) -> IntervalTable:
    """A table of the numbers that were seen `of` each combination of these texts."""
    return IntervalTable(
        name,
        ("repeated", *of, "first"),
        (
            Column("position", Kind.BIGINT, MIN, nullable=True),
            Column("first", Kind.BIGINT),
            Column("last", Kind.BIGINT),
            Column("repeated", Kind.BOOLEAN),
            *(Column(each, Kind.TEXT) for each in of),
        ),
        indexes,
        of=of,
    )


def one_number(number: int, position: int, *of: str) -> Row:
    """The row of one event with a number."""
    return (position, number, number, False, *of)


def _rows(of: Row, runs: list[_Run]) -> list[Row]:
    runs.sort(key=_BOUNDS)
    seen, twice = _union(runs)
    repeated, _ = _union(twice)
    return [
        *((position, first, last, False, *of) for first, last, position in seen),
        *((None, first, last, True, *of) for first, last, _ in repeated),
    ]


def _union(runs: Iterable[_Run]) -> tuple[list[_Run], list[_Run]]:
    """The union of runs that are sorted by their first number, and the parts that lie in more than one of them."""
    joined: list[_Run] = []
    twice: list[_Run] = []
    for first, last, position in runs:
        if not joined or first > joined[-1][1] + 1:
            joined.append((first, last, position))
            continue
        begin, reach, lowest = joined[-1]
        if first <= reach:
            twice.append((first, min(last, reach), None))
        if lowest is None or (position is not None and position < lowest):
            lowest = position
        joined[-1] = (begin, max(reach, last), lowest)
    return joined, twice
