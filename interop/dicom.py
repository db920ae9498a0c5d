"""DICOM audit messages (PS3.15, annex A.5), as XML for syslog (A.6).

A message keeps to the schema of A.5.1 without the extensions of other bodies. Where the event stands in the log, and
what has no element of its own, are details of the first participant object: the record in the trail.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Iterator, Sequence
from datetime import UTC
from typing import NamedTuple

import msgspec

from domain.catalogue import AUDIT_LOG, CATALOGUE, DCM, GENERIC_TYPE, EventType
from domain.event import Action, AuditEvent, Outcome, RecordedEvent, Resource
from interop import dicom_codes as codes
from interop.clipping import Clipper, Item
from interop.leaf import LeafFacts
from interop.xml_text import element, text

MAX_BYTES = 32768
"""Every receiver takes a message of this size (A.6.1); a larger one it may cut."""
SYSLOG_MESSAGE_ID = "DICOM+RFC3881"
SYSLOG_SEVERITIES = {
    Outcome.SUCCESS: 5,
    Outcome.MINOR_FAILURE: 4,
    Outcome.SERIOUS_FAILURE: 3,
    Outcome.MAJOR_FAILURE: 2,
}
"""Of an audit message by its outcome: 5 for what is usual (A.6.1), and what DICOM archives send for failures."""

_ROLE_SYSTEM = "urn:audit-trail:role"
"""The system of the roles that an event gives as plain words."""


class _Limits(NamedTuple):
    """Characters of an id and of any other text, and the items of a list."""

    id: int
    text: int
    items: int


_LIMITS = (
    _Limits(1024, 4096, 100),
    _Limits(1024, 1024, 60),
    _Limits(513, 512, 30),
    _Limits(513, 256, 20),
    _Limits(256, 128, 12),
    _Limits(256, 64, 5),
    _Limits(128, 64, 2),
)
"""Tried in turn until a message fits `MAX_BYTES`; one with the last always does.

