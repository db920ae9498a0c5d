"""Redaction: remove the parts of an event that its reader may not see.

Nothing is replaced by invented values: a hidden part is absent, as if the source had not sent it.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from domain.access.grants import Part
from domain.access.person_names import has_name, is_access_record, is_name, names_person
from domain.event import Actor, ActorKind, AuditEvent, Change, Resource

DEPARTMENT = "department"
"""The only attribute of staff, besides their roles, that a patient sees."""


_PATIENTS = frozenset({Part.PATIENT_NAMES, Part.OTHER_PATIENTS})
NAMES = frozenset({Part.PATIENT_NAMES, Part.STAFF_NAMES, Part.FREE_TEXT})
"""A reader from whom one of these is hidden sees no name in the place of the id of a session or resource."""
_OF_STAFF = frozenset({"practitioner", "practitionerrole", "person", "user", "account", "staff", "employee"})
_OF_PATIENTS = frozenset({"patient", "relatedperson", "person"})
"""Resource types, in lower case, that are persons. For example, a role change has the user as its resource."""
_WHOLE_FIELDS = {Part.CLIENT: ("client", "request"), Part.DISCLOSURE: ("disclosure",)}
_AGENTS, _QUERY = "agents", "query"
"""Attributes with the other participants and with the search text: see `interop.fhir.audit_event`."""
_QUESTIONS = "questions"
_ACCESS_RECORD = (_QUESTIONS, "scope")
"""Attributes of an access record with queries and scope. Both contain many ids: see `domain.read_audit.events`."""
_OF_CASES = frozenset({"alerts", "alert_raised", "alert", "alert_events", "cases", "case", "case_command"})
"""Operations in access records whose arguments may name the person that an alert or a case is about."""


def redacted(event: AuditEvent, hidden: frozenset[Part], own_patients: Collection[str] = ()) -> AuditEvent:
    """`event` without the `hidden` parts. `own_patients` are the reader's own, which do not count as other patients."""
    if not hidden:
        return event
    kept: dict[str, object] = {}
    others = Part.OTHER_PATIENTS in hidden and any(p.id not in own_patients for p in event.patients)
    if others:
        # A statement about several patients may concern any of them.
        kept |= {"patients": tuple(p for p in event.patients if p.id in own_patients)}
        kept |= {"resources": (), "changes": (), "disclosure": None, "device": None, "codes": ()}
    if Part.PATIENT_NAMES in hidden:
        patients = kept.get("patients", event.patients)
        kept["patients"] = tuple(
            replace(p, name=None)
            for p in patients  # type: ignore[attr-defined]
            if not is_name(p.id)
        )
    if not others:
        if Part.STAFF_NAMES in hidden and event.device is not None:
            # Devices are often named after their users.
            kept["device"] = None if is_name(event.device.id) else replace(event.device, name=None)
        kept["resources"] = tuple(r for r in event.resources if not _identifies(r, hidden, own_patients))
    if not _is_own(event.actor, own_patients):
        kept |= _staff(event, hidden)
    if hidden & NAMES:
        kept |= _without_named_ids(replace(event, **kept))
    if Part.FREE_TEXT in hidden:
        kept |= _without_text(event)
        codes = kept.get("codes", event.codes)
        kept["codes"] = tuple(replace(code, display=None) for code in codes)  # type: ignore[attr-defined]
    elif hidden & NAMES:
        kept |= _without_names(event, hidden)
    kept |= {field: None for part, fields in _WHOLE_FIELDS.items() if part in hidden for field in fields}
    if Part.VALUES in hidden and not others:
        changes = kept.get("changes", event.changes)
        kept["changes"] = tuple(Change(path=change.path) for change in changes)  # type: ignore[attr-defined]
    return replace(event, **kept)


def without_case_queries(event: AuditEvent) -> AuditEvent:
    """An access record without the arguments of queries for alerts and cases, which tell about whom they are."""
    questions = event.attributes.get(_QUESTIONS)
    if not isinstance(questions, list):
        return event
    kept = [
        {key: value for key, value in each.items() if key != "asked"}
        if isinstance(each, dict) and each.get("operation") in _OF_CASES
        else each
        for each in questions
    ]
    return replace(event, attributes=event.attributes | {_QUESTIONS: kept})


