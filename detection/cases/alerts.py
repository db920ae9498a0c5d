"""What a case knows of an alert, and whom the alert is about."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct

from domain.alert_level import Level
from domain.cases.access import ACTOR
from domain.cases.commands import Person
from domain.catalogue import TRAIL_SERVICE
from domain.event import ActorKind

_ACTORS = UUID("8d5d6c0e-6f5f-5a0c-9d0b-0a3b6e1c7f21")
_ALERTS = UUID("3f0f6f0a-6f0e-5f5e-8d53-6c1f0f9b2a44")
"""Name spaces of the ids below. They are stored, so they never change."""
_MAX_KEY = 1024
"""Bytes of a group in a key; of a longer group the key has the digest."""
TRAIL = Person(id=TRAIL_SERVICE, kind=ActorKind.SERVICE)
"""Who puts alerts into cases."""

Group = tuple[tuple[str, str], ...]


class AlertFacts(Struct, frozen=True, kw_only=True):
    """What the events of a case repeat of an alert."""

    id: UUID
    rule_id: UUID
    title: str
    level: Level
    raised_at: datetime


class Subject(NamedTuple):
    """Whom alerts of one case are about. `actor` is an actor's id; None when it is a group without actor, or a rule."""

    key: str
    actor: str | None

    @property
    def id(self) -> UUID:
        """The id of the aggregate that remembers the alerts about the subject."""
        return uuid5(_ACTORS, self.key)


def about_actor(actor: str) -> Subject:
    """The subject of alerts about an actor."""
    return Subject(f"actor:{actor}", actor)


def subject_of(rule_id: UUID, group: Group, actor: str | None) -> Subject:
    """The actor of an alert, or its group without an actor, or else its rule."""
    found = dict(group).get(ACTOR) or actor
    if found:
        return about_actor(found)
    if group:
        pairs = msgspec.json.encode(sorted(group))
        named = pairs.decode() if len(pairs) <= _MAX_KEY else f"sha256:{sha256(pairs).hexdigest()}"
        return Subject(f"group:{named}", None)
    return Subject(f"rule:{rule_id}", None)


def case_id_of(alert_id: UUID) -> UUID:
    """The id of the case that an alert opens."""
    return uuid5(_ALERTS, f"case:{alert_id}")


def command_id_of(alert_id: UUID) -> UUID:
    """The id of the command that puts an alert into a case."""
    return uuid5(_ALERTS, f"received:{alert_id}")
