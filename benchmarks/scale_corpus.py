"""The events of a trail that is as long as one wants: skewed as real ones are, a year from the first to the last.

The numbers of patients, users, devices, resources, sessions and addresses grow with the trail, so that a short and a
long trail differ in length alone: the hundredth patient has as many events in both.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

START = datetime(2026, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)

TYPES = {
    "record.read": 45.0,
    "record.searched": 12.0,
    "record.updated": 10.0,
    "api.called": 10.0,
    "record.created": 5.0,
    "user.logged_in": 4.0,
    "user.logged_out": 3.5,
    "session.started": 2.0,
    "session.ended": 2.0,
    "device.connected": 2.5,
    "device.disconnected": 2.4,
    "user.login_failed": 0.5,
    "access.denied": 0.3,
    "configuration.changed": 0.2,
    "privilege.used": 0.2,
    "health_check.failed": 0.1,
    "record.exported": 0.05,
    "record.deleted": 0.02,
    "role.changed": 0.01,
    "emergency_access.started": 0.01,
    "service.restarted": 0.005,
}
SERVICES = {
    "patient-service": 40.0,
    "record-service": 25.0,
    "laboratory": 12.0,
    "pharmacy": 8.0,
    "imaging": 6.0,
    "portal": 4.0,
    "billing": 2.0,
    "research": 0.4,
    "consent": 0.05,
}
GATEWAY = "device-gateway"
"""It alone reports devices, and nothing else: two frequent values that never come together."""
LEGACY = "legacy-records"
"""Half of the first tenth is its own; since then it is silent."""
RESOURCES = ("Observation", "MedicationRequest", "DiagnosticReport", "Condition", "Encounter", "Consent")
_FAILED = {"user.login_failed", "access.denied", "health_check.failed"}
_NAMES, _WEIGHTS = list(TYPES), list(TYPES.values())
_SERVICE_NAMES, _SERVICE_WEIGHTS = list(SERVICES), list(SERVICES.values())


class Made(NamedTuple):
    """An event, and what the append asks of it."""

    event_id: UUID
    type: str
    occurred_at: datetime
    message: bytes


class Population(NamedTuple):
    """How many there are of each."""

    patients: int
    users: int
    devices: int
    addresses: int

    @classmethod
    def of(cls, total: int) -> Population:
        """Those of a trail of `total` events."""
        return cls(*(max(total // each, 10) for each in (40, 2000, 5000, 1000)))


def make_events(first: int, until: int, total: int) -> Iterator[Made]:
    """The events at the places `first` to `until - 1` of a trail of `total`; the same arguments, the same events."""
    chance = random.Random(first)
    people = Population.of(total)
    encode = msgspec.json.Encoder().encode
    types = chance.choices(_NAMES, _WEIGHTS, k=until - first)
    for at, type in zip(range(first, until), types, strict=True):
        said = _event(chance, people, at, at / total, type)
        late = chance.random() * 7200 if chance.random() < 0.01 else chance.random() * 2
        moment = START + YEAR * (at / total) - timedelta(seconds=late)
        said["occurred_at"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event_id = UUID(int=chance.getrandbits(128), version=4)
        yield Made(event_id, type, moment, encode({"event_id": str(event_id)} | said))


def skewed(chance: random.Random, size: int) -> int:
    """A number below `size`, small ones more often: of n the first has 1/sqrt(n) of all, the middle one 0.7/n."""
    return int(size * chance.random() ** 2)


def _event(chance: random.Random, people: Population, at: int, age: float, type: str) -> dict[str, Any]:
    user = skewed(chance, people.users)
    roll = chance.random()
    said: dict[str, Any] = {"type": type, "occurred_at": ""}
    if type.startswith("device."):
        return said | _of_device(chance, people, at)
    service = chance.choices(_SERVICE_NAMES, _SERVICE_WEIGHTS)[0]
    said["source"] = {"service": LEGACY if age < 0.1 and roll < 0.5 else service, "site": "north"}
    said["actor"] = {
        "kind": "service" if type.startswith(("api.", "service.", "health_")) else "user",
        "id": f"u{user}",
        "name": f"Name of User {user}",
        "roles": ["nurse" if user % 3 else "physician"],
    }
    said["session"] = f"s-{(at // 30 + chance.randrange(40)):08x}"
    said["correlation_id"] = f"c-{at // 3:012x}"
    address = skewed(chance, people.addresses)
    said["client"] = {"address": f"10.{address >> 16}.{address >> 8 & 255}.{address & 255}"}
    if type.startswith("record."):
        patient = skewed(chance, people.patients)
        said["patients"] = [{"id": f"p{patient}"}]
        kind = RESOURCES[skewed(chance, len(RESOURCES))]
        said["resources"] = [{"type": kind, "id": f"{kind[0].lower()}{patient}-{chance.randrange(3)}"}]
        said["purpose_of_use"] = ["TREAT"] if roll < 0.9 else ["HPAYMT"]
        if type == "record.updated":
            said["changes"] = [{"path": "status", "before": "preliminary", "after": "final"}]
        if roll < 0.0003:
            said["emergency"] = True
    elif type == "emergency_access.started":
        said |= {"reason": "unconscious", "emergency": True}
    elif type == "api.called":
        said["request"] = {"method": "GET", "path": "/fhir/metadata", "status": 200, "duration_ms": 12.5}
    if type in _FAILED:
        said["outcome"] = "serious_failure" if roll < 0.3 else "minor_failure"
    elif 0.5 < roll < 0.5055:
        said["outcome"] = (
            "major_failure" if roll < 0.50005 else "serious_failure" if roll < 0.501 else "minor_failure"
        )
    return said


def _of_device(chance: random.Random, people: Population, at: int) -> dict[str, Any]:
    device = {"id": f"d{skewed(chance, people.devices)}", "name": "Pump", "software_version": "4.2.1"}
    return {
        "source": {"service": GATEWAY},
        "actor": {"kind": "device", "id": device["id"]},
        "device": device,
        "correlation_id": f"c-{at // 3:012x}",
    }
