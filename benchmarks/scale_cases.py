"""What a long trail is asked: every condition that the documentation calls indexed, alone and together.

A case makes the filter of one request, from a population: each request asks for another value.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from benchmarks.scale_corpus import GATEWAY, LEGACY, START, YEAR, Population, skewed

FAILURES = ["MINOR_FAILURE", "SERIOUS_FAILURE", "MAJOR_FAILURE"]
Filter = dict[str, Any]


class Trail(NamedTuple):
    """Whom to ask for, in a trail of `events`."""

    events: int
    people: Population
    chance: random.Random

    def patient(self) -> str:
        """Anybody; often one with many events."""
        return f"p{skewed(self.chance, self.people.patients)}"

    def user(self) -> str:
        """Anybody; often one with many events."""
        return f"u{skewed(self.chance, self.people.users)}"

    def device(self) -> str:
        """Any device."""
        return f"d{skewed(self.chance, self.people.devices)}"

    def address(self) -> str:
        """Any address."""
        at = skewed(self.chance, self.people.addresses)
        return f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}"

    def session(self) -> str:
        """Any session."""
        return f"s-{self.chance.randrange(self.events // 30):08x}"

    def correlation(self) -> str:
        """Any correlation id."""
        return f"c-{self.chance.randrange(self.events // 3):012x}"

    def resource(self) -> Filter:
        """Any patient's observation."""
        patient = skewed(self.chance, self.people.patients)
        return {"resourceType": "Observation", "resourceId": f"o{patient}-0"}

    def day(self, days: float = 1) -> Filter:
        """So many days, anywhere in the year."""
        start = START + YEAR * (0.95 * self.chance.random())
        return {"occurredFrom": _text(start), "occurredUntil": _text(start + timedelta(days=days))}

    def place(self) -> int:
        """Any position."""
        return self.chance.randrange(self.events // 10, self.events)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


FILTERS: dict[str, Callable[[Trail], Filter]] = {
    "everything": lambda _: {},
    "patient": lambda t: {"patient": t.patient()},
    "the busiest patient": lambda _: {"patient": "p0"},
    "actor": lambda t: {"actor": t.user()},
    "user": lambda t: {"user": t.user()},
    "device": lambda t: {"device": t.device()},
    "service, frequent": lambda _: {"service": "patient-service"},
    "service, rare": lambda _: {"source": "consent"},
    "service, silent since": lambda _: {"service": LEGACY},
    "resource type": lambda _: {"resourceType": "Observation"},
    "resource": lambda t: t.resource(),
    "type, frequent": lambda _: {"types": ["record.read"]},
    "type, rare": lambda _: {"types": ["service.restarted"]},
    "six types": lambda _: {
        "types": [
            "record.read",
            "record.deleted",
            "role.changed",
            "access.denied",
            "api.called",
            "user.logged_in",
        ]
    },
    "category, frequent": lambda _: {"categories": ["DATA"]},
    "category, small": lambda _: {"categories": ["DEVICE", "SERVICE"]},
    "prefix of types": lambda _: {"typePrefix": "emergency_access."},
    "prefix of frequent types": lambda _: {"typePrefix": "record."},
    "session": lambda t: {"session": t.session()},
    "correlation id": lambda t: {"correlationId": t.correlation()},
    "address": lambda t: {"address": t.address()},
    "failures": lambda _: {"outcomes": FAILURES},
    "major failures": lambda _: {"outcomes": ["MAJOR_FAILURE"]},
    "emergency": lambda _: {"emergency": True},
    "a day": lambda t: t.day(),
    "a day, rare type": lambda t: {**t.day(), "types": ["role.changed"]},
    "a month, patient": lambda t: {**t.day(30), "patient": t.patient()},
    "a month, frequent service": lambda t: {**t.day(30), "service": "laboratory"},
    "until a day": lambda t: {"occurredUntil": t.day()["occurredUntil"]},
    "positions": lambda t: {"positionFrom": (at := t.place()) - 5000, "positionUntil": at},
    "40 patients": lambda t: {"patientIn": sorted({t.patient() for _ in range(60)})[:40]},
    "100 patients": lambda t: {"patientIn": [f"p{n}" for n in range(99, 1, -1)] + [t.patient()]},
    "40 users": lambda t: {"userIn": sorted({t.user() for _ in range(50)})[:40]},
    "patient or user": lambda t: {"or": [{"patient": t.patient()}, {"actor": t.user()}]},
    "three ways": lambda t: {
        "or": [{"session": t.session()}, {"types": ["role.changed"]}, {"outcomes": ["MAJOR_FAILURE"]}]
    },
    "patient, frequent type": lambda t: {"patient": t.patient(), "types": ["record.read"]},
    "busiest patient, rare type": lambda _: {"patient": "p0", "types": ["record.exported"]},
    "busiest patient, rare outcome": lambda _: {"patient": "p0", "outcomes": ["SERIOUS_FAILURE"]},
    "patient, service": lambda t: {"patient": t.patient(), "service": "pharmacy"},
    "patient, user": lambda t: {"patient": t.patient(), "user": t.user()},
    "busiest patient and user": lambda _: {"patient": "p0", "user": "u0"},
    "frequent service, rare type": lambda _: {"service": "patient-service", "types": ["role.changed"]},
    "frequent service, rare outcome": lambda _: {"service": "patient-service", "outcomes": ["MAJOR_FAILURE"]},
    "service and type that never meet": lambda _: {"service": GATEWAY, "types": ["record.read"]},
    "silent service, frequent type": lambda _: {"service": LEGACY, "types": ["record.read"]},
    "silent service, frequent category": lambda _: {"service": LEGACY, "categories": ["DATA"]},
    "type and resource type that never meet": lambda _: {
        "types": ["user.logged_in"],
        "resourceType": "Observation",
    },
    "resource type, rare service": lambda _: {"resourceType": "Observation", "service": "consent"},
    "user, service": lambda t: {"user": t.user(), "service": "billing"},
    "user, device": lambda t: {"user": t.user(), "device": t.device()},
    "user, frequent type": lambda t: {"user": t.user(), "types": ["record.read"]},
    "user, rare type": lambda t: {"user": t.user(), "types": ["role.changed"]},
    "user, failures": lambda t: {"user": t.user(), "outcomes": FAILURES},
    "user, resource type": lambda t: {"user": t.user(), "resourceType": "Consent"},
    "device, rare type": lambda t: {"device": t.device(), "types": ["configuration.changed"]},
    "address, service": lambda t: {"address": t.address(), "service": "billing"},
    "address, frequent type": lambda t: {"address": t.address(), "types": ["record.read"]},
    "session, not a type": lambda t: {"session": t.session(), "not": {"types": ["record.read"]}},
    "emergency, service": lambda _: {"emergency": True, "service": "record-service"},
    "patient of two": lambda t: {"and": [{"patient": t.patient()}, {"patient": t.patient()}]},
}
"""Filters of a first page."""

PAGES: dict[str, Callable[[Trail], tuple[Filter, Filter]]] = {
    "deep page": lambda t: ({}, {"at": t.place()}),
    "deep page, user": lambda t: ({"user": t.user()}, {"at": t.place()}),
    "deep page, frequent type": lambda t: ({"types": ["record.read"]}, {"at": t.place()}),
    "deep page, failures": lambda t: ({"outcomes": FAILURES}, {"at": t.place()}),
    "deep page, resource type": lambda t: ({"resourceType": "Observation"}, {"at": t.place()}),
    "last": lambda _: ({}, {"last": True}),
    "last, patient": lambda t: ({"patient": t.patient()}, {"last": True}),
    "last, rare type": lambda _: ({"types": ["role.changed"]}, {"last": True}),
    "last, user": lambda t: ({"user": t.user()}, {"last": True}),
    "last, frequent service": lambda _: ({"service": "patient-service"}, {"last": True}),
    "by time": lambda _: ({}, {"time": True}),
    "by time, deep": lambda t: ({}, {"time": True, "at": t.place()}),
    "by time, patient": lambda t: ({"patient": t.patient()}, {"time": True}),
    "by time, user": lambda t: ({"user": t.user()}, {"time": True}),
    "by time, rare type": lambda _: ({"types": ["role.changed"]}, {"time": True}),
    "by time, frequent type": lambda _: ({"types": ["record.read"]}, {"time": True}),
    "by time, silent service": lambda _: ({"service": LEGACY}, {"time": True}),
    "by time, a day": lambda t: (t.day(), {"time": True}),
    "by time, oldest first": lambda _: ({"service": "portal"}, {"last": True, "time": True}),
}
"""Filter and page: `at` is the position that it comes after; `last`: from the end of the list; `time`: in its order."""

SCOPED: dict[str, Callable[[Trail], tuple[str, Filter]]] = {
    "a clinician": lambda t: (f"clinician.{t.user()}", {}),
    "a clinician, frequent type": lambda t: (f"clinician.{t.user()}", {"types": ["record.read"]}),
    "a clinician, rare service": lambda t: (f"clinician.{t.user()}", {"service": "billing"}),
    "a clinician, a patient": lambda t: (f"clinician.{t.user()}", {"patient": t.patient()}),
    "a clinician, failures": lambda t: (f"clinician.{t.user()}", {"outcomes": FAILURES}),
    "a patient": lambda t: (f"patient.{t.patient()}", {}),
    "a patient, frequent type": lambda t: (f"patient.{t.patient()}", {"types": ["record.read"]}),
    "the busiest patient, rare type": lambda _: ("patient.p0", {"types": ["record.exported"]}),
    "owner of a frequent service": lambda _: ("service_owner.patient-service", {}),
    "owner of a frequent service, rare type": lambda _: (
        "service_owner.patient-service",
        {"types": ["role.changed"]},
    ),
    "owner of a rare service, frequent type": lambda _: (
        "service_owner.consent",
        {"types": ["record.read"]},
    ),
    "owner of a service, a patient": lambda t: ("service_owner.laboratory", {"patient": t.patient()}),
    "a device manager": lambda t: (f"device_manager.{t.device()}", {}),
    "a device manager, a device": lambda t: (f"device_manager.{t.device()}", {"device": t.device()}),
    "a device manager, a rare type": lambda t: (
        f"device_manager.{t.device()}",
        {"types": ["service.restarted"]},
    ),
}
"""Who asks, and for what: the rows of a role hold beside the filter."""

COUNTS: dict[str, Callable[[Trail], tuple[str, Filter]]] = {
    "days of a year": lambda _: ("DAY", {}),
    "types, patient": lambda t: ("TYPE", {"patient": t.patient()}),
    "types, session": lambda t: ("TYPE", {"session": t.session()}),
    "actors, patient": lambda t: ("ACTOR", {"patient": t.patient()}),
    "hours, major failures": lambda _: ("HOUR", {"outcomes": ["MAJOR_FAILURE"]}),
    "types, an hour": lambda t: ("TYPE", t.day(1 / 24)),
    "types, a week": lambda t: ("TYPE", t.day(7)),
    "services, a month": lambda t: ("SERVICE", t.day(30)),
    "outcomes, frequent service": lambda _: ("OUTCOME", {"service": "patient-service"}),
    "hours, category, a day": lambda t: ("HOUR", {**t.day(), "categories": ["DATA"]}),
    "outcomes, a day": lambda t: ("OUTCOME", t.day()),
    "services, a day": lambda t: ("SERVICE", t.day()),
    "actors, a day": lambda t: ("ACTOR", t.day()),
    "types, a year": lambda _: ("TYPE", {}),
    "days, failures": lambda _: ("DAY", {"outcomes": FAILURES}),
    "days, rare type": lambda _: ("DAY", {"types": ["role.changed"]}),
    "hours, frequent type, a month": lambda t: ("HOUR", {**t.day(30), "types": ["record.read"]}),
    "hours, category, a year": lambda _: ("HOUR", {"categories": ["DATA"]}),
}

SUBJECTS: dict[str, tuple[str, Callable[[Trail], str]]] = {
    "patient activity": ("patient", lambda t: t.patient()),
    "user activity": ("user", lambda t: t.user()),
    "the busiest user's activity": ("user", lambda _: "u0"),
    "device activity": ("device", lambda t: t.device()),
}
SUMMARIES = {
    "patient": "events lastSeen accesses { actorId actorName accesses firstAt lastAt purposes }",
    "user": "events logins sessions { session startedAt events } patients { patientId events lastAt } actions { type }",
    "device": "events connected softwareVersions { version firstAt } configuration { position path before after }",
}
