"""The events of the trail's own sessions: sign-in, sign-out, failed sign-in and time-out.

DICOM PS3.15 A.5.3.12 (User Authentication), 45 CFR 164.308(a)(5)(ii)(C) (log-in monitoring).
"""

from __future__ import annotations

from enum import StrEnum

from domain.access.principal import Principal
from domain.event import Action, AuditEvent, Outcome, Resource, Source
from domain.read_audit.events import AccessDetails, shared_fields
from domain.read_audit.truncation import identifier

DASHBOARD = "Dashboard"
"""The resource type of the dashboard's sessions."""


class SignIn(StrEnum):
    """What happened to a session. The values are event types."""

    SIGNED_IN = "user.logged_in"
    SIGNED_OUT = "user.logged_out"
    FAILED = "user.login_failed"
    TIMED_OUT = "session.ended"


ENDS = (SignIn.SIGNED_OUT.value, SignIn.TIMED_OUT.value)
"""The types of the events after which a session is no longer in use."""


def sign_in_event(
    what: SignIn, principal: Principal | None, details: AccessDetails, source: Source
) -> AuditEvent:
    """The event. `details.reason` says why a sign-in failed or a session ended."""
    return AuditEvent(
        **shared_fields(principal, details, source)
        | {"outcome": Outcome.MINOR_FAILURE if what is SignIn.FAILED else Outcome.SUCCESS},
        type=what.value,
        action=Action.EXECUTE,
        resources=(Resource(type=DASHBOARD, id=identifier(details.address) or "/"),),
        attributes={"via": "dashboard"},
    )
