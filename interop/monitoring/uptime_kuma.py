"""Uptime Kuma's webhook, with the preset of JSON: one event for each change of a monitor between up and down.

Source: `server/notification-providers/webhook.js`, `server/model/heartbeat.js` and `monitor.js` of its code. Times are
in UTC. A heartbeat has no id: the monitor, the time and the status identify it.
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
    Ignored,
    Json,
    Reading,
    event_id,
    mapping,
    monitoring_event,
    read_one,
    required,
    text,
)

_DOWN, _UP = 0, 1
_OTHERS = {2: "pending", 3: "under maintenance"}


def read_heartbeat(payload: Any, source: str, received_at: datetime) -> list[Reading]:
    """The reading of a notification. Raises `InvalidEventError` for what is none."""
    del received_at
    if not isinstance(payload, dict) or "heartbeat" not in payload or "monitor" not in payload:
        raise InvalidEventError(
            Reason.UNKNOWN_FORMAT,
            "send Uptime Kuma's webhook with the preset application/json",
            field="heartbeat",
        )
    return read_one(payload, lambda each: _read(each, source))


def _read(payload: Json, source: str) -> Reading:
    heartbeat, monitor = mapping(payload, "heartbeat"), mapping(payload, "monitor")
    if not heartbeat:
        return Ignored("it is about no check: a test, or a notice about a certificate or a domain")
    status, id = heartbeat.get("status"), heartbeat.get("monitorID")
    if type(status) is not int or type(id) is not int:
        raise InvalidEventError(Reason.INVALID_FIELD, "send a heartbeat of a monitor", field="heartbeat")
    if status not in (_DOWN, _UP):
        return Ignored(f"the monitor is {_OTHERS.get(status, 'neither up nor down')}")
    if heartbeat.get("important") is False:
        return Ignored("the monitor is as before: this notification is sent again")
    at = _moment(required(heartbeat, "time"))
    name = text(monitor, "name") or f"monitor {id}"
    about: dict[str, Any] = {"monitor": id, "check": truncation.name(text(monitor, "type"))}
    if status == _DOWN:
        return monitoring_event(
            FAILED,
            event_id(source, str(id), required(heartbeat, "time"), "down"),
            at,
            source,
            service=name,
            outcome=Outcome.SERIOUS_FAILURE,
            why=text(heartbeat, "msg") or None,
            attributes=about | {"retries": heartbeat.get("retries")},
        )
    down = text(heartbeat, "lastDownTime")
    outage = {"outage_seconds": max(0.0, (at - _moment(down)).total_seconds())} if down else {}
    return monitoring_event(
        RECOVERED,
        event_id(source, str(id), required(heartbeat, "time"), "up"),
        at,
        source,
        service=name,
        attributes=about | outage,
    )


def _moment(text: str) -> datetime:
    """A time such as ``2026-03-01 08:15:30.123``, which is in UTC."""
    found = truncation.timestamp(f"{text.replace(' ', 'T', 1)}Z") or truncation.timestamp(text)
    if found is None:
        raise InvalidEventError(
            Reason.INVALID_FIELD, "send the time as Uptime Kuma does", field="heartbeat.time"
        )
    return found
