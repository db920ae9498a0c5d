"""What is kept beside the events, against the events: ids, versions, offsets, and that nothing lies beyond the end."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from domain.body import BodyFormat
from domain.errors import ProofError
from event_store.database import Connection, Database
from event_store.tlog.cosignatures import check
from event_store.tlog.notes import Note, Signature, VerifierKey
from event_store.verify.findings import Finding

_UNKNOWN_ID = (
    "SELECT event.position FROM audit_trail.event LEFT JOIN audit_trail.event_identity AS known"
    " ON known.event_id = event.event_id AND known.position = event.position"
    " WHERE event.position >= %(since)s AND event.position < %(size)s AND known.event_id IS NULL"
    " ORDER BY event.position LIMIT 1"
)
_STRAY_ID = (
    "SELECT known.position, known.event_id FROM audit_trail.event_identity AS known LEFT JOIN audit_trail.event"
    " ON event.position = known.position AND event.event_id = known.event_id"
    " WHERE known.position >= %(since)s AND event.position IS NULL ORDER BY known.position LIMIT 1"
)
_UNKNOWN_VERSION = (
    "SELECT event.position FROM audit_trail.event LEFT JOIN audit_trail.aggregate_version AS known"
    " ON known.stream = event.stream AND known.stream_position = event.stream_position"
    " AND known.position = event.position WHERE event.format = %(aggregate)s"
    " AND event.position >= %(since)s AND event.position < %(size)s AND known.stream IS NULL"
    " ORDER BY event.position LIMIT 1"
)
_STRAY_VERSION = (
    "SELECT known.position, known.stream FROM audit_trail.aggregate_version AS known LEFT JOIN audit_trail.event"
    " ON event.position = known.position AND event.stream = known.stream"
    " WHERE known.position >= %(since)s AND event.position IS NULL ORDER BY known.position LIMIT 1"
)


def check_books(database: Database, since: int) -> list[Finding]:
    """In one snapshot: event ids, aggregates' versions, rows and tiles and heads beyond the end."""
    with database.transaction(read_only=True) as connection:
        size = _one(connection, "SELECT size FROM audit_trail.log_state")
        values = {"since": since, "size": size, "aggregate": int(BodyFormat.AGGREGATE)}
        return [
            *_beyond(connection, size),
            *_cosignatures(connection, since),
            *_first(connection, _UNKNOWN_ID, values, "its event id is not among the known ids"),
            *_first(connection, _STRAY_ID, values, "the id {} is known, but its event is not there"),
            *_first(connection, _UNKNOWN_VERSION, values, "its version of the aggregate is not among the known ones"),
            *_first(connection, _STRAY_VERSION, values, "a version of {} is known, but its event is not there"),
        ]  # fmt: skip


def check_offsets(
    database: Database, streams: Iterable[tuple[bytes, int, int]], resets: frozenset[bytes]
) -> list[Finding]:
    """Each `(stream, last stream position, its position)` against the offset that Kafka's stream is to go on at."""
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT stream, next_offset, topic, partition FROM audit_trail.kafka_stream")
        offsets = {stream.bytes: rest for stream, *rest in cursor.fetchall()}
        cursor.execute("SELECT DISTINCT stream FROM audit_trail.aggregate_version")
        aggregates = {stream.bytes for (stream,) in cursor.fetchall()}
        cursor.execute('SELECT stream, max("offset") FROM audit_trail.dead_letter GROUP BY stream')
        letters = {stream.bytes: offset for stream, offset in cursor.fetchall()}
    found = []
    for stream, last, position in streams:
        if stream in aggregates:
            continue
        if stream not in offsets:
            found.append(
                Finding(
                    position,
                    f"its stream {UUID(bytes=stream)} is neither a Kafka partition's nor an aggregate's",
                )
            )
            continue
        next_offset, topic, partition = offsets[stream]
        if last >= next_offset and stream not in resets:
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


def stream_resets(database: Database) -> list[bytes]:
    """Streams whose offsets began anew, since Kafka had lost records and an operator let ingest go on."""
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT stream FROM audit_trail.stream_reset")
        return [stream.bytes for (stream,) in cursor.fetchall()]


def _beyond(connection: Connection, size: int) -> list[Finding]:
    found = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(position) FROM audit_trail.event WHERE position < 0 OR position >= %s", (size,)
        )
        (stray,) = cursor.fetchone() or (None,)
        if stray is not None:
            found.append(Finding(stray, f"there is an event, although the log's state ends before {size}"))
        cursor.execute(
            "SELECT level, index FROM audit_trail.tile WHERE (index + 1)::numeric * power(256::numeric, level + 1) > %s"
            " ORDER BY level, index LIMIT 1",
            (size,),
        )
        tile = cursor.fetchone()
        if tile is not None:
            found.append(Finding(None, f"tile {tile[0]}/{tile[1]} is beyond the end of the log"))
        cursor.execute("SELECT max(size) FROM audit_trail.tree_head")
        (signed,) = cursor.fetchone() or (None,)
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
    """Each stored cosignature against the head that it stands beside and the key that it names."""
    found = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT cosignature.size, cosignature.vkey, cosignature.line, tree_head.note FROM audit_trail.cosignature"
            " LEFT JOIN audit_trail.tree_head USING (size) WHERE cosignature.size >= %s ORDER BY cosignature.size",
            (since,),
        )
        for size, vkey, line, note in cursor:
            try:
                check(VerifierKey.parse(vkey), Note.parse((note or "").encode()).text, Signature.parse(line))
            except ProofError:
                found.append(Finding(None, f"a cosignature of the head of size {size} does not verify"))
    return found


def _first(connection: Connection, statement: str, values: dict[str, int], what: str) -> list[Finding]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        row = cursor.fetchone()
    return [] if row is None else [Finding(row[0], what.format(*row[1:]))]


def _one(connection: Connection, statement: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
    return 0 if row is None else int(row[0])
