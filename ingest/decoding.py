"""Convert Kafka records to events, or to dead letters with the whole record."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, Protocol
from uuid import UUID

import structlog
from msgspec.structs import replace

from domain.errors import Reason, RejectedError
from event_store.append import NewEvent
from event_store.dead_letters import NewDeadLetter
from ingest.records.unread import KEY_AND_HEADERS_BYTES, Unread, headers_size, larger_part
from interop.decoding import decode
from interop.systems import OWN, Systems

log = structlog.get_logger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999. A producer may send any 64-bit number as the timestamp of a record."""


class Record(Protocol):
    """The used fields of kafka-python's ConsumerRecord."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Decoded(NamedTuple):
    """The decoded records of one stream: each record is in exactly one of the lists."""

    events: list[NewEvent]
    dead_letters: list[NewDeadLetter]
    newest: dict[str, datetime]
    """The newest `occurred_at` of each reporting service."""
    counts: dict[str, int]
    """The number of events of each reporting service."""


def decode_records(
    stream: UUID, records: Sequence[Record], max_bytes: int, systems: Systems = OWN
) -> Decoded:
    """Decode the records of one partition. A rejected record does not stop the others."""
    events: list[NewEvent] = []
    letters: list[NewDeadLetter] = []
    newest: dict[str, datetime] = {}
    counts: dict[str, int] = {}
    for record in records:
        if isinstance(record.value, Unread):
            letters.append(unread_letter(stream, record, record.value))
            continue
        try:
            if record.headers or len(record.key or b"") > KEY_AND_HEADERS_BYTES:
                _check_key_and_headers(record)
            received = decode(
                record.value,
                record.headers,
                max_bytes=max_bytes,
                received_at=_time(record.timestamp),
                systems=systems,
            )
        except RejectedError as exc:
            letters.append(dead_letter(stream, record, exc))
        except Exception as exc:  # noqa: BLE001 - top level of the loop: a defect of a decoder must not stop a partition
            log.warning(
                "decoder_failed",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                **_where(exc),
            )
            letters.append(dead_letter(stream, record, _defect(exc)))
        else:
            event = received.event
            service, occurred_at = event.source.service, event.occurred_at
            if occurred_at > newest.get(service, _EPOCH):
                newest[service] = occurred_at
            counts[service] = counts.get(service, 0) + 1
            events.append(
                NewEvent(
                    event.event_id,
                    stream,
                    record.offset,
                    event.type,
                    occurred_at,
                    received.format,
                    received.body,
                )
            )
    return Decoded(events, letters, newest, counts)


def _check_key_and_headers(record: Record) -> None:
    """Raise `RejectedError` (field: the larger part) when key and headers exceed their limit together."""
    key = len(record.key or b"")
    headers = headers_size(record.headers) if record.headers else 0
    if part := larger_part(key, headers):
        raise RejectedError(
            Reason.OVERSIZED,
            f"a key of {key} and headers of {headers} bytes are more than the {KEY_AND_HEADERS_BYTES} bytes"
            " allowed together",
            field=part,
        )


def dead_letter(stream: UUID, record: Record, fault: RejectedError) -> NewDeadLetter:
    """The dead letter of a whole record, with the reason of its rejection."""
    return NewDeadLetter(
        stream,
        record.topic,
        record.partition,
        record.offset,
        _time(record.timestamp),
        record.key,
        record.value,
        [(name, value or b"") for name, value in record.headers or ()],
        fault.reason,
        # A field path can contain a name that the sender chose, even with a lone surrogate, which is not UTF-8.
        fault.field.encode("utf-8", "replace").decode(),
        fault.message.encode("utf-8", "replace").decode(),
    )


def unread_letter(stream: UUID, record: Record, value: Unread) -> NewDeadLetter:
    """The dead letter of a record or batch that was not read whole: its stored part, and the details of `value`."""
    account = value.account
    letter = dead_letter(stream, record, RejectedError(account.reason, account.message, field=account.field))
    return replace(
        letter,
        offset=account.offset,
        value=None if account.null else bytes(value),
        value_cut=account.value,
        key_cut=account.key,
        headers_cut=account.headers,
        batch=account.batch,
    )


def unstorable(stream: UUID, record: Record) -> NewDeadLetter:
    """The dead letter of a message that the database refuses to store."""
    return dead_letter(
        stream,
        record,
        RejectedError(
            Reason.UNSTORABLE, "the database refuses to store this message; requeue it after an update"
        ),
    )


def conflict(stream: UUID, record: Record) -> NewDeadLetter:
    """The dead letter of a record whose event id exists with other content."""
    return dead_letter(
        stream,
        record,
        RejectedError(
            Reason.CONFLICT, "another event has this id; send a new event under a new id", field="event_id"
        ),
    )


@lru_cache(maxsize=64)  # records of one producer batch mostly share it
def _time(timestamp_ms: int) -> datetime | None:
    """The Kafka timestamp of a record; None when it is out of range."""
    if 0 <= timestamp_ms <= _LATEST_MS:
        return _EPOCH + timedelta(milliseconds=timestamp_ms)
    return None


def _defect(exc: Exception) -> RejectedError:
    return RejectedError(
        Reason.UNKNOWN_FORMAT, f"the decoder failed ({type(exc).__name__}); requeue it after an update"
    )


def _where(exc: Exception) -> dict[str, object]:
    """The type and location of a defect. The message is omitted because it can quote patient data."""
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    return {"error": type(exc).__name__, "file": frame.filename, "line": frame.lineno}
