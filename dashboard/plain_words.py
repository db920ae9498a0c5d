"""An event in plain words, for the people whom it is about: "A nurse read your record, for treatment"."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from dashboard.viewer import Viewer
from domain.access.access_question import EVENT
from domain.catalogue import AUDIT_LOG, CATALOGUE, Category
from domain.event import ActorKind, AuditEvent, Outcome

_MOST_NAMED = 3
_VERBS = {
    "record.created": "added something to",
    "record.read": "read",
    "record.searched": "looked something up in",
    "record.updated": "changed",
    "record.deleted": "deleted something in",
    "record.exported": "copied out",
    "record.imported": "added something from elsewhere to",
    "record.disclosed": "gave to somebody outside",
    "access.denied": "tried to open, without being allowed to,",
    "emergency_access.started": "opened, in an emergency,",
    "emergency_access.ended": "ended the emergency access to",
    "access.questioned": "asked about an access to",
    "audit_log.read": "looked up who had opened",
    "staff_disclosure.decided": "decided who may see the names of staff in",
    "api.called": "used a program on",
    "configuration.changed": "changed the settings of",
}
_ALONE = {
    "user.logged_in": "signed in",
    "user.logged_out": "signed out",
    "user.login_failed": "tried to sign in, which failed",
    "session.started": "began to work",
    "session.ended": "stopped working: the session ended",
}
_OF_NOTHING = {"api.called": "used a program", "record.searched": "searched for records"}
"""Where the event names neither a patient nor a thing."""
_OF_THE_TRAIL = frozenset({AUDIT_LOG, EVENT})
"""Types of resources that only the trail has."""
_PURPOSES = {
    "TREAT": "for treatment",
    "ETREAT": "for treatment in an emergency",
    "BTG": "in an emergency",
    "CAREMGT": "to organise care",
    "COC": "to coordinate care",
    "CLINTRCH": "for a clinical trial",
    "HPAYMT": "for payment",
    "HOPERAT": "for the running of the hospital",
    "HSYSADMIN": "to maintain the system",
    "HRESCH": "for research",
    "HMARKT": "for marketing",
    "HLEGAL": "for a legal matter",
    "PATRQT": "because the patient asked for it",
    "FAMRQT": "because the family asked for it",
    "PUBHLTH": "for public health",
}
"""HL7 v3-PurposeOfUse."""


def why(purposes: Iterable[str]) -> str:
    """Purposes of use in words; a code that is not known stays as it is."""
    return ", ".join(_PURPOSES.get(each, each) for each in purposes) or "no reason was given"


def code_with_words(purpose: str) -> str:
    """A purpose of use as staff read it: the code, and what it means if that is known."""
    return f"{purpose} ({_PURPOSES[purpose]})" if purpose in _PURPOSES else purpose


def plain_sentence(event: AuditEvent, viewer: Viewer) -> str:
    """The sentence, without its full stop. What is hidden from the reader is left out."""
    alone = _ALONE.get(event.type)
    if alone is None and not (event.patients or event.resources or event.device):
        alone = _OF_NOTHING.get(event.type)
    text = f"{_who(event, viewer)} {alone or f'{_verb(event)} {_whose(event, viewer)}'}"
    if event.emergency:
        text += ", in an emergency"
    if event.outcome is not Outcome.SUCCESS and event.type not in {"access.denied", "user.login_failed"}:
        text += ", which failed"
    return text


def reason(event: AuditEvent) -> str:
    """Why it was done; empty for what needs no reason, such as a sign-in."""
    entry = CATALOGUE.get(event.type)
    if not event.purpose_of_use and (entry is None or entry.category is not Category.DATA):
        return event.reason or ""
    return "; ".join(filter(None, (why(event.purpose_of_use), event.reason)))


def _who(event: AuditEvent, viewer: Viewer) -> str:
    actor = event.actor
    if actor.id is not None and actor.id in {viewer.principal.id, *viewer.principal.actors}:
        return "You"
    if actor.name or actor.id:
        return actor.name or actor.id or ""
    if actor.roles and actor.kind is ActorKind.USER:
        return f"Somebody ({', '.join(each.replace('_', ' ') for each in actor.roles)})"
    return {
        ActorKind.PATIENT: "A patient",
        ActorKind.SERVICE: "A program",
        ActorKind.DEVICE: "A device",
        ActorKind.USER: "A member of staff",
    }.get(actor.kind, "Somebody")


def _verb(event: AuditEvent) -> str:
    found = _VERBS.get(event.type)
    if found is None:
        entry = CATALOGUE.get(event.type)
        found = f"did something else ({entry.description.rstrip('.') if entry else event.type}) with"
    return found


def _whose(event: AuditEvent, viewer: Viewer) -> str:
    own = viewer.scope.own_patients
    patients = [each.id for each in event.patients]
    resources = [
        each for each in event.resources if each.id not in patients and each.type not in _OF_THE_TRAIL
    ]
    things = _listed([f"{each.type} {each.id}" for each in resources])
    if event.device is not None and not things:
        things = f"device {event.device.name or event.device.id}"
    records = _records(patients, own)
    if not records:
        return things or "something"
    return f"{records} ({things})" if things else records


def _records(patients: list[str], own: Collection[str]) -> str:
    if patients and set(patients) <= set(own):
        return "your record" if len(own) == 1 else f"the record of {_listed(patients)}"
    return f"the record of patient {_listed(patients)}" if patients else ""


def _listed(names: list[str]) -> str:
    more = [f"{len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else []
    return ", ".join([*names[:_MOST_NAMED], *more])
