"""What verification finds. No finding quotes what an event says."""

from __future__ import annotations

from collections.abc import Iterable
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
