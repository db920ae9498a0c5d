"""Split a refused batch into halves until the faulty message is isolated and becomes a dead letter."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from domain.errors import ConfigurationError, UnstorableError
from event_store.dead_letters import Cut, NewDeadLetter
from ingest.batch import Batch, Polled
from ingest.decoding import unstorable
from ingest.records.continuity import UNKNOWN
from ingest.records.unread import encode_headers


def pieces(batch: Batch, refusal: UnstorableError) -> list[Batch]:
    """The batches to append instead of `batch`, in order; together they cover the same offsets.

    Several records give two halves. A single record becomes a dead letter, and a refused dead letter becomes one
    without the message. Raises `ConfigurationError` (stop) when the database refuses that too.
    """
    if len(batch.polled) > 1:
        middle = len(batch.polled) // 2
        return [_part(batch, batch.polled[:middle]), _part(batch, batch.polled[middle:])]
    [polled] = batch.polled
    if len(polled.records) > 1:
        return [_part(batch, [half]) for half in _halves(polled)]
    if batch.events:
        [record] = polled.records
        return [batch._replace(events=[], dead_letters=[unstorable(polled.stream, record)])]
    if any(letter.key or letter.value or letter.headers for letter in batch.dead_letters):
        return [batch._replace(dead_letters=list(map(_bare, batch.dead_letters)))]
    raise ConfigurationError(
        f"{refusal}: not even the dead letter of topic {polled.partition.topic}, partition"
        f" {polled.partition.partition}, offset {polled.start} could be stored; see PostgreSQL's log"
    ) from refusal


def _halves(polled: Polled) -> tuple[Polled, Polled]:
    middle = len(polled.records) // 2
    boundary = polled.records[middle].offset
    # The mark identifies the Kafka batch at the end. With another offset, the next start would see a truncated log.
    return (
        polled._replace(next=boundary, records=polled.records[:middle], mark=UNKNOWN),
        polled._replace(start=boundary, records=polled.records[middle:]),
    )


def _part(batch: Batch, polled: Sequence[Polled]) -> Batch:
    within = {part.stream: range(part.start, part.next) for part in polled}
    return Batch(
        [event for event in batch.events if event.stream_position in within.get(event.stream, ())],
        [letter for letter in batch.dead_letters if _end(letter) in within.get(letter.stream, ())],
        list(polled),
        span=batch.span,
    )  # without counts and newest times, which are those of the whole batch


def _end(letter: NewDeadLetter) -> int:
    """The offset of the letter's record, or the last offset of its batch."""
    return letter.offset if letter.batch is None else letter.batch.last_offset


def _bare(letter: NewDeadLetter) -> NewDeadLetter:
    """The letter without the content of the message: only sizes and digests."""
    headers = encode_headers(letter.headers)
    return replace(
        letter,
        key=None,
        value=None,
        headers=[],
        field="",
        key_cut=letter.key_cut or Cut.of(letter.key),
        value_cut=letter.value_cut or Cut.of(letter.value),
        headers_cut=letter.headers_cut or (Cut.of(headers) if letter.headers else None),
    )
