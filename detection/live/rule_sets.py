"""Sets of rules in the database, and the decisions that one counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from detection.rules.rule import RuleSet
from detection.rules.rule_file import parse_rules
from domain.catalogue import TRAIL_SERVICE
from domain.errors import LogInconsistentError
from domain.event import Actor, ActorKind, AuditEvent, Resource, Source
from event_store.database import Database
from event_store.statements import load

_SQL = load(__package__, "rule_sets.sql")
MAX_FAULT = 4000
"""Characters of a fault that readers get."""

ACTIVATED = "detection_rules.activated"
RESOURCE = "DetectionRules"
"""The resource type of a set of rules; the resource's id is its digest."""

Documents = Sequence[tuple[str, str]]
"""Names and texts of files."""
SWITCHED_OFF = "switched_off.json"
"""The name of the document that lists the rules of the set that report nothing: the list of `SwitchedOff`."""


class SwitchedOff(Struct, frozen=True, kw_only=True):
    """The decision of an owner that a rule, named by its id, reports nothing; `until` is a date, or empty."""

    rule: str
    owner: str
    reason: str
    until: str = ""


class Activation(Struct, frozen=True, kw_only=True):
    """A stored decision. `details` says what changed, and who answers for it."""

    event_id: UUID
    digest: str
    details: dict[str, Any]
    decided_at: datetime


def set_digest(documents: Documents) -> str:
    """SHA-256 of names and texts, in the order of names."""
    return sha256(msgspec.json.encode(sorted(documents))).hexdigest()


def activation_event(activation: Activation) -> AuditEvent:
    """`detection_rules.activated`. The same decision gives the same event: it can be published again."""
    return AuditEvent(
        event_id=activation.event_id,
        type=ACTIVATED,
        occurred_at=activation.decided_at,
        source=Source(service=TRAIL_SERVICE),
        actor=Actor(kind=ActorKind.SERVICE, id=TRAIL_SERVICE),
        resources=(Resource(type=RESOURCE, id=activation.digest),),
        attributes=activation.details,
    )


def store_activation(database: Database, documents: Documents, details: Mapping[str, Any]) -> Activation:
    """Store a set and the decision that it counts. It counts once the trail has the decision's event."""
    digest = set_digest(documents)
    with database.transaction() as connection, connection.cursor() as cursor:
        texts = msgspec.json.encode(sorted(documents)).decode()
        cursor.execute(_SQL["store_set"], {"digest": digest, "documents": texts})
        given = {"digest": digest, "details": msgspec.json.encode(details).decode()}
        cursor.execute(_SQL["activate"], given)
        row = cursor.fetchone()
    assert row is not None
    return _activation(row)


def note_fault(database: Database, fault: str) -> None:
    """Tell readers why the files of rules do not count; an empty text when they do."""
    with database.transaction() as connection, connection.cursor() as cursor:
        if fault:
            cursor.execute(_SQL["note_fault"], {"fault": fault[:MAX_FAULT]})
        else:
            cursor.execute(_SQL["no_fault"])


def newest_activation(database: Database) -> Activation | None:
    """The newest decision, published or not; None when there is none."""
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["newest"])
        row = cursor.fetchone()
    return None if row is None else _activation(row)


def unpublished(database: Database) -> list[Activation]:
    """The decisions that the trail may not have yet, the oldest first."""
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["unpublished"])
        return [_activation(row) for row in cursor.fetchall()]


def published(database: Database, activation: Activation) -> None:
    """Note that Kafka has the decision's event."""
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["published"], {"event_id": activation.event_id})


def is_genuine(database: Database, event: AuditEvent) -> bool:
    """Whether the decision is ours. Whoever may write to the topic can claim one."""
    if not event.resources:
        return False
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["is_ours"], {"event_id": event.event_id, "digest": event.resources[0].id})
        return cursor.fetchone() is not None


def read_documents(database: Database, digest: str) -> list[tuple[str, str]]:
    """The files of a set. Raises `LogInconsistentError` when they are not those of its digest."""
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["documents"], {"digest": digest})
        row = cursor.fetchone()
    documents = [(str(name), str(text)) for name, text in row[0]] if row else []
    if set_digest(documents) != digest:
        raise LogInconsistentError(f"the rules of the set {digest} were altered in the database")
    return documents


def read_set(database: Database, digest: str) -> RuleSet:
    """The rules of a set."""
    return rules_of(read_documents(database, digest)) if digest else RuleSet([])


def rules_of(documents: Documents) -> RuleSet:
    """The rules of these files, without those that are switched off."""
    rules = parse_rules([each for each in documents if each[0] != SWITCHED_OFF])
    return rules.without(each.rule for each in switched_off(documents))


def titles_of(documents: Documents) -> dict[str, str]:
    """The title of each rule of these files, by its id, also of those that are switched off."""
    rules = parse_rules([each for each in documents if each[0] != SWITCHED_OFF])
    return {rule.head.id: rule.head.title for rule in rules}


def switched_off(documents: Documents) -> list[SwitchedOff]:
    """The rules that are switched off."""
    text = next((text for name, text in documents if name == SWITCHED_OFF), "[]")
    return msgspec.json.decode(text, type=list[SwitchedOff])


def _activation(row: tuple[Any, ...]) -> Activation:
    event_id, digest, details, decided_at = row
    return Activation(event_id=event_id, digest=digest, details=details, decided_at=decided_at)
