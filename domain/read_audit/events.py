"""A look into the trail as events of the trail: `audit_log.read`, and `access.denied` for a look that was refused.

DICOM PS3.15 A.5.3.2 (Audit Log Used), IHE ITI-81, ISO 27789. What is in such an event is bounded in size, and is what
was asked and whom the answer told of: never a token, a name of a patient, or the answer itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from domain.access.person_names import is_name
from domain.access.principal import Principal
from domain.event import (
    Action,
    Actor,
    ActorKind,
    AuditEvent,
    Client,
    Outcome,
    Patient,
    Request,
    Resource,
    Source,
)
from domain.read_audit.query_log import NOTHING, Read, Taken
from domain.read_audit.truncation import bounded, identifier, name
from domain.validation import encode_event

READ = "audit_log.read"
DENIED = "access.denied"
LOG = "AuditLog"
"""The type of the resource that was looked into; its id is the address that was asked."""
MAX_PATIENTS = 500
"""Patients of one event. A look that told of more is several events with one correlation id."""
MAX_BYTES = 256 << 10
"""Of one event, whatever is in it; what may be set as the longest message can be less."""
PATIENT = "Patient"
"""The type of the resource that a patient is in whom a refused question named; see `denied_event`."""
_MAX_NAMED = 100
"""As many as one list of a filter holds."""
_RESOURCE_BYTES = len('{"type":"Patient","id":},')
_MAX_QUESTIONS = 40
_QUESTION_BYTES = 16 << 10
_QUESTIONS_SHARE = 4
"""At most this part of an event is its questions, when messages have to be short."""


class Via(StrEnum):
    """The ways in. The values are stored; never rename one."""

    GRAPHQL = "graphql"
    REST = "rest"
    SUBSCRIPTION = "subscription"
    EXPORT = "export"
    COMMAND_LINE = "command_line"


class Stage(StrEnum):
    """Where a look that takes a while is. What is answered at once has none."""

    STARTED = "started"
    DELIVERED = "delivered"
    ENDED = "ended"


class Look(Struct, frozen=True, kw_only=True):
    """How was asked. `address` is what was asked, such as ``/v1/events``; `document` the SHA-256 of a GraphQL document.

    `path` is without the query, which may hold anything. `reason` says why a look did not succeed, `why` what it
    was for, as whoever looked says. `via` is absent of looks that came by several ways.
    """

    via: Via | None
    address: str
    correlation_id: str
    at: datetime
    method: str | None = None
    path: str | None = None
    status: int | None = None
    duration_ms: float | None = None
    client_address: str | None = None
    user_agent: str | None = None
    operation: str | None = None
    document: str | None = None
    stage: Stage | None = None
    reason: str | None = None
    why: str | None = None


def read_events(
    principal: Principal | None,
    questions: Sequence[Read],
    patients: Sequence[str],
    look: Look,
    source: Source,
    *,
    max_bytes: int = MAX_BYTES,
) -> list[AuditEvent]:
    """`audit_log.read`: one event, or several when it told of more than `MAX_PATIENTS`; none above `max_bytes`.

    Each has the whole of what was asked and a part of the patients.
    """
    limit = min(max_bytes, MAX_BYTES)
    whole = AuditEvent(
        **_shared(principal, look, source),
        type=READ,
        action=Action.READ,
        resources=(Resource(type=LOG, id=identifier(look.address) or "/"),),
        purpose_of_use=tuple(filter(None, map(name, principal.purpose_of_use[:20]))) if principal else (),
        attributes={
            **_way(look),
            **({"stage": look.stage.value} if look.stage else {}),
            **_scope(principal),
            **_asked(questions, min(_QUESTION_BYTES, limit // _QUESTIONS_SHARE), returned=True),
            "returned": sum(question.returned for question in questions),
            "patients": len(patients),
        },
    )
    parts = list(_parts(whole, patients, limit))
    return [
        replace(
            whole,
            event_id=uuid4(),
            patients=part,
            attributes=whole.attributes | ({"part": at, "parts": len(parts)} if len(parts) > 1 else {}),
        )
        for at, part in enumerate(parts, 1)
    ]


def denied_event(
    principal: Principal | None,
    look: Look,
    source: Source,
    refused: Taken = NOTHING,
    *,
    count: int = 1,
    seconds: float = 0,
    max_bytes: int = MAX_BYTES,
) -> AuditEvent:
    """`access.denied`: one attempt, or `count` of them from one address within `seconds`.

    `refused` is what was asked in vain. The patients that it named are resources: nothing was done with their records,
    and whoever asks who tried to look at one finds it. What was asked takes at most half of `max_bytes`.
    """
    many = {"count": count, "seconds": round(seconds, 3)} if count > 1 else {}
    most = min(_QUESTION_BYTES, min(max_bytes, MAX_BYTES) // _QUESTIONS_SHARE)
    named, left_out = _named(refused.patients, most)
    if left_out:
        many["patients_left_out"] = left_out
    return AuditEvent(
        **_shared(principal, look, source) | {"outcome": Outcome.MINOR_FAILURE},
        type=DENIED,
        action=Action.EXECUTE,
        resources=(
            Resource(type=LOG, id=identifier(look.address) or "/"),
            *(Resource(type=PATIENT, id=id) for id in named),
        ),
        attributes={
            **_way(look),
            **_scope(principal),
            **(_asked(refused.questions, most) if refused.questions else {}),
            **many,
        },
    )


def patients_told(events: Iterable[AuditEvent], asked: Collection[str] = ()) -> Iterator[str]:
    """The patients that a reader of `events` is told of; `asked` are those that the question was about.

    Of an event that says that others read, only these: all the rest would be listed again in each record of each read
    of such events, and whoever looks every minute would list every patient that was ever looked at.
    """
    for event in events:
        for patient in event.patients:
            if event.type != READ or patient.id in asked:
                yield patient.id


def is_echo(event: AuditEvent) -> bool:
    """Whether `event` says that a subscriber was given something: to be given that is not recorded again.

    Otherwise two subscribers would tell of each other for ever.
    """
    return event.type == READ and event.attributes.get("via") == Via.SUBSCRIPTION


def _shared(principal: Principal | None, look: Look, source: Source) -> dict[str, Any]:
    address, agent = identifier(look.client_address), name(look.user_agent)
    return {
        "event_id": uuid4(),
        "occurred_at": look.at,
        "source": source,
        "actor": _actor(principal),
        "outcome": _outcome(look),
        "outcome_reason": look.reason and name(look.reason),
        "reason": look.why and name(look.why),
        "session": identifier(principal.session) if principal else None,
        "client": Client(address=address, user_agent=agent) if address or agent else None,
        "correlation_id": identifier(look.correlation_id),
        "request": _request(look),
    }


def _actor(principal: Principal | None) -> Actor:
    if principal is None:
        return Actor(kind=ActorKind.UNKNOWN)
    return Actor(
        kind=principal.kind,
        id=identifier(principal.id),
        name=name(principal.name),
        roles=tuple(role.value for role in sorted(principal.roles)),
    )


def _request(look: Look) -> Request | None:
    if look.method is None and look.path is None and look.status is None:
        return None
    return Request(
        method=look.method and (name(look.method) or "")[:32],
        path=name(look.path),
        status=look.status,
        duration_ms=None if look.duration_ms is None else round(max(0.0, look.duration_ms), 3),
    )


def _outcome(look: Look) -> Outcome:
    status = look.status or 0
    if status >= 500:
        return Outcome.SERIOUS_FAILURE
    return Outcome.MINOR_FAILURE if status >= 400 or look.reason else Outcome.SUCCESS


def _scope(principal: Principal | None) -> dict[str, Any]:
    """By what right it was seen: the roles, and to which records of its own a principal is bound."""
    if principal is None:
        return {}
    own = {
        "actors": principal.actors,
        "patients": principal.patients,
        "sources": principal.sources,
        "devices": principal.devices,
    }
    scope = {
        "roles": [role.value for role in sorted(principal.roles)],
        **_given("issuer", principal.issuer),
        **_given("client_id", principal.client_id),
        **{key: bounded(values) for key, values in own.items() if values},
    }
    return {"scope": scope}


def _way(look: Look) -> dict[str, Any]:
    """The way in, and the GraphQL document, where there is one."""
    return {
        **_given("via", look.via),
        **_given("operation_name", look.operation),
        **_given("document_sha256", look.document),
    }


def _asked(questions: Sequence[Read], most: int, *, returned: bool = False) -> dict[str, Any]:
    """The questions that fit into `most` bytes; of one that is too large it is told that there was one."""
    kept: list[dict[str, Any]] = []
    for question in questions[:_MAX_QUESTIONS]:
        said = {
            "operation": name(question.operation),
            "asked": bounded(question.asked),
            **({"returned": question.returned} if returned else {}),
        }
        for told in (said, said | {"asked": "..."}):
            size = len(msgspec.json.encode(told))
            if size <= most:
                most -= size
                kept.append(told)
                break
    left_out = len(questions) - len(kept)
    return {"questions": kept, **({"questions_left_out": left_out} if left_out else {})}


def _named(patients: Sequence[str], most: int) -> tuple[list[str], int]:
    """The ids, each once, that fit into `most` bytes, and how many don't; a name is none.

    The shortest come first: long ones that somebody makes up hide nobody.
    """
    ids = [id for id in dict.fromkeys(map(identifier, patients)) if id and not is_name(id)]
    kept: list[str] = []
    for id in sorted(ids, key=len)[:_MAX_NAMED]:
        most -= len(msgspec.json.encode(id)) + _RESOURCE_BYTES
        if most < 0:
            break
        kept.append(id)
    return kept, len(ids) - len(kept)


def _given(key: str, value: str | None) -> dict[str, str]:
    return {key: text} if (text := name(value)) else {}


def _parts(whole: AuditEvent, patients: Sequence[str], limit: int) -> Iterator[tuple[Patient, ...]]:
    """The patients in parts that fit, at least one part."""
    room = limit - len(encode_event(whole)) - 64
    part: list[Patient] = []
    size = 0
    for id in patients:
        needs = len(msgspec.json.encode(id)) + len('{"id":},')
        if part and (size + needs > room or len(part) == MAX_PATIENTS):
            yield tuple(part)
            part, size = [], 0
        part.append(Patient(id=id))
        size += needs
    if part or not patients:
        yield tuple(part)
