"""The one exception tree of Audit Trail.

    AuditTrailError
    ├── RejectedError            reject: this input is refused, it becomes a dead letter or a 4xx answer
    │   ├── InvalidEventError
    │   └── ConflictError        reject: right by itself, and not together with the rest or with what there is, a 409
    ├── UnstorableError          reject: the database refuses what it was given, and would refuse it again
    ├── UnauthenticatedError     reject: nobody knows who asks, a 401 answer
    ├── AccessDeniedError        reject: who asks may not do this, a 403 answer
    ├── ProofError               reject: a key, signed note, tree head or proof is malformed or does not verify
    ├── UnavailableError         retry: a service that we need is away, nothing was committed
    │   ├── TooSlowError         retry: the database took longer than a statement may
    │   ├── LockedError          retry: another session keeps a lock in the database that this needs
    │   ├── ThrottledError       retry: a service asked us to wait for some seconds
    │   ├── UnprovenClaimError   retry: somebody says that the log contradicts itself, and gives no proof
    │   └── UnrecordedError      retry: a read can't be put on record, so it is not answered
    ├── FencedError              retry: another process has moved on, read the position again
    ├── LogInconsistentError     stop: the log contradicts itself, refuse to write
    │   ├── EventAlteredError    stop: one event is not what was sealed
    │   └── ForkedError          stop: the log does not continue a head that its own key has signed
    └── ConfigurationError       stop: an operator has to change a setting

Every failure says which of the three it is: **reject**, **retry** or **stop**.
"""

from __future__ import annotations

from enum import StrEnum


class AuditTrailError(Exception):
    """The base of everything that Audit Trail raises on purpose."""


class Reason(StrEnum):
    """Why a message became a dead letter. The values are stored and shown; never rename one."""

    INVALID_JSON = "invalid_json"
    INVALID_ENCODING = "invalid_encoding"
    INVALID_FIELD = "invalid_field"
    MISSING_FIELD = "missing_field"
    UNKNOWN_FIELD = "unknown_field"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_FORMAT = "unknown_format"
    UNSUPPORTED_VERSION = "unsupported_version"
    OVERSIZED = "oversized"
    TOO_DEEP = "too_deep"
    TOMBSTONE = "tombstone"
    CONFLICT = "conflict"
    BROKEN_BATCH = "broken_batch"
    UNSTORABLE = "unstorable"


class RejectedError(AuditTrailError):
    """Reject: the input can't be accepted as it is.

    `field` is a path such as ``patients[0].id`` (empty when no one field is at fault) and the message says what to
    change. It never quotes a value, because values may be patient data.
    """

    def __init__(self, reason: Reason, message: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.reason = reason
        self.message = message
        self.field = field


class InvalidEventError(RejectedError):
    """Reject: a message that is readable but is no valid audit event."""


class ConflictError(RejectedError):
    """Reject: each thing that was asked is right by itself; together, or of what there is, it can't be answered."""


class UnstorableError(AuditTrailError):
    """Reject: the database refuses a row for what is in it, and would refuse it again. `code` is the SQLSTATE."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the database refuses to store a row (SQLSTATE {code})")
        self.code = code


class UnauthenticatedError(AuditTrailError):
    """Reject: there are no credentials, or they are not good. The message is for the client and holds no secret.

    `code` is RFC 6750's: ``invalid_token`` when there was a token, ``""`` when there was none.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class AccessDeniedError(AuditTrailError):
    """Reject: the principal may not do this. It tells no more than that, and not whether what was asked exists."""

    def __init__(self, operation: str = "") -> None:
        super().__init__("not allowed with these credentials")
        self.operation = operation


class ProofError(AuditTrailError):
    """Reject: a key, signed note, tree head or proof is malformed or does not verify."""


class UnavailableError(AuditTrailError):
    """Retry: the database or the broker is away. Nothing was committed."""


class TooSlowError(UnavailableError):
    """Retry: the database took longer than a statement may. Less may be asked for, too."""

    def __init__(self, message: str = "the database took longer than the statement time-out") -> None:
        super().__init__(message)


class LockedError(UnavailableError):
    """Retry: another session keeps a lock in the database that this needs."""

    def __init__(
        self,
        message: str = "another session keeps a lock that this needs: end its transaction, which pg_locks and"
        " pg_stat_activity show, then try again",
    ) -> None:
        super().__init__(message)


class ThrottledError(UnavailableError):
    """Retry: a service asked us to wait. `seconds` is how long, already bounded."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class UnprovenClaimError(UnavailableError):
    """Retry: somebody says that the log has two histories, and gives no proof of it. It may be wrong, or lie."""


class UnrecordedError(UnavailableError):
    """Retry: the read can't be put on record, so there is no answer."""

    def __init__(self) -> None:
        super().__init__("the read can't be put on record now, so it is not answered; try again")


class FencedError(AuditTrailError):
    """Retry: the expected offset or version has been taken by another writer. Nothing was committed."""


class LogInconsistentError(AuditTrailError):
    """Stop: the log contradicts itself, or Kafka lost unread records. Nothing is written before an operator decides."""


class EventAlteredError(LogInconsistentError):
    """Stop: the event stored at a position is not the one that was sealed there. Clients get this message too."""

    def __init__(self, position: int) -> None:
        super().__init__(
            f"the event at position {position} is not the one that was signed: run `audit-trail verify`"
        )
        self.position = position


class ForkedError(LogInconsistentError):
    """Stop: a key of the log has signed a head that the log does not continue.

    Either the log was changed or cut off, or its key has signed two histories. `size` and `root` are the head's.
    """

    def __init__(self, message: str, size: int, root: bytes) -> None:
        super().__init__(message)
        self.size = size
        self.root = root


class ConfigurationError(AuditTrailError):
    """Stop: a setting, a grant or a migration is missing or wrong; the message names it."""
