"""The publishing client of Audit Trail: records who did what, and loses nothing on the way."""

from audit_trail_publisher.building import UNKNOWN_ACTOR
from audit_trail_publisher.context import Context, carry, current_context
from audit_trail_publisher.errors import PublisherError
from audit_trail_publisher.generated.event import (
    Action,
    Actor,
    ActorKind,
    AuditEvent,
    Change,
    Client,
    Coding,
    Device,
    Disclosure,
    Outcome,
    Patient,
    Request,
    Resource,
    Source,
)
from audit_trail_publisher.promises import Confirmation, Promise, Receipt
from audit_trail_publisher.publisher import Health, Publisher
from audit_trail_publisher.spool.spool import RejectedEvent
from audit_trail_publisher.trail import Channel, Trail
from audit_trail_publisher.values import field_changes

__all__ = [
    "UNKNOWN_ACTOR",
    "Action",
    "Actor",
    "ActorKind",
    "AuditEvent",
    "Change",
    "Channel",
    "Client",
    "Coding",
    "Confirmation",
    "Context",
    "Device",
    "Disclosure",
    "Health",
    "Outcome",
    "Patient",
    "Promise",
    "Publisher",
    "PublisherError",
    "Receipt",
    "RejectedEvent",
    "Request",
    "Resource",
    "Source",
    "Trail",
    "carry",
    "current_context",
    "field_changes",
]
