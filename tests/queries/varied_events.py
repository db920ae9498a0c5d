"""A trail in which every filter finds something, and what each finds."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import Any

from queries.filters.event_filter import EventFilter, EventPage
from tests.trail import START

P1, P2 = {"id": "p1"}, {"id": "p2"}


PUMP = {"id": "pump"}


OBSERVATION = {"type": "Observation", "id": "o1"}


INDIA = (START + timedelta(minutes=81)).astimezone(timezone(timedelta(hours=5, minutes=30)))


EVENTS: list[dict[str, Any]] = [
    {"type": "record.read", "patients": [P1, P2], "resources": [OBSERVATION], "purpose_of_use": ["TREAT"]},
    {"type": "record.updated", "patients": [P1], "resources": [OBSERVATION], "actor": {"id": "nurse"}},
    {"type": "user.login_failed", "outcome": "minor_failure", "client": {"address": "10.0.0.1"}},
    {"type": "device.connected", "device": PUMP, "source": {"service": "devices"}},
    {"type": "record.created", "actor": {"id": "pump", "kind": "device"}, "patients": [P2], "device": PUMP},
    {"type": "record.read", "patients": [P1], "emergency": True, "session": "s1", "correlation_id": "c1"},
    {"type": "access.denied", "outcome": "serious_failure", "session": "s1", "patients": [P1]},
    {
        "type": "record.deleted",
        "resources": [{"type": "Observation", "id": "o2"}, OBSERVATION],
        "action": "U",
    },
    {"type": "api.called", "actor": {"id": "dr-smith", "kind": "service"}, "request": {"method": "GET"}},
]


def positions(page: EventPage) -> list[int]:
    return [each.position for each in page.events]


FILTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [8, 7, 6, 5, 4, 3, 2, 1, 0]),
    ({"patient": "p1"}, [6, 5, 1, 0]),
    ({"patient": "p2"}, [4, 0]),
    ({"patient": "p3"}, []),
    ({"actor": "dr-smith"}, [8, 7, 6, 5, 3, 2, 0]),
    ({"user": "dr-smith"}, [7, 6, 5, 3, 2, 0]),
    ({"device": "pump"}, [4, 3]),
    ({"service": "devices"}, [3]),
    ({"source": "devices", "service": "patient-service"}, []),
    ({"resource_type": "Observation"}, [7, 1, 0]),
    ({"resource_type": "Observation", "resource_id": "o1"}, [7, 1, 0]),
    ({"resource_type": "Observation", "resource_id": "o2"}, [7]),
    ({"types": ("record.read",)}, [5, 0]),
    ({"types": ("record.read", "access.denied")}, [6, 5, 0]),
    ({"categories": ("device", "service")}, [8, 3]),
    ({"categories": ("user",), "types": ("record.read", "access.denied")}, [6]),
    ({"categories": ("user",), "types": ("record.read",)}, []),
    ({"actions": ("U",)}, [7, 1]),
    ({"actions": ("R",)}, [5, 0]),
    ({"outcomes": ("minor_failure", "serious_failure")}, [6, 2]),
    ({"actor_kinds": ("device", "service")}, [8, 4]),
    ({"not_": EventFilter(actor_kinds=("user",)), "actor": "pump"}, [4]),
    ({"day_time_from": "12:00"}, [8, 7, 6]),
    ({"day_time_from": "13:00", "day_time_until": "08:40"}, [8, 0]),
    ({"weekdays": ("monday",), "day_time_until": "09:20:00"}, [1, 0]),
    ({"weekdays": ("sunday", "tuesday"), "time_zone": "Pacific/Auckland"}, [8, 7, 6, 5]),
    ({"day_time_from": "22:00", "time_zone": "Pacific/Auckland", "actor_prefix": "pu"}, [4]),
    ({"outcomes": ("success",), "patient": "p1"}, [5, 1, 0]),
    ({"purposes": ("TREAT", "ETREAT")}, [0]),
    ({"session": "s1"}, [6, 5]),
    ({"correlation_id": "c1"}, [5]),
    ({"address": "10.0.0.1"}, [2]),
    ({"emergency": True}, [5]),
    ({"emergency": False, "session": "s1"}, [6]),
    ({"patient": "p2", "device": "pump"}, [4]),
    ({"patient": "p1", "resource_type": "Observation", "user": "nurse"}, [1]),
    ({"patient": "p1", "types": ("record.read",), "purposes": ("TREAT",), "outcomes": ("success",)}, [0]),
    ({"occurred_from": START + timedelta(minutes=80)}, [8, 7, 6, 5, 4, 3, 2]),
    ({"occurred_until": START + timedelta(minutes=80)}, [1, 0]),
    (
        {
            "occurred_from": (START + timedelta(minutes=81)).astimezone(timezone(timedelta(hours=5))),
            "patient": "p1",
        },
        [6, 5],
    ),
    ({"occurred_from": START + timedelta(days=1)}, []),
    ({"actor_in": ("nurse", "pump", "nobody")}, [4, 1]),
    ({"patient_in": ("p1", "p2")}, [6, 5, 4, 1, 0]),
    ({"patient": "p1", "patient_in": ("p2", "p3")}, [0]),
    ({"user_in": ("dr-smith", "pump")}, [7, 6, 5, 3, 2, 0]),
    ({"device_in": ("pump", "other"), "service": "devices"}, [3]),
    ({"service_in": ("devices", "other")}, [3]),
    ({"correlation_id_in": ("c1", "c2")}, [5]),
    ({"session_in": ("s1", "s2"), "address_in": ("10.0.0.1",)}, []),
    ({"address_in": ("10.0.0.1", "10.0.0.2")}, [2]),
    ({"type_prefix": "record."}, [7, 5, 4, 1, 0]),
    ({"type_prefix": "nothing."}, []),
    ({"type_prefix": "record.", "types": ("record.read", "api.called")}, [5, 0]),
    ({"actor_prefix": "nu"}, [1]),
    ({"address_prefix": "10.0."}, [2]),
    ({"address_prefix": "10.0.", "actor": "nurse"}, []),
    ({"position_from": 3, "position_until": 6}, [5, 4, 3]),
    ({"position_from": 6, "position_until": 6}, []),
    ({"or_": (EventFilter(patient="p2"), EventFilter(session="s1"))}, [6, 5, 4, 0]),
    ({"or_": (EventFilter(patient="p1"), EventFilter(patient="p2"))}, [6, 5, 4, 1, 0]),
    ({"or_": (EventFilter(actions=("U",)), EventFilter(outcomes=("minor_failure",)))}, [7, 2, 1]),
    ({"or_": (EventFilter(types=("record.read",)), EventFilter(outcomes=("minor_failure",)))}, [5, 2, 0]),
    ({"patient": "p1", "or_": (EventFilter(emergency=True), EventFilter(actor="nurse"))}, [5, 1]),
    ({"and_": (EventFilter(patient="p1"), EventFilter(patient="p2"))}, [0]),
    (
        {
            "and_": (
                EventFilter(resource_type="Observation", resource_id="o1"),
                EventFilter(resource_type="Observation", resource_id="o2"),
            )
        },
        [7],
    ),
    ({"not_": EventFilter(patient="p1")}, [8, 7, 4, 3, 2]),
    ({"not_": EventFilter(session="s1")}, [8, 7, 4, 3, 2, 1, 0]),
    ({"not_": EventFilter(not_=EventFilter(session="s1"))}, [6, 5]),
    ({"not_": EventFilter(purposes=("TREAT",)), "patient": "p1"}, [6, 5, 1]),
    ({"not_": EventFilter(resource_type="Observation"), "patient": "p1"}, [6, 5]),
    ({"not_": EventFilter(occurred_from=START + timedelta(minutes=80))}, [1, 0]),
    (
        {
            "or_": (
                EventFilter(and_=(EventFilter(patient="p1"), EventFilter(not_=EventFilter(session="s1")))),
                EventFilter(position_from=7),
            )
        },
        [8, 7, 1, 0],
    ),
    (
        {
            "or_": (
                EventFilter(actor="nurse", occurred_from=START + timedelta(days=1)),
                EventFilter(actor="pump"),
            )
        },
        [4],
    ),
]


def nested(levels: int) -> EventFilter:
    return EventFilter(not_=nested(levels - 1)) if levels else EventFilter(actor="x")
