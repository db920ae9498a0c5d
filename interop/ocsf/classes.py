"""The OCSF class and activity of each event type, as data (OCSF 1.9.0).

Where OCSF has no activity for what happened, the activity is 99, Other, with a name of ours. The class User Access
Management is deprecated since 1.9: roles and emergency access have User Management, as the schema tells.
"""

from __future__ import annotations

from typing import NamedTuple

from domain.event import Action

OTHER = 99


class EventClass(NamedTuple):
    """One OCSF class: its number, its captions and those of the activities that are used here.

    `attributes` are the names of those attributes of an event that the class takes; those in `of_host` it takes when
    the event lists the profile `host`.
    """

    uid: int
    caption: str
    category: str
    activities: dict[int, str]
    attributes: tuple[str, ...]
    of_host: tuple[str, ...] = ()


_HTTP = ("http_request", "http_response")
API = EventClass(
    6003,
    "API Activity",
    "Application Activity",
    {1: "Create", 2: "Read", 3: "Update", 4: "Delete"},
    ("actor", "api", "src_endpoint", "resources", *_HTTP),
    ("device",),
)
DATASTORE = EventClass(
    6005,
    "Datastore Activity",
    "Application Activity",
    {1: "Read", 2: "Update", 4: "Query", 7: "Delete"},
    ("actor", "database", "src_endpoint", *_HTTP),
    ("device",),
)
AUTHENTICATION = EventClass(
    3002,
    "Authentication",
    "Identity & Access Management",
    {1: "Logon", 2: "Logoff"},
    ("user", "service", "session", "known_src_endpoint", *_HTTP),
    ("device",),
)
USER_MANAGEMENT = EventClass(
    3007,
    "User Management",
    "Identity & Access Management",
    {2: "Update", 14: "Assign Privileges", 15: "Remove Privileges", 16: "Assign Roles", 17: "Remove Roles"},
    ("actor", "managed_user", "privileges", "iam_roles", "known_src_endpoint", "resources", *_HTTP),
    ("device",),
)
LIFECYCLE = EventClass(
    6002,
    "Application Lifecycle",
    "Application Activity",
    {3: "Start", 4: "Stop", 5: "Restart"},
    ("app",),
    ("actor", "device"),
)
APPLICATION_ERROR = EventClass(
    6008, "Application Error", "Application Activity", {1: "General Error"}, (), ("actor", "device")
)
CONFIGURATION = EventClass(
    5019, "Device Config State Change", "Discovery", {1: "Log"}, ("actor", "device_or_source")
)
INVENTORY = EventClass(5001, "Device Inventory Info", "Discovery", {}, ("actor", "device_or_source"))
EVENT_LOG = EventClass(
    1008,
    "Event Log Activity",
    "System Activity",
    {3: "Export", 6: "Start", 7: "Stop"},
    ("actor", "device", "log_name", "known_src_endpoint"),
)
FINDING = EventClass(
    2004,
    "Detection Finding",
    "Findings",
    {1: "Create", 2: "Update", 3: "Close"},
    ("finding_info", "device", "resources"),
    ("actor",),
)


class Activity(NamedTuple):
    """What a type is in OCSF. `name` is set for the activity `OTHER` alone."""

    event_class: EventClass
    id: int
    name: str | None = None

    @property
    def caption(self) -> str:
        """The activity's name: the schema's caption, or ours."""
        return self.name or self.event_class.activities[self.id]


API_OF_ACTIONS = {
    Action.CREATE: Activity(API, 1),
    Action.READ: Activity(API, 2),
    Action.UPDATE: Activity(API, 3),
    Action.DELETE: Activity(API, 4),
    Action.EXECUTE: Activity(API, OTHER, "Execute"),
}
"""For types whose activity is that of the action, such as a denied access: it is what was tried."""

