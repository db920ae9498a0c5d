"""The people and devices of the simulated clinic. All names and all events are invented.

Seconds are counted from the start of the simulated hour.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from domain.access.redaction import DEPARTMENT
from domain.catalogue import TRAIL_SERVICE
from domain.event import Actor, ActorKind, AuditEvent, Client, Device, Patient, Source

SITE = "Clinic of Nowhere"

AUTHENTICATION = Source(service="authentication-service", site=SITE, instance="auth-1")
RECORDS = Source(service="patient-service", site=SITE, instance="patient-2")
VITALS = Source(service="vitals-service", site=SITE, instance="vitals-1")
DEVICES = Source(service="device-service", site=SITE, instance="gateway-1")
GATEWAY = Source(service="api-gateway", site=SITE, instance="edge-1")
TRAIL = Source(service=TRAIL_SERVICE, site=SITE, instance="trail-1")


@dataclass(frozen=True)
class Person:
    """A member of staff, at work from `begins` to `ends`, at the desk with `address`."""

    id: str
    name: str
    role: str
    address: str
    begins: float
    ends: float
    purpose: str = "TREAT"
    department: str = "medical ward"

    @property
    def session(self) -> str:
        """The id of the one session that this person has in the hour."""
        return f"session-{self.id}"

    @property
    def actor(self) -> Actor:
        """The actor of this person's events."""
        return Actor(kind=ActorKind.USER, id=self.id, name=self.name, roles=(self.role,))

    @property
    def client(self) -> Client:
        """The client at this person's desk."""
        return Client(address=self.address, user_agent="WardApp/7.3")

    @property
    def at_work(self) -> dict[str, Any]:
        """The fields that all events of this person share."""
        return {
            "actor": self.actor,
            "session": self.session,
            "client": self.client,
            "purpose_of_use": (self.purpose,),
            "department": self.department,
        }


NIGHTINGALE = Person("n.nightshift", "Nora Nightshift", "nurse", "10.20.1.11", 610, 3420)
TECHNICIAN = Person(
    "t.toolbox", "Tilda Toolbox", "technician", "10.20.9.3", 300, 3300, "HOPERAT", "engineering"
)
PRIVACY = Person(
    "p.paragraph", "Percy Paragraph", "privacy officer", "10.20.8.2", 420, 3480, "HOPERAT", "privacy office"
)
ADMINISTRATOR = Person("a.access", "Alma Access", "administrator", "10.20.8.4", 60, 3540, "HOPERAT", "IT")
RESEARCHER = Person(
    "r.regression", "Rufus Regression", "researcher", "10.20.8.9", 900, 2400, "HRESCH", "research"
)
NAPPER = Person("d.dozer", "Dora Dozer", "doctor", "10.20.2.14", 45, 1500)

STAFF = (
    Person("b.bandage", "Boris Bandage", "nurse", "10.20.1.12", 20, 1860),
    Person("c.compress", "Clara Compress", "nurse", "10.20.1.13", 75, 3500),
    Person("e.elbow", "Emil Elbow", "nurse", "10.20.1.14", 1740, 3590),
    Person("f.fever", "Frida Fever", "nurse", "10.20.1.15", 1790, 3580),
    Person("a.placebo", "Dr. Ada Placebo", "doctor", "10.20.2.11", 35, 3450),
    Person("m.molar", "Dr. Milo Molar", "doctor", "10.20.2.12", 1200, 3550),
    Person("s.stethoscope", "Dr. Stella Stethoscope", "doctor", "10.20.2.13", 90, 3380),
    NAPPER,
    NIGHTINGALE,
)
"""Those who look after patients."""

OFFICE = (TECHNICIAN, PRIVACY, ADMINISTRATOR, RESEARCHER)

_PATIENTS = (
    ("1007", "Paula Paperclip"),
    ("1012", "Max Mustard"),
    ("1013", "Ines Invention"),
    ("1021", "Otto Oatmeal"),
    ("1028", "Lotte Lampshade"),
    ("1034", "Gus Gazebo"),
    ("1035", "Wilma Wheelbarrow"),
    ("1042", "Ferdinand Fiction"),
    ("1050", "Rosa Radish"),
    ("1063", "Igor Imaginary"),
    ("1071", "Tessa Teapot"),
    ("1088", "Hugo Hammock"),
)
PATIENTS = tuple(Patient(id=id, name=name) for id, name in _PATIENTS)

BEDSIDE = tuple(f"monitor-{number}" for number in range(1, 9))
"""The patient monitors; monitor N stands at the bed of patient N."""


@dataclass
class Clinic:
    """The simulated hour: a seeded random generator, and the events so far, unordered."""

    seed: int
    start: datetime
    events: list[AuditEvent] = field(default_factory=list)
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        # The start is part of the seed: another hour has other event ids, so that a second demonstration on kept
        # data adds events and doesn't contradict the first.
        self.chance = random.Random(f"{self.seed} {self.start.isoformat()}")  # noqa: S311 - a story, no secret

    def add(
        self,
        second: float,
        type: str,
        source: Source,
        actor: Actor,
        *,
        department: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        """Add an event that happened `second` seconds into the hour, to the millisecond."""
        where = {} if department is None else {DEPARTMENT: department}
        self.events.append(
            AuditEvent(
                event_id=UUID(int=self.chance.getrandbits(128), version=4),
                type=type,
                occurred_at=self.start + timedelta(milliseconds=round(second * 1000)),
                source=source,
                actor=actor,
                attributes={**where, **(attributes or {})},
                **fields,
            )
        )

    def correlation(self) -> str:
        """A new correlation id."""
        return f"request-{self.chance.getrandbits(48):012x}"


def service_actor(id: str, name: str) -> Actor:
    """A service that acts by itself."""
    return Actor(kind=ActorKind.SERVICE, id=id, name=name)


def device_actor(device: Device) -> Actor:
    """A device that acts by itself."""
    return Actor(kind=ActorKind.DEVICE, id=device.id, name=device.name)