The shortest object has 300 bytes: more than 100 never fit."""


def message(recorded: RecordedEvent, leaf: LeafFacts) -> bytes:
    """The audit message, UTF-8 without a byte order mark, of at most `MAX_BYTES`.

    Texts and lists are cut as far as that needs. The detail ``truncated`` of the record names what was cut.
    """
    written = b""
    for limits in _LIMITS:
        written = _Message(recorded, leaf, limits).written()
        if len(written) <= MAX_BYTES:
            break
    return written


class _Message:
    """One attempt to write a message within some limits."""

    def __init__(self, recorded: RecordedEvent, leaf: LeafFacts, limits: _Limits) -> None:
        self._recorded, self._leaf, self._limits = recorded, leaf, limits
        self._event: AuditEvent = recorded.event
        self._row: EventType = CATALOGUE.get(self._event.type, CATALOGUE[GENERIC_TYPE])
        self._clipper = Clipper()

    def written(self) -> bytes:
        children = (
            self._identification(),
            *self._participants(),
            self._audit_source(),
            *self._objects(),
        )
        return ('<?xml version="1.0" encoding="UTF-8"?>' + element("AuditMessage", {}, *children)).encode()

    def _identification(self) -> str:
        event, row = self._event, self._row
        children = [_code("EventID", *row.type_code, codes.MEANINGS.get(row.type_code[1], row.name))]
        if row.subtype_code:
            meaning = codes.MEANINGS.get(row.subtype_code[1], row.name)
            children.append(_code("EventTypeCode", *row.subtype_code, meaning))
        for coding in self._some("codes", [coding for coding in event.codes if coding.code]):
            parts = (coding.system or "unknown", coding.code or "", coding.display or coding.code or "")
            children.append(_code("EventTypeCode", *(self._text("codes", part) for part in parts)))
        if event.outcome_reason:
            children.append(
                element(
                    "EventOutcomeDescription", {}, text(self._text("outcome_reason", event.outcome_reason))
                )
            )
        attributes: dict[str, str | None] = {
            "EventActionCode": self._action.value,
            "EventDateTime": event.occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "EventOutcomeIndicator": codes.OUTCOMES[event.outcome],
        }
        return element("EventIdentification", attributes, *children)

    @property
    def _action(self) -> Action:
        """DICOM prescribes the action of its own events (A.5.3), and the catalogue has it."""
        given = None if self._row.type_code[0] == DCM else self._event.action
        return given or self._row.action

    def _participants(self) -> Iterator[str]:
        event = self._event
        actor, source, launches = event.actor, event.source, self._row.name in codes.LAUNCHES
        yield element(
            "ActiveParticipant",
            {
                "UserID": self._id("actor.id", actor.id or actor.name or "unknown"),
                "UserName": self._optional("actor.name", actor.name),
                "UserIsRequestor": "true",
                **self._network(),
            },
            *([_code("RoleIDCode", DCM, codes.LAUNCHER, codes.MEANINGS[codes.LAUNCHER])] if launches else []),
            *(
                _code("RoleIDCode", _ROLE_SYSTEM, *[self._text("actor.roles", role)] * 2)
                for role in self._some("actor.roles", [role for role in actor.roles if role.strip()])
            ),
        )
        role = codes.SERVICE_ROLES.get(self._row.name, codes.APPLICATION)
        yield element(
            "ActiveParticipant",
            {
                "UserID": self._id("source.service", source.service),
                "AlternativeUserID": self._optional("source.instance", source.instance),
                "UserIsRequestor": "false",
            },
            _code("RoleIDCode", DCM, role, codes.MEANINGS[role]),
        )
        if actor.on_behalf_of:
            on_behalf_of = self._id("actor.on_behalf_of", actor.on_behalf_of)
            yield element("ActiveParticipant", {"UserID": on_behalf_of, "UserIsRequestor": "false"})
        if event.disclosure is not None and event.disclosure.recipient:
            yield element(
                "ActiveParticipant",
                {
                    "UserID": self._text("disclosure.recipient", event.disclosure.recipient),
                    "UserIsRequestor": "false",
                },
                _code("RoleIDCode", DCM, codes.DESTINATION, codes.MEANINGS[codes.DESTINATION]),
            )

    def _network(self) -> dict[str, str | None]:
        address = self._event.client.address if self._event.client else None
        if address is None:
            return {}
        return {
            "NetworkAccessPointID": self._id("client.address", address),
            "NetworkAccessPointTypeCode": "2" if _is_ip(address) else "1",
        }

    def _audit_source(self) -> str:
        source = self._event.source
        return element(
            "AuditSourceIdentification",
            {
                "AuditEnterpriseSiteID": self._optional("source.site", source.site),
                "AuditSourceID": self._id("source.service", source.service),
            },
        )

    def _objects(self) -> list[str]:
        """The record comes first and is written last: it names what the others had to cut."""
        others = [*self._patients(), *self._resources(), *self._circumstances()]
        return [self._record(), *others]

    def _patients(self) -> Iterator[str]:
        for patient in self._some("patients", self._event.patients):
            yield self._object(
                "patients",
                patient.id,
                codes.PATIENT_NUMBER,
                codes.PATIENT,
                name=patient.name,
                life_cycle=self._life_cycle,
            )

    def _resources(self) -> Iterator[str]:
        for each in self._some("resources", self._event.resources):
            details = self._cut([("version", each.version), ("dataCategory", each.data_category)])
            if each.type == AUDIT_LOG:
                role, id, name = codes.SECURITY_RESOURCE, each.id, codes.LOG_NAME
            else:
                role, id, name = codes.RESOURCE, _reference(each), _reference(each)
            yield self._object(
                "resources",
                id,
                codes.URI,
                role,
                name=name,
                life_cycle=self._life_cycle,
                details=details,
            )

    def _circumstances(self) -> Iterator[str]:
        event = self._event
        if (device := event.device) is not None:
            yield self._object(
                "device",
                f"Device/{device.id}",
                codes.URI,
                codes.RESOURCE,
                name=device.name,
                details=self._cut(
                    [
                        ("softwareVersion", device.software_version),
                        ("configurationVersion", device.configuration_version),
                    ]
                ),
            )
        if event.session:
            yield self._object("session", f"Session/{event.session}", codes.URI, codes.SECURITY_RESOURCE)
        if event.correlation_id:
            yield self._object("correlation_id", event.correlation_id, codes.REQUEST_ID, codes.JOB)
        if self._row.name == "record.searched" and event.request is not None and event.request.path:
            yield self._query(event.request.path)

    def _query(self, path: str) -> str:
        query = base64.b64encode(self._text("request.path", path).encode()).decode()
        return element(
            "ParticipantObjectIdentification",
            {
                "ParticipantObjectID": self._text("request.path", path),
                "ParticipantObjectTypeCode": codes.QUERY.type,
                "ParticipantObjectTypeCodeRole": codes.QUERY.role,
            },
            _id_type(codes.SEARCH_CRITERIA),
            element("ParticipantObjectQuery", {}, query),
        )

    def _record(self) -> str:
        """The record in the trail. Its id is the log's origin with the position as fragment."""
        leaf = self._leaf
        place = (
            ("position", str(leaf.position)),
            ("previousPosition", None if leaf.previous_position is None else str(leaf.previous_position)),
            ("treeSize", None if leaf.tree_head_size is None else str(leaf.tree_head_size)),
            ("leafHash", leaf.leaf_hash.hex()),
            ("eventId", str(self._event.event_id)),
            ("eventType", self._event.type),
            ("recordedAt", self._recorded.recorded_at.astimezone(UTC).isoformat()),
        )
        origin = self._id("origin", leaf.origin)
        details = [*place, *self._statements()]
        # Only now is it known what was cut.
        details.append(("truncated", ", ".join(self._clipper.fields) or None))
        return self._object(
            "record",
            f"{origin}#{leaf.position}",
            codes.URI,
            codes.SECURITY_RESOURCE,
            name="Audit Trail record",
            details=details,
        )

    def _statements(self) -> list[tuple[str, str | None]]:
        """What the event says that has no element in DICOM. Of changes, only the fields' paths."""
        event = self._event
        request, disclosure = event.request, event.disclosure
        long: list[tuple[str, str | None]] = [
            ("reason", event.reason),
            ("purposeOfUse", self._listed("purpose_of_use", event.purpose_of_use)),
            ("changedFields", self._listed("changes", [change.path for change in event.changes])),
            ("userAgent", event.client.user_agent if event.client else None),
            ("attributes", msgspec.json.encode(event.attributes).decode() if event.attributes else None),
        ]
        if request is not None:
            long += [("requestMethod", request.method), ("requestPath", request.path)]
            long.append(("httpStatus", None if request.status is None else str(request.status)))
        if disclosure is not None:
            long += [
                ("recipientAddress", disclosure.recipient_address),
                ("disclosureDescription", disclosure.description),
                ("disclosurePurpose", disclosure.purpose),
            ]
        return [*self._cut(long), ("emergency", "true" if event.emergency else None)]

    def _object(
        self,
        field: str,
        id: str,
        kind: codes.IdType,
        role: codes.ObjectRole,
        *,
        name: str | None = None,
        life_cycle: str | None = None,
        details: Sequence[tuple[str, str | None]] = (),
    ) -> str:
        """One participant object. Its name is its id when it has none."""
        id = self._id(field, id)
        return element(
            "ParticipantObjectIdentification",
            {
                "ParticipantObjectID": id,
                "ParticipantObjectTypeCode": role.type,
                "ParticipantObjectTypeCodeRole": role.role,
                "ParticipantObjectDataLifeCycle": life_cycle,
            },
            _id_type(kind),
            element("ParticipantObjectName", {}, text(self._text(field, name) if name else id)),
            *(_detail(type, value) for type, value in details if value),
        )

    @property
    def _life_cycle(self) -> str | None:
        return codes.LIFE_CYCLES.get(self._row.name) or codes.LIFE_CYCLES_OF_ACTIONS.get(self._action)

    def _id(self, field: str, value: str) -> str:
        return self._clipper.text(field, value, self._limits.id)

    def _text(self, field: str, value: str) -> str:
        return self._clipper.text(field, value, self._limits.text)

    def _cut(self, details: Sequence[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
        return [(name, self._optional(name, value)) for name, value in details]

    def _optional(self, field: str, value: str | None) -> str | None:
        return self._text(field, value) if value else None

    def _listed(self, field: str, values: Sequence[str]) -> str | None:
        return self._clipper.listing(field, values, self._limits.text) if values else None

    def _some(self, field: str, values: Sequence[Item]) -> Sequence[Item]:
        return self._clipper.first(field, values, self._limits.items)


def _code(name: str, system: str, code: str, meaning: str) -> str:
    """A coded value (A.5.1, CodedValueType)."""
    system = "DCM" if system == DCM else system
    return element(name, {"csd-code": code, "codeSystemName": system, "originalText": meaning})


def _id_type(kind: codes.IdType) -> str:
    return _code("ParticipantObjectIDTypeCode", kind.system, kind.code, kind.meaning)


def _detail(type: str, value: str) -> str:
    return element(
        "ParticipantObjectDetail", {"type": type, "value": base64.b64encode(value.encode()).decode()}
    )


def _reference(resource: Resource) -> str:
    return f"{resource.type}/{resource.id}"


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