OF_TYPES = {
    "record.created": Activity(API, 1),
    "record.read": Activity(API, 2),
    "record.searched": Activity(DATASTORE, 4),
    "record.updated": Activity(API, 3),
    "record.deleted": Activity(API, 4),
    "record.exported": Activity(DATASTORE, 1),
    "record.imported": Activity(API, 1),
    "record.disclosed": Activity(API, 2),
    "user.logged_in": Activity(AUTHENTICATION, 1),
    "user.logged_out": Activity(AUTHENTICATION, 2),
    "user.login_failed": Activity(AUTHENTICATION, 1),
    "session.started": Activity(AUTHENTICATION, 1),
    "session.ended": Activity(AUTHENTICATION, 2),
    "privilege.used": Activity(API, OTHER, "Use Privilege"),
    "role.changed": Activity(USER_MANAGEMENT, 2),
    "emergency_access.started": Activity(USER_MANAGEMENT, 14),
    "emergency_access.ended": Activity(USER_MANAGEMENT, 15),
    "configuration.changed": Activity(CONFIGURATION, 1),
    "device.connected": Activity(INVENTORY, OTHER, "Connect"),
    "device.disconnected": Activity(INVENTORY, OTHER, "Disconnect"),
    "service.started": Activity(LIFECYCLE, 3),
    "service.stopped": Activity(LIFECYCLE, 4),
    "service.restarted": Activity(LIFECYCLE, 5),
    "health_check.failed": Activity(APPLICATION_ERROR, 1),
    "health_check.recovered": Activity(APPLICATION_ERROR, OTHER, "Recover"),
    "observation.gap": Activity(APPLICATION_ERROR, 1),
    "api.called": Activity(API, OTHER, "Call"),
    "node.authentication_failed": Activity(AUTHENTICATION, 1),
    "audit_log.read": Activity(API, 2),
    "audit_recording.started": Activity(EVENT_LOG, 6),
    "audit_recording.stopped": Activity(EVENT_LOG, 7),
    "integrity_check.failed": Activity(FINDING, 1),
    "integrity_check.unconfirmed": Activity(FINDING, 1),
    "integrity_check.recovered": Activity(FINDING, 2),
    "integrity_check.answered": Activity(FINDING, 3),
    "recording.gap": Activity(EVENT_LOG, OTHER, "Accept Gap"),
    "dead_letters.risen": Activity(APPLICATION_ERROR, 1),
    "recording_clock.set_back": Activity(APPLICATION_ERROR, 1),
    "recording_clock.ahead": Activity(APPLICATION_ERROR, 1),
    "recording_clock.recovered": Activity(APPLICATION_ERROR, OTHER, "Recover"),
    "employee.asked": Activity(EVENT_LOG, OTHER, "Ask Employee"),
    "subject.erased": Activity(DATASTORE, 7),
    "projection.rebuilt": Activity(DATASTORE, 2),
    "projection.event_skipped": Activity(DATASTORE, OTHER, "Skip Event"),
    "projection.removed": Activity(DATASTORE, 7),
    "context.loaded": Activity(DATASTORE, 2),
    "operation.requested": Activity(API, OTHER, "Request Operation"),
    "operation.completed": Activity(API, OTHER, "Complete Operation"),
    "staff_disclosure.decided": Activity(API, OTHER, "Decide"),
    "access.questioned": Activity(API, OTHER, "Question Access"),
    "link.shared": Activity(API, OTHER, "Share"),
    "link.revoked": Activity(API, OTHER, "Revoke"),
}
"""A type that is not listed is API activity, by its action."""

EXPORT_OF_LOG = Activity(EVENT_LOG, 3)
"""Of `audit_log.read` when the log was exported."""
RESOLVED = {"integrity_check.recovered", "integrity_check.answered"}
"""Types after which a finding is no longer open."""
FAILED = {"user.login_failed", "access.denied", "node.authentication_failed", "health_check.failed"}
"""Types that report a failure whatever their outcome says."""