def _staff(event: AuditEvent, hidden: frozenset[Part]) -> dict[str, object]:
    actor: dict[str, object] = {}
    kept: dict[str, object] = {}
    by_patient = event.actor.kind is ActorKind.PATIENT
    if Part.STAFF_NAMES in hidden or (by_patient and hidden & _PATIENTS):
        actor["name"] = None
        actor |= {key: None for key in ("id", "on_behalf_of") if is_name(getattr(event.actor, key))}
    if by_patient and Part.OTHER_PATIENTS in hidden:
        actor |= {"id": None, "on_behalf_of": None}
    if Part.STAFF_IDS in hidden:
        actor |= {"id": None, "on_behalf_of": None}
        kept |= {"session": None, "correlation_id": None, "source": replace(event.source, instance=None)}
    return {**kept, "actor": replace(event.actor, **actor)} if actor else kept


def _without_named_ids(event: AuditEvent) -> dict[str, object]:
    """Session, correlation id, instance and changes without those that are names."""
    found: dict[str, object] = {}
    found |= {key: None for key in ("session", "correlation_id") if is_name(getattr(event, key))}
    if is_name(event.source.instance):
        found["source"] = replace(event.source, instance=None)
    if any(is_name(change.path) for change in event.changes):
        found["changes"] = tuple(change for change in event.changes if not is_name(change.path))
    return found


def _identifies(resource: Resource, hidden: frozenset[Part], own_patients: Collection[str]) -> bool:
    """Whether a resource is a hidden person, or has a person's name as its id."""
    kind, id = resource.type.rpartition("/")[2].lower(), resource.id.rpartition("/")[2]
    if Part.STAFF_IDS in hidden and kind in _OF_STAFF:
        return True
    if Part.OTHER_PATIENTS in hidden and kind in _OF_PATIENTS and id not in own_patients:
        return True
    # The address in an access record may contain the id of a person.
    of_persons = NAMES | {Part.STAFF_IDS, Part.OTHER_PATIENTS} if is_access_record(resource.type) else NAMES
    return bool(hidden & of_persons) and names_person(resource.type, resource.id)


def _without_names(event: AuditEvent, hidden: frozenset[Part]) -> dict[str, object]:
    """The attributes and the request without names.

    Free text stays, except where names are expected: participants and search texts.
    """
    attributes = {key: value for key, value in event.attributes.items() if key != _QUERY}
    if _AGENTS in attributes:
        attributes[_AGENTS] = _nameless(
            attributes[_AGENTS], {"name"} | ({"address"} if Part.CLIENT in hidden else set())
        )
    attributes |= {key: _without_named(attributes[key]) for key in _ACCESS_RECORD if key in attributes}
    request = event.request
    if request is not None and request.path is not None:
        path = request.path.partition("?")[0]
        # A source that knows only a person's name puts the name into the path.
        request = replace(request, path=None if has_name(path) else path)
    return {"attributes": attributes, "request": request}


def _without_named(value: object) -> object:
    """A JSON value without the strings that are names."""
    if isinstance(value, dict):
        return {key: _without_named(each) for key, each in value.items() if not _is_named(each)}
    if isinstance(value, list):
        return [_without_named(each) for each in value if not _is_named(each)]
    return value


def _is_named(value: object) -> bool:
    return isinstance(value, str) and is_name(value)


def _nameless(agents: object, hidden: Collection[str]) -> object:
    """The participants without their names and without the `hidden` keys."""
    if not isinstance(agents, list):
        return []
    return [
        {key: value for key, value in each.items() if key not in hidden and not _is_named(value)}
        for each in agents
        if isinstance(each, dict)
    ]


def _without_text(event: AuditEvent) -> dict[str, object]:
    department = event.attributes.get(DEPARTMENT)
    return {
        "reason": None,
        "outcome_reason": None,
        "attributes": {DEPARTMENT: department} if isinstance(department, str) else {},
        # The query string may contain the search text.
        "request": None if event.request is None else replace(event.request, path=None),
    }


def _is_own(actor: Actor, own_patients: Collection[str]) -> bool:
    return actor.kind is ActorKind.PATIENT and actor.id in own_patients
