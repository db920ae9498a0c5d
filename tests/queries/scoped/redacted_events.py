"""Readers of every role, events of which each hides something from one of them, and filters that ask for it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import combinations_with_replacement
from typing import Any

from domain.access.grants import HIDDEN, OPERATIONS, Operation
from domain.access.principal import Principal, Role
from domain.access.scope import Scope
from domain.event import ActorKind
from queries.filters.event_filter import EventFilter

NAME = "Doe, Jane"
IDS = ("a", "b", NAME)
_READING = [role for role in Role if Operation.READ_EVENTS in OPERATIONS[role]]
_SOME_HIDDEN = [role for role in _READING if role in HIDDEN or role in {Role.SERVICE_OWNER, Role.CLINICIAN}]
ROLES = [(role, role) for role in _READING if role not in _SOME_HIDDEN] + list(
    combinations_with_replacement(_SOME_HIDDEN, 2)
)
"""Every role that reads events, and every two of those that do not see every event in full."""


def readers(*roles: Role) -> Iterator[tuple[Principal, Scope]]:
    """Principals with these roles: bound to some ids or others, and with or without a decision to show staff."""
    for own in (("a",), ("b", NAME)):
        principal = Principal(
            id="x", roles=frozenset(roles), actors=own, patients=own, sources=own, devices=own
        )
        yield principal, Scope(principal)
        if Role.PATIENT in roles:
            yield principal, Scope(principal, sees_staff=own)


def events(count: int) -> list[dict[str, Any]]:
    """As many events, of any type and with any ids, as they stand in JSON."""
    chance = random.Random(3)
    types = ("record.read", "device.connected", "service.restarted", "event.unclassified", "alert.raised")
    resources = [
        {"type": type, "id": id}
        for type in ("Report", "AuditLog", "Patient")
        for id in (*IDS, "/v1/events", "/v1/users/a")
    ]

    def some(values: Any, most: int) -> list[Any]:
        return chance.sample(values, chance.randrange(most + 1))

    def event() -> dict[str, Any]:
        fields: dict[str, Any] = {
            "type": chance.choice(types),
            "source": {"service": chance.choice(IDS)},
            "actor": {"kind": chance.choice([*ActorKind]).value, "id": chance.choice(IDS)},
            "patients": [{"id": id} for id in some(IDS, 2)],
            "resources": some(resources, 2),
            "session": chance.choice(IDS),
            "correlation_id": chance.choice(IDS),
            "client": {"address": chance.choice(IDS)},
            "purpose_of_use": some(IDS, 1),
        }
        return fields | ({"device": {"id": chance.choice(IDS)}} if chance.random() < 0.5 else {})

    return [event() for _ in range(count)]


def filters() -> Iterator[EventFilter]:
    """Each condition that may ask for something hidden, alone and excluded."""
    for one in _conditions():
        yield one
        yield EventFilter(not_=one)


def _conditions() -> Iterator[EventFilter]:
    for name in ("actor", "user", "device", "patient", "session", "correlation_id", "address"):
        for values in (["a"], ["b"], [NAME], ["b", NAME], ["a", "b"]):
            yield EventFilter.of(**{name: values})
    for prefix in ("a", NAME[:2]):
        yield EventFilter(actor_prefix=prefix)
        yield EventFilter(address_prefix=prefix)
    for type in ("Report", "AuditLog", "Patient"):
        yield EventFilter(resource_type=type)
        yield EventFilter(resource_type=type, session="a")
        for id in (*IDS, "/v1/events", "/v1/users/a"):
            yield EventFilter(resource_type=type, resource_id=id)
