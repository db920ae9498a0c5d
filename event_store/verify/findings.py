"""What verification finds. No finding quotes what an event says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that is wrong. `position` is the first one concerned; None when it concerns the log as a whole."""

    position: int | None
    what: str

    def __str__(self) -> str:
        return self.what if self.position is None else f"position {self.position}: {self.what}"


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """By position, what concerns the whole log last; each thing once."""
    return sorted(set(findings), key=lambda each: (each.position is None, each.position or 0, each.what))


Resets = Mapping[bytes, tuple[int, ...]]
"""By stream, the sizes of the log at which its offsets are known to have begun anew."""


def began_anew(resets: Resets, stream: bytes, after: int, until: float = float("inf")) -> bool:
    """Whether the stream's offsets began anew behind position `after`, and not behind position `until`."""
    return any(after < size <= until for size in resets.get(stream, ()))
