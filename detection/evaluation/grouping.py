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
        ones = [tuple(field.one for field in fields) for fields in rule.group_by]
        self._single = [fields[0] if len(fields) == 1 else None for fields in ones]

    def keys(self, recorded: RecordedEvent, member: int) -> Sequence[Key]:
        """One for each combination of values, up to one more than `MAX_KEYS`; none when a field has no value."""
        single = self._single[member]
        if single is not None:
            only = single(recorded)
            return () if only is None else ((only if type(only) is str else text_of(only),),)
        keys: list[Key] = []
        for key in product(*(_texts(read(recorded)) for read in self._readers[member])):
            keys.append(key)
            if len(keys) > MAX_KEYS:
                break
        return keys


def _texts(values: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys(text_of(value) for value in values if value is not None))
