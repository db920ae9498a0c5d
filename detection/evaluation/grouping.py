"""The groups that an event belongs to, by the fields that `group-by` names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import product
from typing import Any

from detection.rules.event_fields import Scalar, text_of
from detection.rules.rule import CorrelationRule
from domain.event import RecordedEvent

MAX_KEYS = 1000
"""Groups, and values, of one event."""

MAX_TEXT = 1024
"""Characters of one value of a group; no id has more."""

Key = tuple[str, ...]
_OneGroup = Callable[[RecordedEvent], Key | None]


def key_text(value: Scalar) -> str:
    """The text of a value that is remembered; of a very long one, its beginning and digest.

    An attribute may have all the bytes of a message, and a rule remembers thousands of groups.
    """
    text = value if type(value) is str else text_of(value)
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[: MAX_TEXT // 2]}... SHA-256 {sha256(text.encode()).hexdigest()}"


class Grouping:
    """The groups of one correlation's events."""

    def __init__(self, rule: CorrelationRule) -> None:
        self._readers = [tuple(field.read for field in fields) for fields in rule.group_by]
        # Of each member. Fields that have one value at most give one group at most: most rules have no others.
        self.ones = [_one_group([field.one for field in fields]) for fields in rule.group_by]

    def keys(self, recorded: RecordedEvent, member: int) -> Sequence[Key]:
        """One for each combination of values, up to one more than `MAX_KEYS`; none when a field has no value."""
        one = self.ones[member]
        if one is not None:
            key = one(recorded)
            return () if key is None else (key,)
        keys: list[Key] = []
        for key in product(*(_texts(read(recorded)) for read in self._readers[member])):
            keys.append(key)
            if len(keys) > MAX_KEYS:
                break
        return keys


def _one_group(fields: Sequence[Callable[[RecordedEvent], Scalar] | None]) -> _OneGroup | None:
    """Gives the only group of an event, or None when a field has no value; None when a field may have several."""
    reads = [read for read in fields if read is not None]
    if not reads or len(reads) < len(fields):
        return None
    if len(reads) == 1:
        [read] = reads

        def of_one(recorded: RecordedEvent) -> Key | None:
            value = read(recorded)
            return None if value is None else (key_text(value),)

        return of_one

    def of_several(recorded: RecordedEvent) -> Key | None:
        values = [read(recorded) for read in reads]
        if None in values:
            return None
        return tuple([key_text(value) for value in values])

    return of_several


def _texts(values: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys(key_text(value) for value in values if value is not None))
