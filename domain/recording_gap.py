"""A recording gap: records that Kafka lost or can't deliver, and whose loss an operator accepted."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec import Struct, to_builtins

from domain.errors import ConfigurationError, InvalidEventError
from domain.event import AuditEvent, Source
from domain.validation import check, convert

TYPE = "recording.gap"


class Cause(StrEnum):
    """Why records are missing. The values are stored and part of the API; never rename one."""

    DELETED_BY_RETENTION = "deleted_by_retention"
    TRUNCATED = "truncated"
    TOPIC_MADE_AGAIN = "topic_made_again"
    PARTITION_STARTED_LATE = "partition_started_late"
    COMPACTED = "compacted"
    RECORDS_MISSING = "records_missing"
    DAMAGED = "damaged"


class RecordingGap(Struct, frozen=True, kw_only=True):
    """The missing records of one partition.

    They are at the offsets `first_lost_offset` to `last_lost_offset` (None when their number is unknown). `count` is
    the number of missing records, None when unknown. Ingest continues at offset `continued_from`.
    """

    topic: str
    topic_id: UUID
    partition: int
    stream: UUID
    cause: Cause
    first_lost_offset: int
    last_lost_offset: int | None
    count: int | None
    continued_from: int

    def __str__(self) -> str:
        first, last = self.first_lost_offset, self.last_lost_offset
        description = (
            _TO_THE_END if self.cause is Cause.DAMAGED and last is None else _DESCRIPTIONS[self.cause]
        )
        return f"topic {self.topic}, partition {self.partition}: " + description.format(
            first=first, last=last, count=self.count, continued=self.continued_from
        )


_DESCRIPTIONS = {
    Cause.DELETED_BY_RETENTION: "offsets {first} to {last} were deleted before they were read",
    Cause.TRUNCATED: (
        "Kafka's log is no longer the one that was read up to offset {first}: it was cut and written again from"
        " offset {continued} or later"
    ),
    Cause.TOPIC_MADE_AGAIN: (
        "the topic was deleted and made again, and nobody can say whether it had records from offset {first} on"
    ),
    Cause.PARTITION_STARTED_LATE: "offsets {first} to {last} were deleted before the partition was first read",
    Cause.COMPACTED: "{count} of the records at offsets {first} to {last} were removed by compaction",
    Cause.RECORDS_MISSING: "the records at offsets {first} to {last} are missing between others",
    Cause.DAMAGED: "the batch at offsets {first} to {last} is damaged in Kafka and can't be read",
}
_TO_THE_END = (
    "the batch at offset {first} is damaged in Kafka, and nothing can be read from it up to offset {continued},"
    " where the log ended"
)


class Decision(NamedTuple):
    """Who accepts the gaps, and why."""

    by: str
    reason: str

    @classmethod
    def of(cls, by: str, reason: str, *, settings: tuple[str, str] = ("--by", "--reason")) -> Decision:
        """A checked decision. Raises `ConfigurationError` when the name or the reason is empty or not UTF-8.

        `settings` are the names of the two inputs for the error message.
        """
        for value, name in zip((by, reason), settings, strict=True):
            if not value.strip():
                raise ConfigurationError(f"{name} is empty: say who accepts the lost records, and why")
            try:
                value.encode()
            except UnicodeEncodeError as exc:
                raise ConfigurationError(f"{name} must be UTF-8 text") from exc
        return cls(by.strip(), reason.strip())


def gap_event(
    gap: RecordingGap, decision: Decision, source: Source, event_id: UUID, at: datetime
) -> AuditEvent:
    """The `recording.gap` event: what is missing and who accepted it.

    Raises `ConfigurationError` when the name or the reason exceeds the limit of an event.
    """
    payload = {
        "event_id": str(event_id),
        "type": TYPE,
        "occurred_at": at.isoformat(),
        "source": to_builtins(source),
        "actor": {"id": decision.by},
        "reason": decision.reason,
        "resources": [{"type": "KafkaPartition", "id": f"{gap.topic}/{gap.partition}"}],
        "attributes": to_builtins(gap),
    }
    try:
        return check(convert(payload))
    except InvalidEventError as exc:
        raise ConfigurationError(
            f"the decision can't be recorded: {exc}. A name has at most 256 characters, a reason 65,536"
        ) from exc


def describe(event: AuditEvent) -> str:
    """A `recording.gap` event as one sentence."""
    gap = msgspec.convert(event.attributes, RecordingGap)
    return f"{gap}; accepted by {event.actor.id}: {event.reason}"
