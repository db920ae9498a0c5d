"""Alerts for followers."""

from __future__ import annotations

from typing import Any

from domain.event import AuditEvent
from tests.trail import an_event

RULE = "3f0c4a57-6b4e-4b0e-9d6f-0a8e3f1f7c11"


def an_alert(level: str = "high", rule: str = "Mass access", **fields: Any) -> AuditEvent:
    """`alert.raised`, as detection makes it; `attributes` are added to those that it has."""
    attributes = {
        "rule": rule,
        "level": level,
        "kind": "finding",
        "group": [{"name": "actor.id", "value": "ada"}],
        "begins": "2026-03-02T08:00:00+00:00",
        "ends": "2026-03-02T09:00:00+00:00",
        "events": 31,
        "positions": list(range(31)),
        "known_at_position": 30,
    }
    known: dict[str, Any] = {
        "actor": {"kind": "service", "id": "audit-trail"},
        "source": {"service": "audit-trail"},
        "reason": "31 different patients.id within an hour, such as p-1, p-2",
        "resources": [{"type": "Alert", "id": "a-1"}, {"type": "DetectionRule", "id": RULE, "version": "d"}],
    }
    attributes |= fields.pop("attributes", {})
    return an_event("alert.raised", attributes=attributes, **known | fields)
