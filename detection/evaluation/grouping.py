"""The groups that an event belongs to, by the fields that `group-by` names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from detection.rules.event_fields import text_of
from detection.rules.rule import CorrelationRule
from domain.event import RecordedEvent

MAX_KEYS = 1000
"""Groups, and values, of one event."""

Key = tuple[str, ...]


class Grouping:
    """The groups of one correlation's events."""

    def __init__(self, rule: CorrelationRule) -> None:
        self._readers = [tuple(field.read for field in fields) for fields in rule.group_by]
        ones = [tuple(field.one for field in fields if field.one is not None) for fields in rule.group_by]
        # Fields that have one value at most give one group at most: most rules have no others.
        self._ones = [
            read if len(read) == len(fields) else None
            for read, fields in zip(ones, rule.group_by, strict=True)
        ]

    def keys(self, recorded: RecordedEvent, member: int) -> Sequence[Key]:
        """One for each combination of values, up to one more than `MAX_KEYS`; none when a field has no value."""
        ones = self._ones[member]
        if ones is not None:
            values = []
            for one in ones:
                value = one(recorded)
                if value is None:
                    return ()
                values.append(value if type(value) is str else text_of(value))
            return (tuple(values),)
        keys: list[Key] = []
        for key in product(*(_texts(read(recorded)) for read in self._readers[member])):
            keys.append(key)
            if len(keys) > MAX_KEYS:
                break
        return keys


def _texts(values: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys(text_of(value) for value in values if value is not None))
