"""FHIR AuditEvent, R4 and R5 JSON (and the spellings of STU3), to `AuditEvent`.

An AuditEvent is never rejected for breaking a profile (IHE BALP 1:52.1.1.3) or for codes that the catalogue lacks: then
it becomes an ``event.unclassified`` and keeps its codes. It is rejected only if it can't be read as an AuditEvent: an
element has the wrong JSON type, `recorded` is not a time, or the resource is empty.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from domain.body import BodyFormat
from domain.catalogue import GENERIC_TYPE
from domain.errors import InvalidEventError, Reason
from domain.event import Action, AuditEvent, Coding, Disclosure, Outcome, Source
from interop import truncation
from interop.fhir import agents as fhir_agents
from interop.fhir import entities as fhir_entities
from interop.fhir.agents import Agent
from interop.fhir.elements import (
    MAX_ELEMENTS,
    Contained,
    Json,
    Target,
    check_size,
    codes,
    codings,
    mapping,
    objects,
    string,
    words,
)
from interop.fhir.entities import Entity
from interop.fhir.event_types import event_type, outcome

RESOURCE_TYPE = "AuditEvent"

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:audit-trail:fhir")
_R5_ONLY = ("code", "category", "authorization", "occurredPeriod", "occurredDateTime", "severity")
_SHAPES: dict[str, tuple[type, ...]] = {
    "agent": (list,),
    "entity": (list,),
    "contained": (list,),
    "subtype": (list,),
    "category": (list,),
    "source": (dict,),
    "type": (dict,),
    "code": (dict,),
    "period": (dict,),
    "recorded": (str,),
    "action": (str,),
    "outcome": (str, dict),
}
_LISTS = (*(name for name, types in _SHAPES.items() if types == (list,)), "purposeOfEvent", "authorization")
# A FHIR time that is not an instant: a date, part of one, or a time without an offset.
_NO_INSTANT = re.compile(r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?)?)?)?")
_EMERGENCY = {"ETREAT", "BTG"}
_REFUSALS = {"forbidden", "security", "login", "suppressed"}
_DISCLOSURES = {"11", "disclose"}


def release(resource: Json) -> BodyFormat:
    """R5 if the resource has an element that only R5 has, else R4. R6 (`type` again, and R5's outcome) counts as R5."""
    newer = any(name in resource for name in _R5_ONLY) or isinstance(resource.get("outcome"), dict)
    return BodyFormat.FHIR_R5 if newer else BodyFormat.FHIR_R4


def read_audit_event(resource: Json, received_at: datetime) -> AuditEvent:
    """The event in an AuditEvent resource. `received_at` is its time if the resource has no usable one.

    Raises `InvalidEventError` if the resource is not an AuditEvent.
    """
    _check_shape(resource)
    contained = Contained(resource)
    agents = fhir_agents.read_agents(resource, contained)
    entities = fhir_entities.read_entities(resource, contained)
    found_codes = _codes(resource)
    action = _action(resource)
    known = _outcome(resource)
    result = (
        known or Outcome.MINOR_FAILURE
    )  # an unknown code counts as a minor failure, so that filters find it
    type = event_type(
        found_codes,
        action,
        failed=result is not Outcome.SUCCESS,
        disclosure=_is_disclosure(resource, entities),
        refused=_is_refused(resource, contained),
    )
    if known is None and type == "user.login_failed":
        type = GENERIC_TYPE  # an unknown outcome code is no evidence of a failed log-in
    occurred_at, attributes = _times(resource, received_at)
    is_read = type == "record.read"
    actor = fhir_agents.choose_actor(agents, is_read=is_read)
    purposes = _purposes(resource, agents)
    source = mapping(resource.get("source"))
    observer = contained.target(source.get("observer") or {"identifier": source.get("identifier")})
    session = fhir_entities.session(entities, type)
    request, query = fhir_entities.request(entities)
    return AuditEvent(
        event_id=event_id(resource),
        type=type,
        occurred_at=occurred_at,
        source=_source(source, observer, contained),
        actor=fhir_agents.to_actor(actor, agents),
        action=action,
        outcome=result,
        outcome_reason=_outcome_reason(resource),
        session=session,
        client=fhir_agents.to_client(actor, agents, is_read=is_read),
        patients=fhir_entities.patients(resource, agents, entities, contained),
        device=fhir_entities.device(agents, entities, actor, observer),
        resources=fhir_entities.resources(entities, session),
        purpose_of_use=purposes,
        emergency=type.startswith("emergency_access.") or not _EMERGENCY.isdisjoint(purposes),
        correlation_id=fhir_entities.correlation_id(entities),
        request=request,
        disclosure=_disclosure(agents, entities, purposes) if type == "record.disclosed" else None,
        codes=tuple(found_codes),
        attributes=attributes | _particulars(resource, agents, entities, actor, query),
    )


def event_id(resource: Json) -> UUID:
    """The resource's id if it is a UUID; else the UUID version 5 of its content, so that a copy is a duplicate."""
    own_id = truncation.uuid(string(resource.get("id")))
    return own_id or uuid5(_NAMESPACE, msgspec.json.encode(resource, order="deterministic").decode())


def _codes(resource: Json) -> list[Coding]:
    found: list[Coding] = []
    for name in ("type", "subtype", "category", "code"):
        found += codings(resource.get(name))
        if len(found) > MAX_ELEMENTS:
            raise InvalidEventError(
                Reason.OVERSIZED, f"at most {MAX_ELEMENTS} codes; send several events", field=name
            )
    return found


def _check_shape(resource: Json) -> None:
    for name, types in _SHAPES.items():
        if resource.get(name) is not None and not isinstance(resource[name], types):
            raise InvalidEventError(
                Reason.INVALID_FIELD, "this element of an AuditEvent has the wrong JSON type", field=name
            )
    check_size(resource, _LISTS)
    recorded = resource.get("recorded")
    if (
        recorded is not None
        and truncation.timestamp(recorded) is None
        and not _NO_INSTANT.fullmatch(recorded)
    ):
        raise InvalidEventError(
            Reason.INVALID_FIELD, "a FHIR instant is RFC 3339 with an offset", field="recorded"
        )
    required = ("type", "subtype", "category", "code", "agent", "source")
    if not any(resource.get(name) for name in required):
        raise InvalidEventError(
            Reason.MISSING_FIELD,
            "an AuditEvent needs at least a type, an agent or a source",
            field="agent",
        )


def _action(resource: Json) -> Action | None:
    value = resource.get("action")
    return Action(value) if value in set(Action) else None


def _outcome(resource: Json) -> Outcome | None:
    """The outcome; success when the element is absent, as in most systems; None for an unknown code."""
    value = resource.get("outcome")
    inner = mapping(value).get("code", value)
    given = codes(inner) or codes(value) or ({inner} if isinstance(inner, str) else set())
    for code in sorted(given):
        known = outcome(code)
        if known:
            return known
    return None if given else Outcome.SUCCESS


def _outcome_reason(resource: Json) -> str | None:
    details = objects(mapping(resource.get("outcome")).get("detail"))
    said = [string(detail.get("text")) or next(iter(words(detail)), None) for detail in details]
    return truncation.text(string(resource.get("outcomeDesc")) or "; ".join(filter(None, said)))


def _is_disclosure(resource: Json, entities: list[Entity]) -> bool:
    """Whether the event is a disclosure. R5 has one code only, so BALP's R5 examples mark disclosures by profile."""
    profiles = mapping(resource.get("meta")).get("profile")
    by_profile = isinstance(profiles, list) and any(
        "PrivacyDisclosure" in str(profile) for profile in profiles
    )
    return by_profile or any(_DISCLOSURES & entity.lifecycle for entity in entities)


def _is_refused(resource: Json, contained: Contained) -> bool:
    issues = [
        issue
        for inner in contained
        if inner.get("resourceType") == "OperationOutcome"
        for issue in objects(inner.get("issue"))
    ]
    said = {str(issue.get("code")) for issue in issues} | codes(
        mapping(resource.get("outcome")).get("detail")
    )
    return not _REFUSALS.isdisjoint(said)


def _times(resource: Json, received_at: datetime) -> tuple[datetime, dict[str, Any]]:
    """The time of the event, and attributes with the other times of the resource.

    The time is the first usable one of: period start, `occurredDateTime`, period end, `recorded`, `received_at`.
    """
    period = mapping(resource.get("period")) or mapping(resource.get("occurredPeriod"))
    recorded, end = string(resource.get("recorded")), string(period.get("end"))
    given = [string(period.get("start")), string(resource.get("occurredDateTime")), end, recorded]
    moments = [truncation.timestamp(value) for value in given if value]
    occurred_at = next((moment for moment in moments if moment), received_at)
    attributes: dict[str, Any] = {}
    if recorded and truncation.timestamp(recorded) != occurred_at:
        attributes["recorded"] = truncation.name(recorded)
    if end and truncation.timestamp(end) not in {None, occurred_at}:
        attributes["occurred_until"] = truncation.name(end)
    unusable = [truncation.name(value) for value in given if value and truncation.timestamp(value) is None]
    if unusable:
        attributes["times_without_offset"] = unusable
    if not any(moments):
        attributes["occurred_at_from"] = "receipt"
    return occurred_at, attributes


def _purposes(resource: Json, agents: list[Agent]) -> tuple[str, ...]:
    found = words(resource.get("purposeOfEvent")) + words(resource.get("authorization"))
    for agent in agents:
        found += agent.purposes
    return tuple(dict.fromkeys(filter(None, map(truncation.name, found))))


def _source(source: Json, observer: Target, contained: Contained) -> Source:
    site = string(source.get("site")) or contained.target(source.get("site"))
    where = site if isinstance(site, str) else site.display or site.key
    service = truncation.identifier(observer.key) or truncation.identifier(where) or "unknown"
    return Source(service=service, site=truncation.name(where))


def _disclosure(agents: list[Agent], entities: list[Entity], purposes: tuple[str, ...]) -> Disclosure:
    recipient = fhir_agents.choose_recipient(agents)
    data = [entity for entity in entities if not (entity.is_patient and entity.role == fhir_entities.PATIENT)]
    described = [
        entity.description or entity.name or entity.what.display or entity.what.key
        for entity in data
        if not entity.is_request_id
    ]
    return Disclosure(
        recipient=truncation.name(
            (recipient.name or recipient.who.display or recipient.id) if recipient else None
        ),
        recipient_address=truncation.name(recipient.address if recipient else None),
        description=truncation.text("; ".join(filter(None, described))),
        purpose=truncation.text(", ".join(purposes)),
    )


def _particulars(
    resource: Json, agents: list[Agent], entities: list[Entity], actor: Agent | None, query: str | None
) -> dict[str, Any]:
    """Elements without a field of their own, for readers and filters. The resource itself is in the stored body."""
    outcome_given = resource.get("outcome") is not None
    given = {
        "fhir_id": string(resource.get("id")),
        "fhir_action": None if _action(resource) else string(resource.get("action")),
        "outcome_given": None if outcome_given else False,
        "source_type": words(mapping(resource.get("source")).get("type")),
        "policies": [policy for agent in agents for policy in agent.policies],
        "agents": [fhir_agents.describe(agent) for agent in agents if agent is not actor],
        "security_labels": list(
            dict.fromkeys(label for entity in entities for label in entity.security_labels)
        ),
        "query": query,
    }
    return {name: value for name, value in given.items() if value not in (None, [], {})}
