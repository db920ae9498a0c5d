"""Client text, cut to the limits of an event, so that an access record is always accepted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from math import isfinite
from typing import Any

from msgspec import Struct, structs

_IDENTIFIER = 256
_NAME = 1024
_TEXT = 256
_ITEMS = 50
_DEPTH = 6
_WHOLE_NUMBER = 2**63


def identifier(text: str | None) -> str | None:
    """`text` as an id, or None if it is empty."""
    return _clean(text, _IDENTIFIER) if text else None


def name(text: str | None) -> str | None:
    """`text` as a name, or None if it is empty."""
    return _clean(text, _NAME) if text else None


def recorded_value(column: str, value: Any) -> Any:
    """The filter value that the access record keeps. Values of columns with names are withheld."""
    return "(a name)" if "name" in column.lower() else value


def bounded(value: Any, depth: int = _DEPTH) -> Any:
    """`value` as JSON: absent members omitted, long texts and lists cut and marked, deep parts replaced by ``...``."""
    if isinstance(value, Struct):
        value = structs.asdict(value)
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        if depth == 0:
            return "..."
        return _members(value, depth - 1) if isinstance(value, Mapping) else _items(list(value), depth - 1)
    return _scalar(value.value if isinstance(value, Enum) else value)


def _members(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    items = [(key, each) for key, each in value.items() if each is not None and each not in ((), [], {})]
    found = {_clean(str(key), _TEXT) or "": bounded(each, depth) for key, each in items[:_ITEMS]}
    return found | ({"...": len(items) - _ITEMS} if len(items) > _ITEMS else {})


def _items(several: list[Any], depth: int) -> list[Any]:
    cut = [bounded(each, depth) for each in several[:_ITEMS]]
    return [*cut, f"... {len(several) - _ITEMS} more"] if len(several) > _ITEMS else cut


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < _WHOLE_NUMBER:
        return value
    if isinstance(value, float) and isfinite(value):
        return value  # JSON has no infinity and no NaN
    text = value.isoformat() if isinstance(value, datetime) else str(value)
    return _clean(text, _TEXT, "...") or ""


def _clean(text: str, most: int, mark: str = "") -> str | None:
    """`text` cut to `most` characters, without U+0000 (can't be stored) and lone surrogates (not text)."""
    cut = text[:most] + mark if len(text) > most else text
    return cut.replace("\0", "\ufffd").encode("utf-8", "replace").decode() or None
