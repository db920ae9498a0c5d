"""The test events in a rule file: short, with defaults for what an event needs and the rule does not look at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from detection.rules.context_fields import read_context
from detection.rules.rule import TestCases
from domain.errors import InvalidEventError
from domain.event import RecordedEvent
from domain.validation import decode_event
from event_store.files.file_nodes import Node

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
"""The time of an event without `at`: a Monday at noon, UTC."""
MAX_CASES = 100
MAX_EVENTS = 2000
"""Of one case, with those that `repeat` makes."""
_LONGEST = 366 * 86400.0
_STREAM = UUID(int=0)
_OURS = ("at", "repeat", "every", "recorded_after", "ahead")
_NEEDED: dict[str, Any] = {
    "source": {"service": "test"},
    "actor": {"kind": "user", "id": "ada"},
}


def read_tests(node: Node) -> TestCases:
    """The field `tests`: the cases that fire, and the silent ones. Raises `ConfigurationError`."""
    fields = node.fields(("fires", "silent", "context"), ("fires", "silent"))
    fires, silent = (
        tuple(_case(case) for case in fields[name].items(MAX_CASES)) for name in ("fires", "silent")
    )
    return TestCases(fires, silent, read_context(fields.get("context")))


def _case(node: Node) -> tuple[RecordedEvent, ...]:
    found: list[RecordedEvent] = []
    for each in node.items(MAX_EVENTS):
        found.extend(_events(each, len(found), found[-1].recorded_at if found else START))
        if len(found) > MAX_EVENTS:
            each.fail(f"a case has at most {MAX_EVENTS} events, with those that `repeat` makes")
    return tuple(found)


def _events(node: Node, first: int, now: datetime) -> list[RecordedEvent]:
    fields = node.pairs()
    at = fields["at"].seconds(0, _LONGEST) if "at" in fields else (now - START).total_seconds()
    repeat = fields["repeat"].whole(1, MAX_EVENTS) if "repeat" in fields else 1
    every = fields["every"].seconds(0, _LONGEST) if "every" in fields else 1.0
    delay = fields["recorded_after"].seconds(0, _LONGEST) if "recorded_after" in fields else 0.0
    ahead = fields["ahead"].seconds(0, _LONGEST) if "ahead" in fields else 0.0
    given = {name: each.json_tree() for name, each in fields.items() if name not in _OURS}
    found = []
    for number in range(1, repeat + 1):
        moment = START + timedelta(seconds=at + every * (number - 1))
        position = first + number - 1
        content = {
            "event_id": str(UUID(int=(4 << 76) | (2 << 62) | position)),
            "occurred_at": (moment + timedelta(seconds=ahead)).isoformat(),
            **_NEEDED,
            **_numbered(given, str(number)),
        }
        try:
            event = decode_event(orjson.dumps(content))
        except InvalidEventError as exc:
            node.fail(f"the event is not valid: {exc}")
        now = max(now, event.occurred_at + timedelta(seconds=delay - ahead))
        found.append(
            RecordedEvent(
                position=position, recorded_at=now, stream=_STREAM, stream_position=position, event=event
            )
        )
    return found


def _numbered(value: Any, number: str) -> Any:
    """The value with the number of the repetition for each ``{n}`` in its texts."""
    if isinstance(value, str):
        return value.replace("{n}", number)
    if isinstance(value, dict):
        return {name: _numbered(each, number) for name, each in value.items()}
    return [_numbered(each, number) for each in value] if isinstance(value, list) else value
