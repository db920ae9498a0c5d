"""Compare the side tables with the events: ids, versions, offsets, and data beyond the end of the log."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from domain import recording_gap
from domain.body import BodyFormat, read_event
from domain.errors import ProofError
from event_store.database import Connection, Database
from event_store.event_reader import log_size
from event_store.gaps import TRAIL_STREAM
from event_store.statements import load
from event_store.streams import kafka_stream_id
from event_store.tlog.cosignatures import check
from event_store.tlog.notes import Note, Signature, VerifierKey
from event_store.verify.findings import Finding, Resets, restarted

_SQL = load(__package__, "side_tables.sql")
_BEFORE_GAPS = UUID(int=0)
"""The gap id of resets that predate `recording.gap` events."""


def check_side_tables(database: Database, since: int) -> list[Finding]:
    """Check, in one snapshot, event ids, versions of aggregates, and rows, tiles and heads beyond the end."""
    with database.transaction(read_only=True) as connection:
        size = log_size(connection)
        return [
            *_beyond(connection, size),
            *_unrecorded_resets(connection),
            *_cosignatures(connection, since),
            *_known(
                connection,
                {"since": since, "aggregate": int(BodyFormat.AGGREGATE), "seed": secrets.randbits(62)},
            ),
        ]


def _known(connection: Connection, values: dict[str, int]) -> list[Finding]:
    """Compare event ids and versions of aggregates with the events."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["sums"], values)
        ids, versions, of_events, of_aggregates = cursor.fetchone() or ("", "", "", "")
        found = []
        if ids != of_events:
            cursor.execute(_SQL["unlike_ids"], values)
            found += _named(
                cursor.fetchall(), "its event id is not among the known ids", "the id {} is known"
            )
        if versions != of_aggregates:
            cursor.execute(_SQL["unlike_versions"], values)
            found += _named(
                cursor.fetchall(),
                "its version of the aggregate is not among the known ones",
                "a version of {} is known",
            )
        return found


def _named(rows: list[tuple[int, UUID | None]], unknown: str, stray: str) -> list[Finding]:
    return [
        Finding(position, unknown if id is None else f"{stray.format(id)}, but its event is not there")
        for position, id in rows
    ]


def check_offsets(
    database: Database, streams: Iterable[tuple[bytes, int, int]], resets: Resets
) -> list[Finding]:
    """Compare each `(stream, last stream position, its position)` with the next offset of the Kafka stream."""
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute(_SQL["streams"])
        rows = cursor.fetchall()
        cursor.execute(_SQL["aggregates"])
        aggregates = {stream.bytes for (stream,) in cursor.fetchall()}
        cursor.execute(_SQL["dead_letters"])
        letters = {stream.bytes: offset for stream, offset in cursor.fetchall()}
    found = [
        Finding(None, f"stream {stream} is not that of partition {partition} of the topic that it names")
        for stream, _, _, topic_id, partition in rows
        if stream != kafka_stream_id(topic_id, partition)
    ]
    offsets = {stream.bytes: rest for stream, *rest in rows}
    for stream, last, position in streams:
        if stream == TRAIL_STREAM.bytes:
            if last != position:
                found.append(
                    Finding(
                        position, "its stream position among the trail's own events differs from its position"
                    )
                )
            continue
        if stream not in offsets:
            if stream not in aggregates:
                what = (
                    f"its stream {UUID(bytes=stream)} belongs to neither a Kafka partition nor an aggregate"
                )
                found.append(Finding(position, what))
            continue
        next_offset, topic, _, partition = offsets[stream]
        if last >= next_offset and not restarted(resets, stream, position):
            found.append(
                Finding(
                    position,
                    f"it came from offset {last} of topic {topic}, partition {partition}, which is recorded as read"
                    f" up to {next_offset - 1}",
                )
            )
    found.extend(
        Finding(None, f"a dead letter is beyond the recorded offset of stream {UUID(bytes=stream)}")
        for stream, offset in letters.items()
        if stream in offsets and stream not in resets and offset >= offsets[stream][0]
    )
    return found


def stream_resets(database: Database) -> Resets:
    """The log sizes at which stream offsets restarted, because Kafka had lost records and an operator accepted that.

    A row counts only if its `recording.gap` event is in the log.
    """
    sizes: dict[bytes, tuple[int, ...]] = {}
    with database.transaction(read_only=True) as connection:
        for reset in _resets(connection):
            if reset.recorded:
                sizes[reset.stream.bytes] = (*sizes.get(reset.stream.bytes, ()), reset.size)
    return sizes


class _Reset(NamedTuple):
    stream: UUID
    size: int
    recorded: bool


def _resets(connection: Connection) -> list[_Reset]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL["resets"])
        return [
            _Reset(stream, size, gap == _BEFORE_GAPS or _is_recorded(stream, size, continued_from, event))
            for stream, size, continued_from, gap, *event in cursor.fetchall()
        ]


def _is_recorded(stream: UUID, size: int, continued_from: int, event: Sequence[Any]) -> bool:
    """Whether the event matches the row."""
    position, of_stream, format, body = event
    if (position, of_stream) != (size, TRAIL_STREAM):
        return False
    gap = read_event(format, bytes(body))
    found = gap.attributes.get("stream"), gap.attributes.get("continued_from")
    return gap.type == recording_gap.TYPE and found == (str(stream), continued_from)


def _unrecorded_resets(connection: Connection) -> list[Finding]:
    return [
        Finding(
            None, f"a reset of stream {reset.stream} at size {reset.size} has no {recording_gap.TYPE} event"
        )
        for reset in _resets(connection)
        if not reset.recorded
    ]


def _beyond(connection: Connection, size: int) -> list[Finding]:
    with connection.cursor() as cursor:
        cursor.execute(_SQL["beyond"], {"size": size})
        event, tile, signed = cursor.fetchone() or (None, None, None)
    found = []
    if event is not None:
        found.append(Finding(event, f"there is an event, although the log's state ends before {size}"))
    if tile is not None:
        found.append(Finding(None, f"tile {tile} is beyond the end of the log"))
    if signed is None and size:
        found.append(Finding(0, f"the log has {size} events and no signed head"))
    elif signed is not None and signed > size:
        found.append(
            Finding(size, f"a head of size {signed} was signed, but the log ends here: its tail is gone")
        )
    elif signed is not None and signed < size:
        found.append(Finding(signed, f"no signed head covers this and what follows, up to {size - 1}"))
    return found


def _cosignatures(connection: Connection, since: int) -> list[Finding]:
    """Verify each stored cosignature with its head and its key."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute(_SQL["cosignatures"], {"since": since})
        for size, vkey, line, note in cursor:
            try:
                check(VerifierKey.parse(vkey), Note.parse((note or "").encode()).text, Signature.parse(line))
            except ProofError:
                found.append(Finding(None, f"a cosignature of the head of size {size} does not verify"))
    return found
