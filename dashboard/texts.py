"""Words and numbers as pages write them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

_DURATIONS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_NAMES = {"api": "API", "json": "JSON"}
_UNITS = ("bytes", "kB", "MB", "GB")


def size(value: float) -> str:
    """A size in bytes."""
    at = 0
    while value >= 1000 and at < len(_UNITS) - 1:
        value, at = value / 1000, at + 1
    return f"{value:.3g} {_UNITS[at]}"


def title(value: str) -> str:
    """A stored word as text: ``minor_failure`` is "Minor failure"."""
    words = " ".join(_NAMES.get(each, each) for each in value.replace("_", " ").replace(".", " ").split(" "))
    return words[:1].upper() + words[1:]


def many(count: int, thing: str) -> str:
    """A count with its thing: "1 event", "2 events"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def as_text(value: Any) -> str:
    """A JSON value as a person reads it."""
    if value is None:
        return "(nothing)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def duration(value: timedelta) -> str:
    """A duration in its largest unit: ``90 s`` is "1 minute"."""
    seconds = max(0, int(value.total_seconds()))
    for unit, size in _DURATIONS:
        if seconds >= size:
            count = seconds // size
            return many(count, unit)
    return "less than a second"
