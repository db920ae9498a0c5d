"""Access records: `audit_log.read` for a read of the trail, `access.denied` for a refused one.

DICOM PS3.15 A.5.3.2 (Audit Log Used), IHE ITI-81, ISO 27789. An access record has a bounded size. It contains the
queries and the disclosed patients: never a token, a patient's name or the answer itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct, to_builtins
from msgspec.structs import replace

from domain.access.person_names import is_name
from domain.access.principal import Principal
from domain.catalogue import AUDIT_LOG
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
from domain.read_audit.query_log import NO_QUERIES, LoggedQueries, LoggedQuery
from domain.read_audit.truncation import bounded, identifier, name
from domain.validation import encode_event

READ = "audit_log.read"
DENIED = "access.denied"
MAX_PATIENTS = 500
"""Patients in one event. A read that covers more is recorded as several events with one correlation id."""
MAX_BYTES = 256 << 10
"""The size of one event in bytes. The configured maximum message size can be less."""
PATIENT = "Patient"
"""The resource type of patients that a refused query named; see `denied_event`."""
_MAX_NAMED = 100
"""The length limit of a list in a filter."""
_RESOURCE_BYTES = len('{"type":"Patient","id":},')
_MAX_QUERIES = 40
_QUERY_BYTES = 16 << 10
_QUERIES_SHARE = 4
"""The queries take at most a quarter of an event when the message size is small."""


class Via(StrEnum):
    """The interfaces. The values are stored; never rename one."""

    GRAPHQL = "graphql"
    REST = "rest"
    SUBSCRIPTION = "subscription"
    EXPORT = "export"
    COMMAND_LINE = "command_line"
    DASHBOARD = "dashboard"
    LINK = "link"


class Stage(StrEnum):
    """The stage of a long read. A read with a single answer has none."""

    STARTED = "started"
    DELIVERED = "delivered"
    ENDED = "ended"


class AccessDetails(Struct, frozen=True, kw_only=True):
    """How the trail was accessed.

    `address` is the requested object, such as ``/v1/events``; `document` is the SHA-256 of a GraphQL document. `path`
    excludes the query string, which may contain anything. `reason` says why the access failed; `why` is the purpose
    that the client gave. `via` is None for accesses through several interfaces.
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
    queries: Sequence[LoggedQuery],
    patients: Sequence[str],
    details: AccessDetails,
    source: Source,
    *,
    max_bytes: int = MAX_BYTES,
) -> list[AuditEvent]:
    """The `audit_log.read` events of one read: several when it disclosed more than `MAX_PATIENTS` patients.

    Each event contains all queries and a part of the patients. None exceeds `max_bytes`.
    """
    limit = min(max_bytes, MAX_BYTES)
    whole = AuditEvent(
        **shared_fields(principal, details, source),
        type=READ,
        action=Action.READ,
        resources=(Resource(type=AUDIT_LOG, id=identifier(details.address) or "/"),),
        purpose_of_use=tuple(filter(None, map(name, principal.purpose_of_use[:20]))) if principal else (),
        attributes={
            **_interface(details),
            **({"stage": details.stage.value} if details.stage else {}),
            **_scope(principal),
            **_query_attributes(queries, min(_QUERY_BYTES, limit // _QUERIES_SHARE), returned=True),
            "returned": sum(query.returned for query in queries),
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
    details: AccessDetails,
    source: Source,
    denied: LoggedQueries = NO_QUERIES,
    *,
    count: int = 1,
    seconds: float = 0,
    max_bytes: int = MAX_BYTES,
) -> AuditEvent:
    """`access.denied` for one attempt, or for `count` attempts from one address within `seconds`.

    `denied` contains the denied queries. The patients that they name are resources, not patients, of the
    event: nobody read their records, but a search for attempts on a record finds the event. Queries and patients take
    at most half of `max_bytes`.
    """
    many = {"count": count, "seconds": round(seconds, 3)} if count > 1 else {}
    most = min(_QUERY_BYTES, min(max_bytes, MAX_BYTES) // _QUERIES_SHARE)
    named, left_out = _named(denied.patients, most)
    if left_out:
        many["patients_left_out"] = left_out
    return AuditEvent(
        **shared_fields(principal, details, source) | {"outcome": Outcome.MINOR_FAILURE},
        type=DENIED,
        action=Action.EXECUTE,
        resources=(
            Resource(type=AUDIT_LOG, id=identifier(details.address) or "/"),
            *(Resource(type=PATIENT, id=id) for id in named),
        ),
        attributes={
            **_interface(details),
            **_scope(principal),
            **(_query_attributes(denied.queries, most) if denied.queries else {}),
            **many,
        },
    )


def disclosed_patients(events: Iterable[AuditEvent], queried: Collection[str] = ()) -> Iterator[str]:
    """The patients that `events` disclose to a reader. `queried` are the patients that the query named.

    For access records, only patients in `queried` count. Otherwise each read of access records would list all their
    patients again, and a client that reads every minute would soon list every patient.
    """
    for event in events:
        for patient in event.patients:
            if event.type != READ or patient.id in queried:
                yield patient.id


def is_echo(event: AuditEvent) -> bool:
    """Whether `event` records a delivery to a subscriber. Such deliveries are not recorded again.

    Otherwise two subscribers would cause access records for each other without end.
    """
    return event.type == READ and event.attributes.get("via") == Via.SUBSCRIPTION


def shared_fields(principal: Principal | None, details: AccessDetails, source: Source) -> dict[str, Any]:
    """The fields that every event about a principal of the trail has."""
    address, agent = identifier(details.client_address), name(details.user_agent)
    return {
        "event_id": uuid4(),
        "occurred_at": details.at,
        "source": source,
        "actor": _actor(principal),
        "outcome": _outcome(details),
        "outcome_reason": details.reason and name(details.reason),
        "reason": details.why and name(details.why),
        "session": identifier(principal.session) if principal else None,
        "client": Client(address=address, user_agent=agent) if address or agent else None,
        "correlation_id": identifier(details.correlation_id),
        "request": _request(details),
    }


def _actor(principal: Principal | None) -> Actor:
    if principal is None:
        return Actor(kind=ActorKind.UNKNOWN)
    return replace(principal.actor, id=identifier(principal.id), name=name(principal.name))


def _request(details: AccessDetails) -> Request | None:
    if details.method is None and details.path is None and details.status is None:
        return None
    return Request(
        method=details.method and (name(details.method) or "")[:32],
        path=name(details.path),
        status=details.status,
        duration_ms=None if details.duration_ms is None else round(max(0.0, details.duration_ms), 3),
    )


def _outcome(details: AccessDetails) -> Outcome:
    status = details.status or 0
    if status >= 500:
        return Outcome.SERIOUS_FAILURE
    return Outcome.MINOR_FAILURE if status >= 400 or details.reason else Outcome.SUCCESS


def _scope(principal: Principal | None) -> dict[str, Any]:
    """The basis of the access: the roles, the ids that the principal is bound to, and the link that was used."""
    if principal is None:
        return {}
    link = {} if principal.link is None else {"link": to_builtins(principal.link)}
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
    return {"scope": scope, **link}


def _interface(details: AccessDetails) -> dict[str, Any]:
    """The interface, and the GraphQL document if there is one."""
    return {
        **_given("via", details.via),
        **_given("operation_name", details.operation),
        **_given("document_sha256", details.document),
    }


def _query_attributes(queries: Sequence[LoggedQuery], most: int, *, returned: bool = False) -> dict[str, Any]:
    """The queries that fit into `most` bytes. A query that is too large is recorded without its arguments."""
    kept: list[dict[str, Any]] = []
    for query in queries[:_MAX_QUERIES]:
        said = {
            "operation": name(query.operation),
            "asked": bounded(query.parameters),
            **({"returned": query.returned} if returned else {}),
        }
        for entry in (said, said | {"asked": "..."}):
            size = len(msgspec.json.encode(entry))
            if size <= most:
                most -= size
                kept.append(entry)
                break
    left_out = len(queries) - len(kept)
    return {"questions": kept, **({"questions_left_out": left_out} if left_out else {})}


def _named(patients: Sequence[str], most: int) -> tuple[list[str], int]:
    """The distinct ids that fit into `most` bytes, and the number of the others. Names are omitted.

    Short ids come first, so that long invented ids can't displace real ones.
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
    """The patients in parts that fit; at least one part."""
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
