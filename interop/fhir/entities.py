"""AuditEvent.entity: patients, resources, the device, the session, the request and its id."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence

from msgspec import Struct

from domain.event import Device, Patient, Request, Resource
from interop import truncation
from interop.fhir.agents import Agent
from interop.fhir.elements import Contained, Json, Target, codings, objects, string

PATIENT, SECURITY_RESOURCE, QUERY = "1", "13", "24"

_ROLES = {
    "1": "Patient", "2": "Location", "3": "Report", "4": "Domain Resource", "5": "Master file", "6": "User",
    "7": "List", "8": "Doctor", "9": "Subscriber", "10": "Guarantor", "11": "Security User Entity",
    "12": "Security User Group", "13": "Security Resource", "14": "Security Granularity Definition",
    "15": "Practitioner", "16": "Data Destination", "17": "Data Repository", "18": "Schedule", "19": "Customer",
    "20": "Job", "21": "Job Stream", "22": "Table", "23": "Routing Criteria", "24": "Query",
}  # fmt: skip
"""FHIR object-role, the same codes as DICOM's ParticipantObjectTypeCodeRole."""

_TYPES = {"1": "Person", "2": "System Object", "3": "Organization", "4": "Other"}
_REQUEST_ID = re.compile(r"trace|request.?id|correlation", re.IGNORECASE)
_SERIAL_NUMBER = re.compile(r"\b(?:SNO|UDI|SERIAL|serial number)\b", re.IGNORECASE)
_REQUEST_LINE = re.compile(r"(?:(?P<method>[A-Z]{3,10})\s+)?(?P<path>\S+[/?]\S*)(?:\s.*)?", re.DOTALL)
_QUERY_LENGTH = 4096


class Entity(Struct, frozen=True):
    """One entity. `role` and `type` are codes without systems; `type` may also be a resource type."""

    what: Target
    role: str | None
    type: str | None
    type_system: str
    name: str | None
    description: str | None
    query: str | None
    security_labels: tuple[str, ...]
    lifecycle: frozenset[str]

    @property
    def is_patient(self) -> bool:
        """Whether it is a patient: by reference, by role, or by a type that is the resource type."""
        if self.what.type:
            return self.what.type == "Patient"
        return self.role == PATIENT or self.type == "Patient"

    @property
    def is_request_id(self) -> bool:
        """Whether it is a request id: BALP's X-Request-Id, which in R5 has neither type nor role, or a trace id."""
        if self.what.type or self.what.id or not self.what.identifier:
            return False
        bare = self.role is None and self.type is None and not (self.name or self.query or self.description)
        return self.type == "XrequestId" or bare or bool(_REQUEST_ID.search(self.what.identifier_type))

    @property
    def is_device(self) -> bool:
        """Whether it is a device: by reference, by type, or because its identifier is a serial number."""
        if self.what.type:
            return self.what.type == "Device"
        return self.type == "Device" or bool(_SERIAL_NUMBER.search(self.what.identifier_type))


def read_entities(resource: Json, contained: Contained) -> list[Entity]:
    """The entities in document order."""
    return [_read(item, contained) for item in objects(resource.get("entity"))]


def _read(item: Json, contained: Contained) -> Entity:
    what = contained.target(item.get("what") or item.get("reference"))  # STU3: entity.reference
    if what == Target():
        what = contained.target({"identifier": item.get("identifier")})  # STU3: entity.identifier
    kinds = codings(item.get("type"))
    roles = [coding.code for coding in codings(item.get("role")) if coding.code]
    labels = [coding.code or coding.display for coding in codings(item.get("securityLabel"))]
    return Entity(
        what=what,
        role=roles[0] if roles else None,
        type=kinds[0].code if kinds else None,
        type_system=(kinds[0].system or "") if kinds else "",
        name=string(item.get("name")),
        description=string(item.get("description")),
        query=_query(item.get("query")),
        security_labels=tuple(label for label in labels if label),
        lifecycle=frozenset(coding.code for coding in codings(item.get("lifecycle")) if coding.code),
    )


