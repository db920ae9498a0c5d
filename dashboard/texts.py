"""Words and numbers as pages write them."""

from __future__ import annotations

import json
from typing import Any

_UNITS = ("bytes", "kB", "MB", "GB")


def number(value: float) -> str:
    """With thin spaces between thousands, which every reader understands (ISO 80000-1, section 7.3.1)."""
    return f"{value:,}".replace(",", "\u202f")


def size(value: float) -> str:
    """A size in bytes."""
    at = 0
    while value >= 1000 and at < len(_UNITS) - 1:
        value, at = value / 1000, at + 1
    return f"{value:.3g} {_UNITS[at]}"


def title(value: str) -> str:
    """A stored word as text: ``minor_failure`` is "Minor failure"."""
    words = value.replace("_", " ").replace(".", " ")
    return words[:1].upper() + words[1:]


def as_text(value: Any) -> str:
    """A JSON value as a person reads it."""
    if value is None:
        return "(nothing)"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
