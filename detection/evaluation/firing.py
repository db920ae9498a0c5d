"""What a rule finds."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

MAX_EVIDENCE = 100
"""Positions that a firing names; the count goes on."""


class FiringKind(StrEnum):
    """A match, or a limit that a rule has met, which means that it may have missed something."""

    MATCH = "match"
    OVERFLOW = "overflow"
    """The rule has more groups than it may remember: the ones unseen for the longest time were forgotten."""
    LATE = "late"
    """Events came later than the rule's lateness, and were not counted."""


class Firing(Struct, frozen=True, kw_only=True):
    """One finding of a rule, in the order of the log.

    A correlation reports a group when its condition first holds. Further events at which it holds, within the timespan,
    raise the count; when the timespan has passed, they are reported once as `final`, with the same rule, group and
    `opened_at`, and with `follows`.

    `rule` is the rule's id, `version` its digest. `actor`: the actor in the group, also under an alias. `begins` and
    `ends`: the times of the first and last evidence, by the rule's clock. `positions`: the first `MAX_EVIDENCE` of
    `count` events.
    """

    kind: FiringKind = FiringKind.MATCH
    rule: str
    version: str
    title: str
    level: str
    group: tuple[tuple[str, str], ...] = ()
    actor: str | None = None
    opened_at: int
    final: bool = True
    follows: bool = False
    begins: datetime
    ends: datetime
    count: int
    positions: tuple[int, ...]
    reasons: tuple[str, ...]
