"""Gatus' custom alerts, with the body that docs/how-to/watch.md gives: one event for each alert and each resolution.

Source: `alerting/provider/custom/custom.go` of its code. Gatus has no placeholder for a time or an id, so the time of
an event is that of its receipt, and whoever publishes it has to notice a repetition by the service's last event.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from domain.errors import InvalidEventError, Reason
from domain.event import Outcome
from interop import truncation
from interop.monitoring.readings import (
    FAILED,
    RECOVERED,
    Json,
    Reading,
    event_id,
    monitoring_event,
    read_one,
    required,
    text,
)

_TYPES = {"TRIGGERED": FAILED, "RESOLVED": RECOVERED}
_UNSET = "["
"""What a placeholder begins with that Gatus did not replace."""


def read_alert(payload: Any, source: str, received_at: datetime) -> list[Reading]:
    """The reading of an alert. Raises `InvalidEventError` for what is none."""
    if not isinstance(payload, dict) or "endpoint" not in payload or "status" not in payload:
        raise InvalidEventError(
            Reason.UNKNOWN_FORMAT, "use the body of the documentation for `alerting.custom`", field="endpoint"
        )
    return read_one(payload, lambda each: _read(each, source, received_at))


def _read(payload: Json, source: str, received_at: datetime) -> Reading:
    endpoint, group = required(payload, "endpoint"), text(payload, "group")
    type = _TYPES.get(required(payload, "status"))
    if type is None:
        raise InvalidEventError(
            Reason.INVALID_FIELD, "send TRIGGERED or RESOLVED: [ALERT_TRIGGERED_OR_RESOLVED]", field="status"
        )
    failed = type == FAILED
    return monitoring_event(
        type,
        event_id(source, group, endpoint, type, received_at.isoformat()),
        received_at,
        source,
        service=f"{group}/{endpoint}" if group else endpoint,
        outcome=Outcome.SERIOUS_FAILURE if failed else Outcome.SUCCESS,
        why=_given(payload, "errors") or _given(payload, "description") if failed else None,
        attributes={
            "description": truncation.name(_given(payload, "description")),
            "occurred_at_from": "receipt",
        },
    )


def _given(payload: Json, name: str) -> str | None:
    value = text(payload, name)
    return value if value and not value.startswith(_UNSET) else None
