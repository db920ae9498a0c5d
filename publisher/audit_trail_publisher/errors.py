"""The exception tree of the publishing client.

    PublisherError
    ├── InvalidEventError        reject: the event is not valid; nothing was kept
    │   └── MissingActorError    reject: neither the call nor the context says who acted
    ├── BulkOperationError       reject: a statement on many rows can't be recorded; it was not executed
    ├── RejectedEventError       reject: the trail rejected the event; it is kept among the rejected events
    ├── SpoolFullError           retry: the spool has no room; nothing was kept
    ├── SpoolUnavailableError    retry: the spool can't be read or written; nothing was kept
    ├── NotConfirmedError        retry: the event is durable here, and is not known to be sealed yet
    ├── TransportError           retry: the trail can't be reached, or refuses this client; the events stay here
    │   └── DeniedError          retry: the credentials are missing, invalid or not sufficient
    ├── ProofError               stop: the trail sealed something other than this event
    ├── ClosedError              stop: the publisher is closed
    └── ConfigurationError       stop: an argument or a package is missing or wrong

No message quotes a value of an event, because values may be patient data.
"""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID


class Reason(StrEnum):
    """Why an event was rejected, in the words of the trail's dead letters."""

    INVALID_JSON = "invalid_json"
    INVALID_FIELD = "invalid_field"
    MISSING_FIELD = "missing_field"
    UNKNOWN_FIELD = "unknown_field"
    UNKNOWN_TYPE = "unknown_type"
    OVERSIZED = "oversized"
    TOO_DEEP = "too_deep"


class PublisherError(Exception):
    """The base class of all exceptions that the publishing client raises."""


class InvalidEventError(PublisherError):
    """Reject: the event is not valid, and was not kept.

    `field` is a path such as ``patients[0].id``, or empty when no single field is at fault. `message` says what to
    change.
    """

    def __init__(self, reason: Reason, message: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.reason = reason
        self.message = message
        self.field = field


class MissingActorError(InvalidEventError):
    """Reject: neither the call nor the context says who acted."""

    def __init__(self, type: str) -> None:
        super().__init__(
            Reason.MISSING_FIELD,
            f"{type} needs an actor: call it within `trail.actor(...)`, or give `actor=`; for work that nobody asked"
            " for give `actor=trail.itself`, and for somebody unknown `actor=UNKNOWN_ACTOR`",
            field="actor",
        )


class BulkOperationError(PublisherError):
    """Reject: a statement writes rows of an audited class that can't be recorded. It was not executed."""


class RejectedEventError(PublisherError):
    """Reject: the trail rejected the event. `trail.rejected()` has it, with the reason."""

    def __init__(self, event_id: UUID, reason: str, field: str, message: str) -> None:
        super().__init__(f"the trail rejected event {event_id} ({reason}): {field or 'the event'}: {message}")
        self.event_id = event_id
        self.reason = reason
        self.field = field
        self.message = message


class SpoolFullError(PublisherError):
    """Retry: the spool, or its disk, has no room. The event was not kept; no other event was dropped for it."""

    waited = False
    """Whether the call has waited for room (`when_full="block"`)."""


class SpoolUnavailableError(PublisherError):
    """Retry: the spool can't be read or written. The event was not kept."""


class NotConfirmedError(PublisherError):
    """Do not call again: the event is durable here and will be sent; it is not known to be sealed within the time-out.

    `state` says how far the event has come, and `last_error` what the relay or the trail answered last.
    """

    def __init__(self, event_id: UUID, state: str, last_error: str) -> None:
        super().__init__(f"event {event_id} {state}" + (f": {last_error}" if last_error else ""))
        self.event_id = event_id
        self.last_error = last_error


class TransportError(PublisherError):
    """Retry: the trail can't be reached, or can't accept events now.

    `retry_after`: the seconds that the trail asked to wait.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class DeniedError(TransportError):
    """Retry: the credentials are missing, invalid or not sufficient. The events stay here until an operator helps."""


ACCESS_DENIED = "access denied: "
"""How the last error of a spool or an outbox begins that is a `DeniedError`."""


class ProofError(PublisherError):
    """Stop: the inclusion proof is malformed, does not verify, or is that of another event."""


class ClosedError(PublisherError):
    """Stop: the publisher is closed."""

    def __init__(self) -> None:
        super().__init__("the publisher is closed")


class ConfigurationError(PublisherError):
    """Stop: an argument or a package is missing or wrong; the message names it."""