def _query(value: object) -> str | None:
    """The raw request: Base64 of text. None if the decoded bytes are not text."""
    encoded = string(value)
    if encoded is None:
        return None
    try:
        decoded = base64.b64decode("".join(encoded.split()), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    return string(decoded.replace("\0", ""))


def patients(
    resource: Json, agents: Sequence[Agent], entities: Sequence[Entity], contained: Contained
) -> tuple[Patient, ...]:
    """The patients of the event: from entities, from R5 `patient`, and from agents that are or represent patients."""
    named = [_named_patient(entity) for entity in entities if entity.is_patient]
    subject = contained.target(resource.get("patient"))
    if subject.type in {"Patient", None}:
        named.append((subject, subject.display))
    named += [
        (agent.who, agent.name or agent.who.display)
        for agent in agents
        if agent.who.type == "Patient" or (agent.who.type is None and "datasubject" in agent.codes)
    ]
    found: dict[str, Patient] = {}
    for target, name in named:
        id = truncation.identifier(target.bare or name)
        if id is None or id.startswith("#"):  # a local id has no meaning outside this resource
            continue
        label = truncation.name(name)
        known = found.get(id)
        if known is None or (known.name is None and label != id):
            found[id] = Patient(id=id, name=None if label == id else label)
    return tuple(found.values())


def _named_patient(entity: Entity) -> tuple[Target, str | None]:
    """The patient of an entity. In roles other than patient, the entity's name describes the data, not the patient."""
    return entity.what, (entity.name or entity.what.display) if entity.role == PATIENT else None


def resources(entities: Sequence[Entity], session: str | None) -> tuple[Resource, ...]:
    """The distinct resources of the event; ids of requests and sessions are excluded."""
    found: dict[tuple[str, str, str | None], Resource] = {}
    for entity in entities:
        id = truncation.identifier(entity.what.bare or entity.name)
        if id is None or entity.is_request_id or (entity.role == SECURITY_RESOURCE and id == session):
            continue
        type, version = _resource_type(entity), truncation.name(entity.what.version)
        category = None if entity.is_patient else _ROLES.get(entity.role or "")
        found.setdefault(
            (type, id, version), Resource(type=type, id=id, version=version, data_category=category)
        )
    return tuple(found.values())


def _resource_type(entity: Entity) -> str:
    if entity.what.type:
        return truncation.identifier(entity.what.type) or "Other"
    if entity.is_patient:
        return "Patient"
    if entity.is_device:
        return "Device"
    if entity.type and "resource-types" in entity.type_system:
        return truncation.identifier(entity.type) or "Other"
    role, type = entity.role or "", entity.type or ""
    return truncation.identifier(_ROLES.get(role) or _TYPES.get(type) or role or type) or "Other"


def device(
    agents: Sequence[Agent], entities: Sequence[Entity], actor: Agent | None, observer: Target
) -> Device | None:
    """The device that the event is about: an entity, else an acting device, and the reporter itself last."""
    candidates = [(entity.what, entity.name) for entity in entities if entity.is_device]
    acting = [agent for agent in (actor, *agents) if agent and agent.device]
    reporter = observer.key  # computed once: the sender chooses its length
    acting.sort(key=lambda agent: agent.device is not None and agent.device.key == reporter)
    candidates += [(agent.device, agent.name) for agent in acting if agent.device]
    for target, name in candidates:
        id = truncation.identifier(target.id or target.identifier or target.display)
        if id:
            label = truncation.name(name or target.display)
            return Device(
                id=id,
                name=None if label == id else label,
                software_version=truncation.name(target.software_version),
            )
    return None


def session(entities: Sequence[Entity], type: str) -> str | None:
    """The session of a log-in, log-out or session event: a security resource that has only an identifier."""
    if not type.startswith(("user.", "session.")):
        return None
    for entity in entities:
        if entity.role == SECURITY_RESOURCE and entity.what.identifier and not entity.what.id:
            return truncation.identifier(entity.what.identifier)
    return None


def correlation_id(entities: Sequence[Entity]) -> str | None:
    """The correlation id: X-Request-Id, else a trace id."""
    found = [entity for entity in entities if entity.is_request_id]
    found.sort(key=lambda entity: bool(entity.what.identifier_type.strip()))
    return truncation.identifier(found[0].what.identifier) if found else None


def request(entities: Sequence[Entity]) -> tuple[Request | None, str | None]:
    """The API request of a query entity, if its text is one, and the text itself (at most 4,096 characters)."""
    for entity in entities:
        if entity.query:
            line = entity.query.partition("\n")[0].strip()
            match = _REQUEST_LINE.fullmatch(line)
            url = match if match and not line.startswith("<") else None
            found = Request(method=url["method"], path=url["path"][:8192]) if url else None
            return found, entity.query[:_QUERY_LENGTH]
    return None, None
