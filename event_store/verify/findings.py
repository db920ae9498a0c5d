"""Findings of a verification. No finding quotes an event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Finding(NamedTuple):
    """One inconsistency. `position` is the first one affected; None when it concerns the log as a whole."""

    position: int | None
    what: str

    def __str__(self) -> str:
        return self.what if self.position is None else f"position {self.position}: {self.what}"


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Sort by position, findings on the whole log last, and remove duplicates."""
    return sorted(set(findings), key=lambda each: (each.position is None, each.position or 0, each.what))


Resets = Mapping[bytes, tuple[int, ...]]
"""For each stream, the log sizes at which its offsets restarted, as recorded."""


def restarted(resets: Resets, stream: bytes, after: int, until: float = float("inf")) -> bool:
    """Whether the offsets of the stream restarted after position `after` and up to position `until`."""
    return any(after < size <= until for size in resets.get(stream, ()))
