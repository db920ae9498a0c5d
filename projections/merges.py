"""How two values of one key become one, once in Python and once in SQL, with the same result.

Each is associative and commutative. NULL is neutral in all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

Rule = Callable[[Any, Any, Any, Any], Any]
"""(held value, new value, held `by`, new `by`) -> merged value."""

UNION_LIMIT = 32
"""Values that a UNION keeps: the first by code point, which is again a merge that no order or grouping can change."""


class Merge(Struct, frozen=True):
    """`by` names the column that decides, for LATEST."""

    template: str
    rule: Rule
    by: str = ""

    def sql(self, column: str) -> str:
        """The new value, where `held` is the table's row and `excluded` the batch's."""
        return self.template.format(column=column, by=self.by, limit=UNION_LIMIT)


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
    # One event can name a thing twice: the value decides between equal positions, so that the order cannot.
    return new if (new_by, new) > (held_by, held) else held


def _union(held: Any, new: Any, _held_by: Any, _new_by: Any) -> Any:
    if held == new or not new:
        return held
    return tuple(sorted({*held, *new})[:UNION_LIMIT])


SUM = Merge("held.{column} + excluded.{column}", _sum)
MIN = Merge("least(held.{column}, excluded.{column})", _min)
MAX = Merge("greatest(held.{column}, excluded.{column})", _max)
UNION = Merge(
    "CASE WHEN held.{column} @> excluded.{column} THEN held.{column} ELSE ARRAY("
    "SELECT DISTINCT value FROM unnest(held.{column} || excluded.{column}) AS value ORDER BY value LIMIT {limit}) END",
    _union,
)
"""A set of texts, as a sorted array; a row holds it sorted, without repeats and cut at `UNION_LIMIT`."""


def latest(by: str) -> Merge:
    """The value with the highest `by` (a position). A row without a value leaves `by` empty, and changes nothing."""
    return Merge(
        "CASE WHEN held.{by} IS NULL OR (excluded.{by}, excluded.{column}) > (held.{by}, held.{column})"
        " THEN excluded.{column} ELSE held.{column} END",
        _latest,
        by,
    )


def text_set(values: tuple[str, ...]) -> tuple[str, ...]:
    """`values` as a UNION column wants them."""
    return tuple(sorted(set(values))[:UNION_LIMIT]) if len(values) > 1 else values
