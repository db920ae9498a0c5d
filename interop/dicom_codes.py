"""The codes of DICOM audit messages: PS3.15 A.5.1.2, and the meanings of PS3.16 annex D."""

from __future__ import annotations

from typing import NamedTuple

from domain.event import Action, Outcome

APPLICATION, LAUNCHER, DESTINATION, SOURCE = "110150", "110151", "110152", "110153"
MEANINGS = {
    "110100": "Application Activity",
    "110101": "Audit Log Used",
    "110106": "Export",
    "110107": "Import",
    "110108": "Network Entry",
    "110113": "Security Alert",
    "110114": "User Authentication",
    "110120": "Application Start",
    "110121": "Application Stop",
    "110122": "Login",
    "110123": "Logout",
    "110124": "Attach",
    "110125": "Detach",
    "110126": "Node Authentication",
    "110127": "Emergency Override Started",
    "110131": "Software Configuration",
    "110132": "Use of Restricted Function",
    "110133": "Audit Recording Stopped",
    "110134": "Audit Recording Started",
    "110136": "Security Roles Changed",
    "110138": "Emergency Override Stopped",
    APPLICATION: "Application",
    LAUNCHER: "Application Launcher",
    DESTINATION: "Destination Role ID",
    SOURCE: "Source Role ID",
    "rest": "RESTful Operation",
}
"""Of DICOM's codes, and of the one general code of FHIR's audit-event-type."""

OUTCOMES = {
    Outcome.SUCCESS: "0",
    Outcome.MINOR_FAILURE: "4",
    Outcome.SERIOUS_FAILURE: "8",
    Outcome.MAJOR_FAILURE: "12",
}
SERVICE_ROLES = {"record.exported": SOURCE, "record.disclosed": SOURCE, "record.imported": DESTINATION}
"""The role of the reporting service in a transfer. In any other event it is the application."""
LAUNCHES = {"service.started", "service.stopped", "service.restarted"}

LIFE_CYCLES = {
    "record.exported": "10",
    "record.imported": "2",
    "record.disclosed": "11",
    "subject.erased": "15",
}
"""Of the objects of these types; the objects of any other type have that of the action."""
LIFE_CYCLES_OF_ACTIONS = {Action.CREATE: "1", Action.READ: "6", Action.UPDATE: "3", Action.DELETE: "14"}


class IdType(NamedTuple):
    """What the id of a participant object is."""

    code: str
    meaning: str
    system: str = "RFC-3881"


PATIENT_NUMBER = IdType("2", "Patient Number")
SEARCH_CRITERIA = IdType("10", "Search Criteria")
URI = IdType("12", "URI")
REQUEST_ID = IdType(
    "XrequestId", "X-Request-Id", "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
)


class ObjectRole(NamedTuple):
    """ParticipantObjectTypeCode and ParticipantObjectTypeCodeRole."""

    type: str
    role: str


PATIENT = ObjectRole("1", "1")
RESOURCE = ObjectRole("2", "4")
SECURITY_RESOURCE = ObjectRole("2", "13")
JOB = ObjectRole("2", "20")
QUERY = ObjectRole("2", "24")
LOG_NAME = "Security Audit Log"
"""The name that A.5.3.2 prescribes for the audit log."""
