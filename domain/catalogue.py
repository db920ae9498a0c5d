"""The event types as data: category, default action, required fields and codes.

Codes are `system#code` pairs of FHIR AuditEvent.type and .subtype (R5 category and code). Where DICOM and FHIR have no
code, `LOCAL` is the code system; the glossary documents its codes.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from domain.event import Action

DCM = "http://dicom.nema.org/resources/ontology/DCM"
REST = "http://terminology.hl7.org/CodeSystem/audit-event-type"
INTERACTION = "http://hl7.org/fhir/restful-interaction"
LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
LOCAL = "urn:audit-trail:event-type"

TRAIL_SERVICE = "audit-trail"
"""The source of the trail's own events. Nobody else may publish events of the category `trail`."""
AUDIT_LOG = "AuditLog"
"""The resource type of the trail itself; the resource's id is the address that was read."""
ALERT_RAISED = "alert.raised"
EMPLOYEE_ASKED = "employee.asked"
"""The event that reports an alert."""
ALERT = "Alert"
CASE = "Case"
"""The resource type of alerts."""


class Category(StrEnum):
    """The subject area of an event."""

    DATA = "data"
    USER = "user"
    SERVICE = "service"
    DEVICE = "device"
    TRAIL = "trail"
    OTHER = "other"


class EventType(Struct, frozen=True):
    """One row of the catalogue. Validation rejects an event without the field paths in `required`."""

    name: str
    category: Category
    action: Action
    required: tuple[str, ...]
    type_code: tuple[str, str]
    subtype_code: tuple[str, str] | None = None
    description: str = ""


_C, _R, _U, _D, _E = Action.CREATE, Action.READ, Action.UPDATE, Action.DELETE, Action.EXECUTE
_DATA, _USER, _SERVICE, _DEVICE, _TRAIL = (
    Category.DATA,
    Category.USER,
    Category.SERVICE,
    Category.DEVICE,
    Category.TRAIL,
)

GENERIC_TYPE = "event.unclassified"
"""The type of an event whose codes are not in the catalogue. The event keeps its codes."""

