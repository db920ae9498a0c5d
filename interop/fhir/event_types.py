"""Map codes to an event type, and FHIR outcomes to `Outcome`.

The codes of `type` and `subtype` (R4) and of `category` and `code` (R5) are evaluated together, because real events
swap them (HL7's own ``advanced-create`` does) and omit systems. The most specific code wins: a disclosure, then an
exact event code, then a transfer, then a REST interaction, and last the general event code together with the action.
"""

from __future__ import annotations

from collections.abc import Iterable

from domain.catalogue import CATALOGUE, DCM, GENERIC_TYPE, INTERACTION, LIFECYCLE, LOCAL, REST
from domain.event import Action, Coding, Outcome

Key = tuple[str, str]
"""The system in the spelling of these tables, and the code."""

IHE = "urn:ihe:event-type-code"
CONSENT = "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType"

_ALIASES = {
    "http://nema.org/dicom/dicm": DCM,  # FHIR STU3
    "http://nema.org/dicom/dcid": DCM,
    "http://dicom.nema.org/resources/ontology/dcm": DCM,
    "urn:oid:1.2.840.10008.2.16.4": DCM,
    "1.2.840.10008.2.16.4": DCM,
    "dcm": DCM,
    "http://hl7.org/fhir/audit-event-type": REST,  # FHIR STU3
    "http://hl7.org/fhir/iso-21089-lifecycle": LIFECYCLE,  # FHIR STU3
    "http://hl7.org/fhir/codesystem/restful-interaction": INTERACTION,
    "http://terminology.hl7.org/codesystem/restful-interaction": INTERACTION,
    "urn:oid:1.3.6.1.4.1.19376.1.2": IHE,
}
_KNOWN = {
    system.lower(): system for system in (DCM, REST, INTERACTION, LIFECYCLE, LOCAL, IHE, CONSENT)
} | _ALIASES

_EXACT = {
    (system, code): row.name
    for row in reversed(
        CATALOGUE.values()
    )  # the first of two rows with one code counts: log-in, not failed log-in
    if row.subtype_code and row.subtype_code[0] in {DCM, LOCAL}
    for system, code in [row.subtype_code]
} | {
    (DCM, "110128"): "configuration.changed",
    (DCM, "110129"): "configuration.changed",
    (DCM, "110130"): "configuration.changed",
    (DCM, "110135"): "role.changed",
    (DCM, "110137"): "role.changed",
    (DCM, "110101"): "audit_log.read",
    (DCM, "110105"): "record.deleted",
    (IHE, "ITI-71"): "session.started",  # IUA: a token is issued
    **{row.type_code: row.name for row in CATALOGUE.values() if row.type_code[0] == LOCAL},
}
_TRANSFERS = {
    (DCM, "110106"): "record.exported",
    (DCM, "110107"): "record.imported",
    (LIFECYCLE, "extract"): "record.exported",
    (LIFECYCLE, "transmit"): "record.exported",
    (LIFECYCLE, "receive"): "record.imported",
}
_INTERACTIONS = {
    "read": "record.read",
    "vread": "record.read",
    "search": "record.searched",
    "search-type": "record.searched",
    "search-system": "record.searched",
    "search-compartment": "record.searched",
    "create": "record.created",
    "create-conditional": "record.created",
    "update": "record.updated",
    "update-conditional": "record.updated",
    "patch": "record.updated",
    "patch-conditional": "record.updated",
    "delete": "record.deleted",
    "delete-conditional": "record.deleted",
    "delete-conditional-single": "record.deleted",
    "delete-conditional-multiple": "record.deleted",
    "delete-history": "record.deleted",
    "delete-history-version": "record.deleted",
    "history": "api.called",
    "history-instance": "api.called",
    "history-type": "api.called",
    "history-system": "api.called",
    "operation": "api.called",
    "batch": "api.called",
    "transaction": "api.called",
    "capabilities": "api.called",
}
_LIFECYCLES = {
    "originate": "record.created",
    "access": "record.read",
    "amend": "record.updated",
    "merge": "record.updated",
    "destroy": "record.deleted",
}
_BY_ACTION = {
    Action.CREATE: "record.created",
    Action.READ: "record.read",
    Action.UPDATE: "record.updated",
    Action.DELETE: "record.deleted",
}
_RECORD_EVENTS = {"110103", "110104", "110109", "110110", "110111"}
"""DICOM: instances accessed or transferred, order, patient and procedure record. The action decides the type."""

