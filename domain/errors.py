"""The exception tree of Audit Trail.

    AuditTrailError
    ├── RejectedError            reject: the input is refused; it becomes a dead letter or a 4xx answer
    │   ├── InvalidEventError
    │   └── ConflictError        reject: valid alone, but it contradicts the rest or the stored state; a 409 answer
    ├── UnstorableError          reject: the database refuses a row, and would refuse it again
    ├── UnauthenticatedError     reject: the client is not authenticated; a 401 answer
    ├── AccessDeniedError        reject: the principal may not do this; a 403 answer
    ├── ProofError               reject: a key, signed note, tree head or proof is malformed or does not verify
    ├── UnavailableError         retry: a service that we need is away; nothing was committed
    │   ├── TooSlowError         retry: the database exceeded the statement time-out
    │   ├── LockedError          retry: another session holds a lock in the database that we need
    │   ├── ThrottledError       retry: a service asked us to wait for some seconds
    │   ├── UnwitnessedError     retry: no signed head satisfies the witness policy yet
    │   ├── UnprovenClaimError   retry: somebody claims, without proof, that the log contradicts itself
    │   └── UnrecordedError      retry: a read can't be recorded, so it is not answered
    ├── FencedError              retry: another process has moved on; read the position again
    ├── LogInconsistentError     stop: the log contradicts itself; refuse to write
    │   ├── EventAlteredError    stop: a stored event differs from the sealed one
    │   └── ForkedError          stop: the log does not continue a head that its own key has signed
    └── ConfigurationError       stop: an operator must change a setting

Every exception belongs to one of the three kinds of failure: **reject**, **retry** or **stop**.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from enum import StrEnum
from typing import TypedDict


class AuditTrailError(Exception):
    """The base class of all exceptions that Audit Trail raises."""


class Reason(StrEnum):
    """Why a message became a dead letter. The values are stored and part of the API; never rename one."""

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
    """Reject: the input is not acceptable as it is.

    `field` is a path such as ``patients[0].id``, or empty when no single field is at fault. The message says what to
    change. It never quotes a value, because values may be patient data.
    """

    def __init__(self, reason: Reason, message: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.reason = reason
        self.message = message
        self.field = field


class InvalidEventError(RejectedError):
    """Reject: the message is readable but is not a valid audit event."""


class ConflictError(RejectedError):
    """Reject: each argument is valid alone, but together, or with the stored state, they contradict each other."""


class UnstorableError(AuditTrailError):
    """Reject: the database refuses the content of a row, and would refuse it again. `code` is the SQLSTATE."""

    def __init__(self, code: str) -> None:
        super().__init__(f"the database refuses to store a row (SQLSTATE {code})")
        self.code = code


class UnauthenticatedError(AuditTrailError):
    """Reject: credentials are missing or invalid. The message is for the client and contains no secret.

    `code` is from RFC 6750: ``invalid_token`` for an invalid token, ``""`` when the client sent none.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class AccessDeniedError(AuditTrailError):
    """Reject: the principal may not do this. The message does not reveal whether the requested object exists.

    `roles`: the roles that allow the operation, given only when the principal has none of them.
    """

    def __init__(self, operation: str = "", roles: Iterable[str] = ()) -> None:
        needed = ", ".join(sorted(roles))
        super().__init__(
            "not allowed with these credentials"
            + (f": {operation} needs one of the roles {needed}" if needed else "")
        )
        self.operation = operation


class ProofError(AuditTrailError):
    """Reject: a key, signed note, tree head or proof is malformed or does not verify."""


class UnavailableError(AuditTrailError):
    """Retry: the database or the broker is away. Nothing was committed."""


class TooSlowError(UnavailableError):
    """Retry: the database exceeded the statement time-out. A narrower request may succeed."""

    def __init__(self, message: str = "the database took longer than the statement time-out") -> None:
        super().__init__(message)


class LockedError(UnavailableError):
    """Retry: another session holds a lock in the database that this needs."""

    def __init__(
        self,
        message: str = "another session holds a lock that this needs: end its transaction (see pg_locks and"
        " pg_stat_activity), then try again",
    ) -> None:
        super().__init__(message)


class ThrottledError(UnavailableError):
    """Retry: a service asked us to wait. `seconds` is the delay, already bounded."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class UnwitnessedError(UnavailableError):
    """Retry: no signed head that covers the event satisfies the witness policy yet. Clients see this message too."""


class UnprovenClaimError(UnavailableError):
    """Retry: a third party claims, without proof, that the log has two histories. The claim may be wrong or a lie."""


class UnrecordedError(UnavailableError):
    """Retry: the read can't be recorded, so there is no answer."""

    def __init__(self) -> None:
        super().__init__("the read can't be recorded now, so it is not answered; try again")


class FencedError(AuditTrailError):
    """Retry: another writer took the expected offset or version. Nothing was committed."""


class LogInconsistentError(AuditTrailError):
    """Stop: the log contradicts itself, or Kafka lost unread records.

    Writing resumes only after an operator's decision.
    """


class EventAlteredError(LogInconsistentError):
    """Stop: the event stored at a position is not the one that was sealed there. Clients see this message too."""

    def __init__(self, position: int) -> None:
        super().__init__(
            f"the event at position {position} is not the one that was signed: run `audit-trail verify`"
        )
        self.position = position


class ForkedError(LogInconsistentError):
    """Stop: a key of the log has signed a head that the log does not continue.

    Either somebody changed or truncated the log, or its key has signed two histories. `size` and `root` are the head's.
    """

    def __init__(self, message: str, size: int, root: bytes) -> None:
        super().__init__(message)
        self.size = size
        self.root = root


class ConfigurationError(AuditTrailError):
    """Stop: a setting, a grant or a migration is missing or wrong; the message names it."""


class Origin(TypedDict):
    """Kind and place of a defect."""

    error: str
    at: list[str]


def origin(exc: BaseException) -> Origin:
    """Kind and place of a defect, for the log. Its message is left out, since it can quote patient data."""
    frames = traceback.extract_tb(exc.__traceback__)
    return {"error": type(exc).__name__, "at": [f"{frame.filename}:{frame.lineno}" for frame in frames[-5:]]}
