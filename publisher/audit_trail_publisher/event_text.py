"""Text that a client chooses, cut to the limits of an event: a client must not be able to make its event invalid."""

from __future__ import annotations

_IDENTIFIER = 256
_NAME = 1024
_PATH = 8192
_METHOD = 32


def identifier(text: str | None) -> str | None:
    """`text` as an id, without white space around it; None if it is empty."""
    return _clean(text, _IDENTIFIER)


def name(text: str | None) -> str | None:
    """`text` as a name or user agent; None if it is empty."""
    return _clean(text, _NAME)


def path(text: str | None) -> str | None:
    """`text` as the path of a request."""
    return _clean(text, _PATH)


def method(text: str | None) -> str | None:
    """`text` as the method of a request."""
    return _clean(text, _METHOD)


def _clean(text: str | None, most: int) -> str | None:
    """`text` cut to `most` characters, without U+0000 (can't be stored) and lone surrogates (not text)."""
    cut = (text or "").strip()[:most].strip()
    return cut.replace("\0", "\ufffd").encode("utf-8", "replace").decode() or None
