"""Merges: rules that combine the values of one key.

Each rule exists for two values in Python, for two in SQL, and for many in SQL, with the same result. Each is
associative and commutative. NULL is neutral in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

Rule = Callable[[Any, Any, Any, Any], Any]
"""(held value, new value, held `by`, new `by`) -> merged value."""

Aggregate = Callable[[str, str, str], str]
"""(column, PostgreSQL type, `by` column) -> SQL of the merged value of all rows of a group."""

UNION_LIMIT = 32
"""A UNION keeps the first values by code point. That is again a merge that no order or grouping can change."""


class Merge(Struct, frozen=True):
    """`by` names the deciding column of LATEST. `aggregate` is the same rule as `template`, over all rows of a key."""

    template: str
    rule: Rule
    aggregate: Aggregate
    by: str = ""

    def sql(self, column: str) -> str:
        """The new value, where `held` is the table's row and `excluded` the batch's."""
        return self.template.format(column=column, by=self.by, limit=UNION_LIMIT)

    def over(self, column: str, type: str) -> str:
        """The value of a group of rows, as an aggregate; `type` is the column's."""
        return self.aggregate(column, type, self.by)


def _sum(held: Any, new: Any, _held_by: Any, _new_by: Any) -> Any:
    return held + new


def _min(held: Any, new: Any, _held_by: Any, _new_by: Any) -> Any:
    if held is None or new is None:
        return new if held is None else held
    return min(held, new)


def _max(held: Any, new: Any, _held_by: Any, _new_by: Any) -> Any:
    if held is None or new is None:
        return new if held is None else held
    return max(held, new)


def _latest(held: Any, new: Any, held_by: Any, new_by: Any) -> Any:
    if held_by is None or new_by is None:
        return new if held_by is None else held
    # One event can name a thing twice. At equal positions the value decides, so that the order does not matter.
    return new if (new_by, new) > (held_by, held) else held


def _union(held: Any, new: Any, _held_by: Any, _new_by: Any) -> Any:
    if held == new or not new:
        return held
    return tuple(sorted({*held, *new})[:UNION_LIMIT])


def _sum_of(column: str, type: str, _by: str) -> str:
    return f"sum({column})::{type}"


def _least_of(column: str, type: str, _by: str) -> str:
    return _extreme(column, type, "min", "bool_and", "ASC")


def _greatest_of(column: str, type: str, _by: str) -> str:
    return _extreme(column, type, "max", "bool_or", "DESC")


def _extreme(column: str, type: str, function: str, boolean: str, direction: str) -> str:
    if type == "jsonb":  # it can be compared, and has no min() and max()
        return f"(array_agg({column} ORDER BY {column} {direction} NULLS LAST))[1]"
    return f"{boolean if type == 'boolean' else function}({column})"


def _latest_of(column: str, type: str, by: str) -> str:
    # Arrays of several lengths can't be put into one array, so they travel as text.
    item, back = (f"{column}::text", "::text[]") if type.startswith("text []") else (column, "")
    return f"(array_agg({item} ORDER BY {by} DESC NULLS LAST, {column} DESC NULLS LAST))[1]{back}"


def _union_of(column: str, _type: str, _by: str) -> str:
    # Mostly all the sets of a key are the same one.
    return (
        f"CASE WHEN min({column}) IS NOT DISTINCT FROM max({column}) THEN min({column}) ELSE ARRAY("
        f'SELECT DISTINCT value COLLATE "C" AS value FROM unnest(array_agg(DISTINCT {column}::text)) AS one,'
        f" unnest(one::text[]) AS value ORDER BY value LIMIT {UNION_LIMIT}) END"
    )


SUM = Merge("held.{column} + excluded.{column}", _sum, _sum_of)
MIN = Merge("least(held.{column}, excluded.{column})", _min, _least_of)
MAX = Merge("greatest(held.{column}, excluded.{column})", _max, _greatest_of)
UNION = Merge(
    "CASE WHEN held.{column} @> excluded.{column} THEN held.{column} ELSE ARRAY("
    "SELECT DISTINCT value FROM unnest(held.{column} || excluded.{column}) AS value ORDER BY value LIMIT {limit}) END",
    _union,
    _union_of,
)
"""A set of texts, as a sorted array; a row holds it sorted, without repeats and cut at `UNION_LIMIT`."""


def latest(by: str) -> Merge:
    """The value with the highest `by` (a position). A row without a value leaves `by` NULL, and changes nothing."""
    return Merge(
        "CASE WHEN held.{by} IS NULL OR (excluded.{by}, excluded.{column}) > (held.{by}, held.{column})"
        " THEN excluded.{column} ELSE held.{column} END",
        _latest,
        _latest_of,
        by,
    )


def text_set(values: tuple[str, ...]) -> tuple[str, ...]:
    """`values` in the form of a UNION column: sorted, without repeats, cut at `UNION_LIMIT`."""
    return tuple(sorted(set(values))[:UNION_LIMIT]) if len(values) > 1 else values
