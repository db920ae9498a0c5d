"""Shorten texts for a format that limits them. What is shortened shows it, and its field is named to the receiver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")

ELLIPSIS = "…"


class Clipper:
    """Shortens the texts of one message. `fields` names those that lost something, in order and once each."""

    def __init__(self) -> None:
        self.fields: list[str] = []

    def text(self, field: str, value: str, length: int) -> str:
        """`value` in at most `length` characters; a shortened one ends with an ellipsis."""
        if len(value) <= length:
            return value
        self._note(field)
        return value[: length - 1] + ELLIPSIS

    def listing(self, field: str, values: Sequence[str], length: int) -> str:
        """The values with commas between them, in at most `length` characters.

        Values are kept whole, and the end says how many are missing: ``17, 18, … 40 more``. Only a first value that
        is too long by itself is cut.
        """
        whole = ", ".join(values)
        if len(whole) <= length:
            return whole
        self._note(field)
        room = length - len(f", {ELLIPSIS} {len(values)} more")
        kept: list[str] = []
        used = 0
        for value in values:
            used += len(value) + 2 * bool(kept)
            if used > room:
                break
            kept.append(value)
        if not kept:
            kept = [values[0][: room - 1] + ELLIPSIS]
        missing = len(values) - len(kept)
        return ", ".join([*kept, *([f"{ELLIPSIS} {missing} more"] if missing else [])])

    def first(self, field: str, values: Sequence[Item], count: int) -> Sequence[Item]:
        """At most `count` of the values; the name of the field says how many are left out."""
        if len(values) > count:
            self._note(f"{field} ({len(values) - count} left out)")
        return values[:count]

    def _note(self, field: str) -> None:
        if field not in self.fields:
            self.fields.append(field)
