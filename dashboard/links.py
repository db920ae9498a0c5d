"""Addresses of pages. Each part is percent-encoded, whatever an id contains."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote, urlencode

from domain.event import ActorKind, AuditEvent

SUBJECTS = {"patient": "/patients/", "user": "/users/", "device": "/devices/", "service": "/services/"}
"""The kinds of subjects, and what the paths of their pages begin with."""


def subject(kind: str, id: str) -> str:
    """The page of a patient, user, device or service."""
    return f"{SUBJECTS[kind]}{quote(id, safe='')}"


def resource(type: str, id: str) -> str:
    """The page of a resource."""
    return f"/resource?{urlencode({'type': type, 'id': id})}"


def event(id: object) -> str:
    """The page of an event."""
    return f"/events/{id}"


def explore(pairs: Iterable[tuple[str, str]] = (), /, **more: str) -> str:
    """The explorer with these parameters."""
    query = urlencode([*pairs, *more.items()])
    return f"/explore?{query}" if query else "/explore"


def actor(event: AuditEvent) -> str | None:
    """The page of the actor; None for an actor without id."""
    id = event.actor.id
    if id is None:
        return None
    kinds = {ActorKind.PATIENT: "user", ActorKind.DEVICE: "device", ActorKind.SERVICE: "service"}
    return subject(kinds.get(event.actor.kind, "user"), id)
