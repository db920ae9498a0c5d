"""An event as a sentence: "Nora Nightshift read Observation o-3 of patient 1007"."""

from __future__ import annotations

import re

from domain.catalogue import CATALOGUE
from domain.event import ActorKind, AuditEvent, Outcome

_MOST_NAMED = 3
_VERBS = {
    "record.created": "created",
    "record.read": "read",
    "record.searched": "searched",
    "record.updated": "changed",
    "record.deleted": "deleted",
    "record.exported": "exported",
    "record.disclosed": "disclosed",
    "user.logged_in": "logged in",
    "user.logged_out": "logged out",
    "user.login_failed": "failed to log in",
    "session.started": "began a session",
    "session.ended": "ended a session",
    "access.denied": "was refused access to",
    "privilege.used": "used a privilege on",
    "role.changed": "changed roles of",
    "emergency_access.started": "began break-glass access to",
    "emergency_access.ended": "ended break-glass access to",
    "configuration.changed": "changed the configuration of",
    "device.connected": "connected",
    "device.disconnected": "disconnected",
    "service.started": "started",
    "service.stopped": "stopped",
    "service.restarted": "restarted",
    "health_check.failed": "failed its health check",
    "health_check.recovered": "recovered",
    "api.called": "called",
    "access.questioned": "asked about an access:",
    "link.shared": "made",
    "link.revoked": "revoked",
    "audit_log.read": "read the audit trail",
    "view.saved": "saved the view",
    "view.changed": "changed the view",
    "view.deleted": "deleted the view",
    "export.deleted": "deleted",
}
_COMPLETE = frozenset(
    {"user.logged_in", "user.logged_out", "user.login_failed", "session.started", "session.ended"}
)
"""The verb says it all."""
_DANGLING = re.compile(r" (?:to|of|on)$|:$")
"""The end of a verb that needs an object, for an event that names none."""
_ABOUT_A_SERVICE = ("service.", "health_check.")


def sentence(event: AuditEvent) -> str:
    """The sentence, without its full stop. What is hidden from the reader is left out."""
    verb = _VERBS.get(event.type)
    if verb is None:
        entry = CATALOGUE.get(event.type)
        verb = f"({event.type}) {entry.description.rstrip('.')}" if entry is not None else f"({event.type})"
    about = _object(event)
    parts = [_subject(event), verb if about else _DANGLING.sub("", verb), about]
    text = " ".join(part for part in parts if part)
    if event.emergency:
        text += ", break-glass"
    if event.outcome is not Outcome.SUCCESS and event.type not in {"access.denied", "user.login_failed"}:
        text += ", which failed"
    why = event.reason or event.outcome_reason
    return f"{text}: {why}" if why else text


def _subject(event: AuditEvent) -> str:
    if event.type.startswith(_ABOUT_A_SERVICE):
        return event.source.service
    actor = event.actor
    if actor.name or actor.id:
        return actor.name or actor.id or ""
    return {ActorKind.PATIENT: "A patient", ActorKind.SERVICE: "A service", ActorKind.DEVICE: "A device"}.get(
        actor.kind, "Somebody"
    )


def _object(event: AuditEvent) -> str:
    if event.type in _COMPLETE:
        return ""
    patients_themselves = {("Patient", each.id) for each in event.patients}
    resources = [each for each in event.resources if (each.type, each.id) not in patients_themselves]
    things = [f"{each.type} {each.id}" for each in resources[:_MOST_NAMED]]
    if len(resources) > _MOST_NAMED:
        things.append(f"{len(resources) - _MOST_NAMED} more")
    acts_itself = event.device is not None and event.device.id == event.actor.id
    if event.device is not None and not things and not acts_itself:
        things = [f"device {event.device.name or event.device.id}"]
    if event.request is not None and not things:
        things = [" ".join(filter(None, (event.request.method, event.request.path)))]
    about = ", ".join(things)
    if event.type == "audit_log.read":
        things = [f"at {each.id}" for each in event.resources[:1]]
        about = ", ".join(things)
    patients = [f"patient {each.name or each.id}" for each in event.patients[:_MOST_NAMED]]
    if len(event.patients) > _MOST_NAMED:
        patients.append(f"{len(event.patients) - _MOST_NAMED} more patients")
    if not patients:
        return about
    whose = ", ".join(patients)
    if about:
        return f"{about} of {whose}"
    return whose if len(resources) < len(event.resources) else f"data of {whose}"
