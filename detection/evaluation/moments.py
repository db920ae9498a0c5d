"""Times as whole microseconds since 1970, which compare fast and are kept exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNIT = timedelta(microseconds=1)


def moment(at: datetime) -> int:
    """A time in microseconds."""
    return (at - EPOCH) // _UNIT


def duration(seconds: int) -> str:
    """A duration in words: whole days without a time of day."""
    return str(timedelta(seconds=seconds)).removesuffix(", 0:00:00")


def as_datetime(microseconds: int) -> datetime:
    """The time, in UTC."""
    return EPOCH + timedelta(microseconds=microseconds)
