"""Resources of a JSON document. Each is parsed alone, within the limits of untrusted JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from detection.context.files.source import MAX_LINE_BYTES, Source, at
from domain.errors import Reason, RejectedError
from domain.json_parsing import containers, read_json

MAX_CONTAINERS = 10_000_000
"""Arrays and objects in one document. An entry without a resource takes 50 bytes of memory."""


def read_document(source: Source) -> bytes:
    """A file that is one JSON document. Raises `RejectedError` when it would need far more memory than its size."""
    document = source.document()
    if containers(document) > MAX_CONTAINERS:
        raise RejectedError(
            Reason.OVERSIZED,
            f"more than {MAX_CONTAINERS} arrays and objects: give several files",
            field=source.name,
        )
    return document


def parsed(raw: msgspec.Raw | bytes, place: str) -> dict[str, Any]:
    """A resource. Raises `RejectedError` for what is no object, too large or nested too deep."""
    data = bytes(raw)
    if len(data) > MAX_LINE_BYTES:
        raise RejectedError(Reason.OVERSIZED, f"a resource has at most {MAX_LINE_BYTES} bytes", field=place)
    try:
        value = read_json(data)
    except RejectedError as exc:
        raise at(place, exc) from exc
    if not isinstance(value, dict):
        raise RejectedError(Reason.INVALID_FIELD, "write an object", field=place)
    return value


class Pages:
    """The pages of one answer. A table is replaced as a whole, so a part of an answer must not replace it."""

    def __init__(self) -> None:
        self._found = 0
        self._total: int | None = None
        self._last = False

    def add(self, found: int, total: int | None, *, last: bool = False) -> None:
        """Add a page with its number of results, and what it says of all. `last`: it names no page after it."""
        self._found += found
        self._total = total if total is not None else self._total
        self._last |= last

    def check(self, what: str) -> None:
        """Raise `RejectedError` when pages are missing."""
        short = self._total is not None and self._found < self._total
        if short or not self._last:
            of = f"{self._found} of {self._total}" if self._total is not None else f"the first {self._found}"
            raise RejectedError(
                Reason.MISSING_FIELD,
                f"the files have {of} {what}: give all pages of the answer, each as a file",
            )
