"""An event without what its reader does not see. Nothing is invented: a hidden part is absent, as if never given."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from domain.access.grants import Part
from domain.event import Actor, ActorKind, AuditEvent, Change

DEPARTMENT = "department"
"""The one attribute that a patient is shown of staff, beside their roles."""


_PATIENTS = frozenset({Part.PATIENT_NAMES, Part.OTHER_PATIENTS})


def shown(event: AuditEvent, hidden: frozenset[Part], own_patients: Collection[str] = ()) -> AuditEvent:
    """`event` without the `hidden` parts. `own_patients` are those who are not others to the reader."""
    if not hidden:
        return event
    kept: dict[str, object] = {}
    others = Part.OTHER_PATIENTS in hidden and any(p.id not in own_patients for p in event.patients)
    if others:
        # What an event about several patients says may be of any of them.
        kept |= {"patients": tuple(p for p in event.patients if p.id in own_patients)}
        kept |= {"resources": (), "changes": (), "disclosure": None, "device": None, "codes": ()}
    if Part.PATIENT_NAMES in hidden:
        patients = kept.get("patients", event.patients)
        kept["patients"] = tuple(replace(p, name=None) for p in patients)  # type: ignore[attr-defined]
    if not _is_own(event.actor, own_patients):
        kept |= _staff(event, hidden)
    if Part.FREE_TEXT in hidden:
        kept |= _without_text(event)
        codes = kept.get("codes", event.codes)
        kept["codes"] = tuple(replace(code, display=None) for code in codes)  # type: ignore[attr-defined]
    if Part.CLIENT in hidden:
        kept |= {"client": None, "request": None}
    if Part.DISCLOSURE in hidden:
        kept["disclosure"] = None
    if Part.VALUES in hidden and not others:
        kept["changes"] = tuple(Change(path=change.path) for change in event.changes)
    return replace(event, **kept)


def _staff(event: AuditEvent, hidden: frozenset[Part]) -> dict[str, object]:
    actor: dict[str, object] = {}
    kept: dict[str, object] = {}
    by_patient = event.actor.kind is ActorKind.PATIENT
    if Part.STAFF_NAMES in hidden or (by_patient and hidden & _PATIENTS):
        actor["name"] = None
    if by_patient and Part.OTHER_PATIENTS in hidden:
        actor |= {"id": None, "on_behalf_of": None}
    if Part.STAFF_IDS in hidden:
        actor |= {"id": None, "on_behalf_of": None}
        kept |= {"session": None, "correlation_id": None, "source": replace(event.source, instance=None)}
    return {**kept, "actor": replace(event.actor, **actor)} if actor else kept


def _without_text(event: AuditEvent) -> dict[str, object]:
    department = event.attributes.get(DEPARTMENT)
    return {
        "reason": None,
        "outcome_reason": None,
        "attributes": {DEPARTMENT: department} if isinstance(department, str) else {},
        # A path's query may hold what was searched for.
        "request": None if event.request is None else replace(event.request, path=None),
    }


def _is_own(actor: Actor, own_patients: Collection[str]) -> bool:
    return actor.kind is ActorKind.PATIENT and actor.id in own_patients