_FAILED = {
    "user.logged_in": "user.login_failed",
    "session.started": "user.login_failed",
}
_SYSTEMLESS = (DCM, LIFECYCLE, INTERACTION, REST, IHE, CONSENT, LOCAL)


def event_type(
    codings: Iterable[Coding], action: Action | None, *, failed: bool, disclosure: bool, refused: bool
) -> str:
    """The catalogue type of these codes, or `GENERIC_TYPE`.

    `failed`: the outcome is not success. `disclosure`: the profile or the data life cycle marks a disclosure.
    `refused`: an OperationOutcome reports missing rights.
    """
    keys = [key for coding in codings for key in _keys(coding)]
    if (LIFECYCLE, "disclose") in keys or (disclosure and any(key in _TRANSFERS for key in keys)):
        return "record.disclosed"
    if failed and (refused or any(system == CONSENT for system, _ in keys)):
        return "access.denied"
    for find in (_exact, _transfer, _interaction):
        found = next(filter(None, map(find, keys)), None)
        if found:
            return _by_outcome(found, failed=failed)
    return _general(keys, action, failed=failed)


def _exact(key: Key) -> str | None:
    return _EXACT.get(key)


def _transfer(key: Key) -> str | None:
    return _TRANSFERS.get(key)


def _interaction(key: Key) -> str | None:
    system, code = key
    return {INTERACTION: _INTERACTIONS, LIFECYCLE: _LIFECYCLES}.get(system, {}).get(code)


def _by_outcome(name: str, *, failed: bool) -> str:
    if failed:
        return _FAILED.get(name, name)
    # DICOM reports node authentication for its failure; a success has no type of its own.
    return GENERIC_TYPE if name == "node.authentication_failed" else name


def _general(keys: list[Key], action: Action | None, *, failed: bool) -> str:
    alone = len({code for _, code in keys}) == 1
    for key in keys:
        if key == (DCM, "110112"):
            return "record.searched"
        if key == (DCM, "110114") and alone and failed:
            return "user.login_failed"
        of_record = (key[0] == DCM and key[1] in _RECORD_EVENTS) or (key == (REST, "rest") and alone)
        if of_record and action in _BY_ACTION:
            return _BY_ACTION[action]
    return GENERIC_TYPE


def _keys(coding: Coding) -> list[Key]:
    """The pairs of system and code to look up. A code without a system is tried with every known system."""
    code = coding.code or ""
    if coding.system is None:
        lower = "disclose" if code.lower() == "disclosure" else code.lower()
        return [(system, spelt) for system in _SYSTEMLESS for spelt in dict.fromkeys((code, lower))]
    system = _KNOWN.get(coding.system.lower().rstrip("/"), coding.system)
    return [(system, code)]


_OUTCOMES = {
    "0": Outcome.SUCCESS,
    "success": Outcome.SUCCESS,
    "information": Outcome.SUCCESS,
    "4": Outcome.MINOR_FAILURE,
    "warning": Outcome.MINOR_FAILURE,
    "8": Outcome.SERIOUS_FAILURE,
    "error": Outcome.SERIOUS_FAILURE,
    "12": Outcome.MAJOR_FAILURE,
    "fatal": Outcome.MAJOR_FAILURE,
}


def outcome(code: str) -> Outcome | None:
    """`audit-event-outcome` (0, 4, 8, 12) or `issue-severity` as an outcome; None for any other code."""
    return _OUTCOMES.get(code.lower())
