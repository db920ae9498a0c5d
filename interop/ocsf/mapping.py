"""An event as OCSF JSON, with its place in the log as an attestation of the profile `record_integrity`."""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins

from domain.catalogue import CATALOGUE, GENERIC_TYPE
from domain.event import SCHEMA_VERSION, AuditEvent, Outcome, RecordedEvent
from domain.event_time import to_milliseconds
from domain.read_audit.events import READ, Via
from interop.leaf import LeafFacts
from interop.ocsf.classes import (
    API_OF_ACTIONS,
    EXPORT_OF_LOG,
    FAILED,
    FINDING,
    OF_TYPES,
    RESOLVED,
    USER_MANAGEMENT,
    Activity,
)
from interop.ocsf.objects import BUILDERS, NAMES, Json, present, roles_before_and_after
from interop.severity import severity_of

VERSION = "1.9.0"
_SEVERITIES = {1: "Informational", 2: "Low", 3: "Medium", 4: "High", 5: "Critical"}
_SUCCESS, _FAILURE, _NEW, _FIXED = (1, "Success"), (2, "Failure"), (1, "New"), (4, "Resolved")
_TOLD = {"event_id", "type", "occurred_at", "source", "outcome", "outcome_reason", "correlation_id"}
"""Fields of an event that every class has a place for."""
_TOLD_BY = {"patients": {"resources"}, "resources": {"resources"}, "session": {"session", "actor"}}
"""Fields that some attributes tell in full, where the class has one of them."""


def event(recorded: RecordedEvent, leaf: LeafFacts) -> dict[str, Any]:
    """The OCSF event, ready for JSON. Nothing is cut: the schema limits no text of ours.

    `metadata.uid` is the log's origin and the position, as `prev_event.uid` refers to it; the producer's id is
    `metadata.original_event_uid`. What the class can't tell in full is in `unmapped`, under the event's own names.
    """
    said = recorded.event
    activity = activity_of(said)
    kind = activity.event_class
    severity = severity_of(said).ocsf
    status_id, status = _status(said, activity)
    attributes = {
        NAMES.get(name, name): value
        for name in (*kind.attributes, *kind.of_host)
        if (value := BUILDERS[name](said, leaf)) is not None
    }
    profiles = ["record_integrity"]
    if any(name in attributes for name in kind.of_host):
        profiles.append("host")
    return {
        "class_uid": kind.uid,
        "class_name": kind.caption,
        "category_uid": kind.uid // 1000,
        "category_name": kind.category,
        "activity_id": activity.id,
        "activity_name": activity.caption,
        "type_uid": kind.uid * 100 + activity.id,
        "type_name": f"{kind.caption}: {kind.activities.get(activity.id, 'Other')}",
        "time": to_milliseconds(said.occurred_at),
        "severity_id": severity,
        "severity": _SEVERITIES[severity],
        "status_id": status_id,
        "status": status,
        **present(status_code=said.outcome.value, status_detail=said.outcome_reason),
        "message": CATALOGUE.get(said.type, CATALOGUE[GENERIC_TYPE]).description,
        "metadata": _metadata(recorded, leaf, profiles),
        "attestation_list": [_attestation(leaf)],
        **attributes,
        "unmapped": _unmapped(recorded, leaf, attributes),
    }


def activity_of(said: AuditEvent) -> Activity:
    """The class and activity of an event. A change of roles says by its values whether it assigned or removed."""
    if said.type == "role.changed":
        before, after = map(set, roles_before_and_after(said))
        return Activity(USER_MANAGEMENT, 16 if before < after else 17 if after < before else 2)
    if said.type == READ and said.attributes.get("via") == Via.EXPORT:
        return EXPORT_OF_LOG
    listed = OF_TYPES.get(said.type)
    if listed is not None:
        return listed
    return API_OF_ACTIONS[said.action or CATALOGUE.get(said.type, CATALOGUE[GENERIC_TYPE]).action]


def _status(said: AuditEvent, activity: Activity) -> tuple[int, str]:
    """Of a finding whether it is open; of anything else whether it succeeded."""
    if activity.event_class is FINDING:
        return _FIXED if said.type in RESOLVED else _NEW
    failed = said.outcome is not Outcome.SUCCESS or said.type in FAILED
    return _FAILURE if failed else _SUCCESS


def _metadata(recorded: RecordedEvent, leaf: LeafFacts, profiles: list[str]) -> Json:
    said = recorded.event
    source = said.source
    return present(
        version=VERSION,
        profiles=profiles,
        product={"name": "Audit Trail", "vendor_name": "Audit Trail", "version": str(SCHEMA_VERSION)},
        uid=_uid(leaf.origin, leaf.position),
        sequence=leaf.position,
        original_event_uid=str(said.event_id),
        original_time=said.occurred_at.isoformat(),
        event_code=said.type,
        correlation_uid=said.correlation_id,
        log_provider="Audit Trail",
        log_name=leaf.origin,
        processed_time=to_milliseconds(recorded.recorded_at),
        reporter=present(
            name=source.service,
            uid=source.instance or None,
            org={"name": source.site} if source.site else None,
        ),
    )


def _attestation(leaf: LeafFacts) -> Json:
    """The entry of the transparency log (RFC 6962) that commits to the stored event.

    The fingerprint is over the log's entry, not over this JSON: `serialization` says so. Its proof, and the signatures
    of the tree heads, are to be had from the trail by the position.
    """
    previous = leaf.previous_position
    return present(
        uid=str(leaf.position),
        authority_uid=leaf.origin,
        chain_uid=leaf.origin,
        fingerprint={
            "algorithm_id": 3,
            "algorithm": "SHA-256",
            "encoding_id": 1,
            "encoding": "Hex",
            "serialization_id": 99,
            "serialization": "RFC 6962 leaf of audit-trail-entry/1",
            "value": leaf.leaf_hash.hex(),
        },
        prev_event=None if previous is None else {"uid": _uid(leaf.origin, previous)},
    )


def _unmapped(recorded: RecordedEvent, leaf: LeafFacts, attributes: Json) -> Json:
    """The rest of the event, and of its place in the log, so that nothing is lost."""
    rest = {
        name: value
        for name, value in to_builtins(recorded.event).items()
        if name not in _TOLD and not _TOLD_BY.get(name, set()) & set(attributes)
    }
    place = present(
        position=leaf.position, previous_position=leaf.previous_position, tree_size=leaf.tree_head_size
    )
    return rest | {"log": place}


def _uid(origin: str, position: int) -> str:
    return f"{origin}#{position}"
