"""What one check of a target found."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

_MAX_REASON = 1000


class ErrorClass(StrEnum):
    """Why a check failed. The values are in events and metrics; never rename one."""

    TIMEOUT = "timeout"
    NAME = "name_not_resolved"
    REFUSED = "connection_refused"
    NETWORK = "network"
    TLS = "tls"
    UNTRUSTED = "certificate_untrusted"
    EXPIRED = "certificate_expired"
    EXPIRES = "certificate_expires"
    PROTOCOL = "not_http"
    STATUS = "unexpected_status"
    BODY = "unexpected_body"
    AWAY = "service_away"
    DENIED = "access_refused"
    TOPIC = "topic_missing"
    LEADER = "partition_without_leader"
    SECRET = "secret_unreadable"  # noqa: S105 - the name of a class


class CheckError(Struct, frozen=True):
    """A failed check. `reason` is a sentence for people; it holds no secret and nothing of the target's answer."""

    kind: ErrorClass
    reason: str

    @classmethod
    def of(cls, kind: ErrorClass, reason: str) -> CheckError:
        """The error with a reason that fits into an event, whatever a server's name for itself is."""
        shown = "".join(each if each.isprintable() else " " for each in reason)
        return cls(kind, shown[:_MAX_REASON] or kind.value)


class Finding(Struct, frozen=True, kw_only=True):
    """What a check found: no `error` means good.

    `incarnation` is the target's start time or boot id, `expires_at` the end of its certificate.
    """

    error: CheckError | None = None
    incarnation: str | None = None
    expires_at: datetime | None = None


class Observation(Struct, frozen=True, kw_only=True):
    """A check of the target `name`: what it found, when it began, and how many seconds it took.

    `began` is `at` on the clock of `time.monotonic`, which nobody sets.
    """

    name: str
    at: datetime
    began: float
    seconds: float
    finding: Finding
