"""What an event `alert.raised` says, for receivers that people read. Anybody who may publish can have written it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from domain.alert_level import Level
from domain.catalogue import ALERT_RAISED
from domain.event import AuditEvent, RecordedEvent
from forwarding.records import Selection
from interop.severity import severity_of

LEVELS = tuple(Level)
"""From the least to the most serious."""
_RULE_RESOURCE = "DetectionRule"
_MOST_GROUP = 16
_MOST_POSITIONS = 100


class AlertFacts(Struct, frozen=True, kw_only=True):
    """An alert. `group` has names and values of what it is about; `events` is None when that is not said."""

    rule: str
    rule_id: str | None
    level: str | None
    group: tuple[tuple[str, str], ...]
    begins: datetime | None
    ends: datetime | None
    events: int | None
    positions: tuple[int, ...]


def alert_facts(event: AuditEvent) -> AlertFacts | None:
    """The facts of an alert; None for every other event. What is hidden or malformed is absent."""
    if event.type != ALERT_RAISED:
        return None
    said = event.attributes
    rules = [each.id for each in event.resources if each.type == _RULE_RESOURCE]
    level = said.get("level")
    return AlertFacts(
        rule=_text(said.get("rule")) or "a rule",
        rule_id=rules[0] if rules else None,
        level=level if level in LEVELS else None,
        group=_group(said.get("group")),
        begins=_time(said.get("begins")),
        ends=_time(said.get("ends")),
        events=_whole(said.get("events")),
        positions=tuple(each for each in map(_whole, _list(said.get("positions"))) if each is not None),
    )


def level_of(event: AuditEvent) -> str:
    """The level of an alert; of another event, the one that its severity stands for."""
    facts = alert_facts(event)
    if facts is not None and facts.level is not None:
        return facts.level
    return LEVELS[severity_of(event).ocsf - 1]


def at_least(select: Selection, least: str | None) -> Selection:
    """The selection without alerts below a level. Other events, and alerts without a level, are not concerned."""
    if least is None:
        return select
    below = frozenset(LEVELS[: LEVELS.index(least)])

    def selected(recorded: RecordedEvent) -> RecordedEvent | None:
        if recorded.event.type == ALERT_RAISED and _text(recorded.event.attributes.get("level")) in below:
            return None
        return select(recorded)

    return selected


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _list(value: Any) -> Sequence[Any]:
    return value[:_MOST_POSITIONS] if isinstance(value, list | tuple) else ()


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _time(value: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(_text(value))
        return found.astimezone(UTC) if found.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _group(value: Any) -> tuple[tuple[str, str], ...]:
    pairs = (
        (_text(each.get("name")), _text(each.get("value"))) for each in _list(value) if isinstance(each, dict)
    )
    return tuple((name, text) for name, text in pairs if name and text)[:_MOST_GROUP]
