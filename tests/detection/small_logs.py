"""Short events and rules for tests: what is not given has a default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from detection.evaluation.detector import Detector
from detection.evaluation.firing import Firing
from detection.rules.rule import RuleSet
from detection.rules.rule_file import parse_rules
from domain.event import RecordedEvent
from domain.validation import decode_event

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
A, B, C, D = (f"00000000-0000-4000-8000-00000000000{letter}" for letter in "abcd")


def event(position: int = 0, at: float = 0, occurred: float | None = None, **fields: Any) -> RecordedEvent:
    """An event at a position, recorded `at` seconds after the start; by its source's clock at `occurred`."""
    content = {
        "event_id": str(UUID(int=(4 << 76) | (2 << 62) | position)),
        "type": "user.login_failed",
        "occurred_at": (START + timedelta(seconds=at if occurred is None else occurred)).isoformat(),
        "source": {"service": "test"},
        "actor": {"id": "ada"},
        **fields,
    }
    return RecordedEvent(
        position=position,
        recorded_at=START + timedelta(seconds=at),
        stream=UUID(int=0),
        stream_position=position,
        event=decode_event(orjson.dumps(content)),
    )


def rule(detection: Mapping[str, Any], id: str = A, **fields: Any) -> str:
    """A document with this detection. JSON is YAML."""
    whole = {
        "title": f"rule {id[-1]}",
        "id": id,
        "logsource": {"product": "audit_trail"},
        "detection": detection,
    }
    return orjson.dumps({**whole, **fields}).decode()


def failures(id: str = A, **fields: Any) -> str:
    """A document that failed sign-ins match."""
    return rule({"s": {"type": "user.login_failed"}, "condition": "s"}, id, name="failures", **fields)


def correlation(id: Any = C, extension: Any = None, **fields: Any) -> str:
    """A document with this correlation."""
    whole: dict[str, Any] = {"title": "correlation", "id": id, "correlation": fields}
    if extension:
        whole["audit_trail"] = extension
    return orjson.dumps(whole).decode()


def rules(*documents: str) -> RuleSet:
    """The set of these documents."""
    return parse_rules([("test.yaml", "\n---\n".join(documents))])


def firings(chosen: RuleSet, events: Sequence[RecordedEvent]) -> list[Firing]:
    """All that the rules find in a log, to its end."""
    detector = Detector(chosen)
    return [*detector.feed(events), *detector.closing()]


def matches(detection: Mapping[str, Any], **fields: Any) -> bool:
    """Whether one event with these fields matches."""
    return bool(firings(rules(rule(detection)), [event(**fields)]))