# fmt: off
_ROWS = (
    EventType("record.created", _DATA, _C, ("resources",), (REST, "rest"), (INTERACTION, "create"), "A record was created."),
    EventType("record.read", _DATA, _R, ("resources",), (REST, "rest"), (INTERACTION, "read"), "A record was read."),
    EventType("record.searched", _DATA, _E, (), (REST, "rest"), (INTERACTION, "search-type"), "Records were searched or listed."),
    EventType("record.updated", _DATA, _U, ("resources",), (REST, "rest"), (INTERACTION, "update"), "A record was changed."),
    EventType("record.deleted", _DATA, _D, ("resources",), (REST, "rest"), (INTERACTION, "delete"), "A record was deleted."),
    EventType("record.exported", _DATA, _R, (), (DCM, "110106"), None, "Records left the system as a file or a bulk answer."),
    EventType("record.imported", _DATA, _C, (), (DCM, "110107"), None, "Records came into the system from outside."),
    EventType("record.disclosed", _DATA, _R, ("patients", "disclosure"), (DCM, "110106"), (LIFECYCLE, "disclose"), "A disclosure that has to be accounted for (45 CFR 164.528)."),
    EventType("user.logged_in", _USER, _E, ("actor.id",), (DCM, "110114"), (DCM, "110122"), "A user logged in."),
    EventType("user.logged_out", _USER, _E, ("actor.id",), (DCM, "110114"), (DCM, "110123"), "A user logged out."),
    EventType("user.login_failed", _USER, _E, (), (DCM, "110114"), (DCM, "110122"), "A log-in attempt failed; the user may be unknown."),
    EventType("session.started", _USER, _E, ("session",), (DCM, "110114"), (LOCAL, "session-started"), "A session or token began."),
    EventType("session.ended", _USER, _E, ("session",), (DCM, "110114"), (LOCAL, "session-ended"), "A session ended or timed out."),
    EventType("access.denied", _USER, _E, (), (DCM, "110113"), (LOCAL, "access-denied"), "A request was refused (401, 403, or a consent decision)."),
    EventType("privilege.used", _USER, _E, ("actor.id",), (DCM, "110113"), (DCM, "110132"), "A restricted function or a role was used."),
    EventType("role.changed", _USER, _E, (), (DCM, "110113"), (DCM, "110136"), "Roles or privileges of a user were changed."),
    EventType("emergency_access.started", _USER, _E, ("actor.id", "reason"), (DCM, "110113"), (DCM, "110127"), "Break-glass access began."),
    EventType("emergency_access.ended", _USER, _E, ("actor.id",), (DCM, "110113"), (DCM, "110138"), "Break-glass access ended."),
    EventType("configuration.changed", _SERVICE, _E, (), (DCM, "110113"), (DCM, "110131"), "A configuration of a device or a service was changed."),
    EventType("device.connected", _DEVICE, _E, ("device",), (DCM, "110108"), (DCM, "110124"), "A device joined the network."),
    EventType("device.disconnected", _DEVICE, _E, ("device",), (DCM, "110108"), (DCM, "110125"), "A device left the network."),
    EventType("service.started", _SERVICE, _E, (), (DCM, "110100"), (DCM, "110120"), "A service started."),
    EventType("service.stopped", _SERVICE, _E, (), (DCM, "110100"), (DCM, "110121"), "A service stopped."),
    EventType("service.restarted", _SERVICE, _E, (), (DCM, "110100"), (LOCAL, "service-restarted"), "A service was restarted."),
    EventType("health_check.failed", _SERVICE, _E, (), (DCM, "110100"), (LOCAL, "health-check-failed"), "A health check saw a failure."),
    EventType("health_check.recovered", _SERVICE, _E, (), (DCM, "110100"), (LOCAL, "health-check-recovered"), "A health check saw the recovery."),
    EventType("api.called", _SERVICE, _E, ("request",), (REST, "rest"), (INTERACTION, "operation"), "An API was used in a way that is no record access."),
    EventType("node.authentication_failed", _SERVICE, _E, (), (DCM, "110113"), (DCM, "110126"), "A TLS or node authentication failed."),
    EventType("audit_log.read", _TRAIL, _R, (), (DCM, "110101"), None, "The audit trail was read."),
    EventType("audit_recording.started", _TRAIL, _E, (), (DCM, "110113"), (DCM, "110134"), "Audit recording was switched on."),
    EventType("audit_recording.stopped", _TRAIL, _E, (), (DCM, "110113"), (DCM, "110133"), "Audit recording was switched off."),
    EventType("integrity_check.failed", _TRAIL, _E, (), (DCM, "110113"), (LOCAL, "integrity-check-failed"), "A check of the log found a contradiction that is proved."),
    EventType("integrity_check.unconfirmed", _TRAIL, _E, (), (DCM, "110113"), (LOCAL, "integrity-check-unconfirmed"), "Somebody, such as a witness, claims that the log has two histories, without proof."),
    EventType("integrity_check.recovered", _TRAIL, _E, (), (DCM, "110113"), (LOCAL, "integrity-check-recovered"), "The cause of a finding is gone."),
    EventType("integrity_check.answered", _TRAIL, _E, ("actor.id", "reason"), (DCM, "110113"), (LOCAL, "integrity-check-answered"), "An operator closed a finding."),
    EventType("recording.gap", _TRAIL, _E, ("actor.id", "reason"), (DCM, "110113"), (LOCAL, "recording-gap"), "Kafka lost records before they were read, and an operator accepted that."),
    EventType("dead_letters.risen", _TRAIL, _E, ("resources",), (DCM, "110113"), (LOCAL, "dead-letters-risen"), "More messages of a topic and a source than usual could not be accepted within an hour."),
    EventType("observation.gap", _TRAIL, _E, (), (DCM, "110100"), (LOCAL, "observation-gap"), "The watcher did not look at all targets, or at some, for a time."),
    EventType("recording_clock.set_back", _TRAIL, _E, (), (DCM, "110113"), (LOCAL, "recording-clock-set-back"), "The database's clock was set back: it is behind the last event."),
    EventType("recording_clock.ahead", _TRAIL, _E, (), (DCM, "110113"), (LOCAL, "recording-clock-ahead"), "The database's clock is ahead of the machine that ingests."),
    EventType("recording_clock.recovered", _TRAIL, _E, (), (DCM, "110113"), (LOCAL, "recording-clock-recovered"), "The database's clock is right again."),
    EventType("detection_rules.activated", _TRAIL, _E, ("resources",), (LOCAL, "detection-rules-activated"), None, "A set of rules that find misuse began to count."),
    EventType(ALERT_RAISED, _TRAIL, _E, ("resources",), (DCM, "110113"), (LOCAL, "alert-raised"), "A rule found what somebody should look at."),
    EventType(EMPLOYEE_ASKED, _TRAIL, _E, ("actor.id", "resources"), (LOCAL, "employee-asked"), None, "An employee was asked about a case."),
    EventType("subject.erased", _TRAIL, _D, (), (LIFECYCLE, "destroy"), None, "A subject's key was destroyed."),
    EventType("projection.rebuilt", _TRAIL, _E, (), (LOCAL, "projection-rebuilt"), None, "A read model was rebuilt."),
    EventType("projection.event_skipped", _TRAIL, _E, ("actor.id", "reason"), (LOCAL, "projection-event-skipped"), None, "An operator decided that a read model leaves one event out."),
    EventType("context.loaded", _TRAIL, _U, ("actor.id", "reason", "resources"), (LOCAL, "context-loaded"), None, "A table of context for the rules of detection was loaded."),
    EventType("projection.removed", _TRAIL, _D, ("actor.id", "reason"), (LOCAL, "projection-removed"), None, "An analyst's own read model was removed."),
    EventType("operation.requested", _TRAIL, _E, ("actor.id", "reason", "resources"), (LOCAL, "operation-requested"), None, "An operator asked for a rebuild, or decided on a dead letter, on a page."),
    EventType("operation.completed", _TRAIL, _E, ("actor.id", "reason", "resources"), (LOCAL, "operation-completed"), None, "What an operator had asked for ended, done or failed."),
    EventType("staff_disclosure.decided", _TRAIL, _E, ("patients", "actor.id", "reason"), (LOCAL, "staff-disclosure-decided"), None, "It was decided whether a patient sees the names of staff."),
    EventType("access.questioned", _TRAIL, _E, ("actor.id", "reason", "resources"), (LOCAL, "access-questioned"), None, "A patient or a member of staff does not recognise an access."),
    EventType("view.saved", _TRAIL, _C, ("actor.id", "resources"), (LOCAL, "view-saved"), None, "A person saved a filter of events under a name."),
    EventType("view.changed", _TRAIL, _U, ("actor.id", "resources"), (LOCAL, "view-changed"), None, "A person changed the name or filter of a saved view, or with whom it is shared."),
    EventType("view.deleted", _TRAIL, _D, ("actor.id", "resources"), (LOCAL, "view-deleted"), None, "A person deleted a saved view."),
    EventType("link.shared", _TRAIL, _E, ("actor.id", "reason", "resources"), (LOCAL, "link-shared"), None, "A link to an event or to a list of events was made for somebody without an account."),
    EventType("link.revoked", _TRAIL, _E, ("actor.id", "resources"), (LOCAL, "link-revoked"), None, "A shared link was revoked."),
    EventType("export.deleted", _TRAIL, _D, ("resources",), (LOCAL, "export-deleted"), None, "The file of an export from this trail was deleted, by its owner or because its time was over."),
    EventType(GENERIC_TYPE, Category.OTHER, _E, (), (LOCAL, "unclassified"), None, "An event whose codes are not in this catalogue; its own codes are kept."),
)
# fmt: on

CATALOGUE: dict[str, EventType] = {row.name: row for row in _ROWS}
