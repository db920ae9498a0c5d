"""JSON Pointer (RFC 6901)."""

from __future__ import annotations

import re
from typing import Any, Final

_VALID = re.compile(r"(?:/(?:[^/~]|~[01])*)*")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


class _Missing:
    """The type of `MISSING`."""


MISSING: Final = _Missing()
"""There is no value at the pointer; null is a value."""


def is_pointer(text: str) -> bool:
    """Whether `text` is a JSON Pointer: empty for the whole document, or ``/a/0/b``."""
    return _VALID.fullmatch(text) is not None


def value_at(document: Any, pointer: str) -> Any:
    """The value that a pointer names; `MISSING` when the document has none there."""
    value = document
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and _INDEX.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return MISSING
    return value
