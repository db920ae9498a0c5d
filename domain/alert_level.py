"""How serious an alert, the rule that raises it, and its case are."""

from __future__ import annotations

from enum import StrEnum


class Level(StrEnum):
    """The levels of Sigma 2.1, the least serious first. The values are stored; never rename one."""

    INFORMATIONAL = "informational"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"
