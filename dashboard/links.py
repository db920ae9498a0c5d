"""Addresses of pages. Each part is percent-encoded, whatever an id contains."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from urllib.parse import quote, urlencode

from domain.event import PERSONS, Actor, ActorKind

SUBJECTS = {"patient": "/patients", "user": "/users", "device": "/devices", "service": "/services"}
"""The kinds of subjects, and what the paths of their pages begin with."""
_IN_PATH = re.compile(r"(?!\.{1,2}\Z)[^/\\]+")
"""Ids that every browser and proxy leaves alone in a path: they resolve ``.`` and ``..``, also in the form ``%2E``, and
some decode ``%2F``."""


def subject(kind: str, id: str) -> str:
    """The page of a patient, user, device or service. An id that a path can't hold is in the query."""
    if _IN_PATH.fullmatch(id):
        return f"{SUBJECTS[kind]}/{quote(id, safe='')}"
    return f"{SUBJECTS[kind]}?{urlencode({'id': id})}"


def resource(type: str, id: str, **more: str) -> str:
    """The page of a resource."""
    return f"/resource?{urlencode({'type': type, 'id': id, **more})}"


def event(id: object) -> str:
    """The page of an event."""
    return f"/events/{id}"


def alert(id: str) -> str:
    """The page of an alert."""
    return f"/alerts/{quote(id, safe='')}"


def alerts(**conditions: str) -> str:
    """The list of alerts with these conditions."""
    return f"/alerts?{urlencode(conditions)}" if conditions else "/alerts"


def case(id: str) -> str:
    """The page of a case."""
    return f"/cases/{quote(id, safe='')}"


def review(id: str) -> str:
    """The page of a review."""
    return f"/reviews/{quote(id, safe='')}"


def review_item(id: str, item: int) -> str:
    """The page of an item of a review."""
    return f"{review(id)}/items/{item}"


def rule(id: str) -> str:
    """The page of a rule."""
    return f"/rules/{quote(id, safe='')}"


def export(id: str, what: str) -> str:
    """What can be done with a job: ``file``, ``cancel`` or ``delete``."""
    return f"/exports/{quote(id, safe='')}/{what}"


def question(id: object) -> str:
    """The form by which somebody says that they don't recognise an event."""
    return f"{event(id)}#question"


def explore(pairs: Iterable[tuple[str, str]] = (), /, **more: str) -> str:
    """The explorer with these parameters."""
    query = urlencode([*pairs, *more.items()])
    return f"/explore?{query}" if query else "/explore"


def share(pairs: Iterable[tuple[str, str]] = (), /, **more: str) -> str:
    """The form that makes a link to an event, or to the list of these parameters."""
    return f"/links/new?{urlencode([*pairs, *more.items()])}"


def explore_between(
    begin: datetime, end: datetime, pairs: Iterable[tuple[str, str]], zone: str | None = None
) -> str:
    """The explorer with the events from `begin`, inclusive, until `end`, exclusive."""
    times = [("from", begin.isoformat()), ("to", end.isoformat())]
    return explore([*pairs, *times, *([] if zone is None else [("zone", zone)])])


def subject_of(actor: Actor) -> tuple[str, str] | None:
    """The kind and the id of the subject that an actor is; None for an organization, and for an actor without id."""
    if actor.id is None or actor.kind is ActorKind.ORGANIZATION:
        return None
    if actor.kind in PERSONS:
        return "user", actor.id
    return ("device" if actor.kind is ActorKind.DEVICE else "service"), actor.id


def actor(actor: Actor) -> str | None:
    """The page of an actor; None for one that has none."""
    found = subject_of(actor)
    return None if found is None else subject(*found)
