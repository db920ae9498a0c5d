"""Compute the lost records, without I/O, from the store's offsets and Kafka's current logs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from kafka import TopicPartition

from domain.recording_gap import Cause, RecordingGap
from event_store.gaps import Move
from event_store.streams import AcceptedHole, StoredStream, kafka_stream_id
from ingest.partitions.damage import Damage
from ingest.partitions.log import PartitionLog
from ingest.records.continuity import is_accepted


class Situation(NamedTuple):
    """The input of `losses`: ids of existing topics, all streams of these names, and Kafka's current logs.

    `suspected`: partitions whose fetch failed, with the offset where Kafka says that its log diverges, or None.
    `damage`: whether a damaged batch counts as a loss. By default it only stops its own partition, because its replica
    may be restored.
    """

    topics: Mapping[str, UUID]
    rows: Sequence[StoredStream]
    logs: Mapping[TopicPartition, PartitionLog]
    suspected: Mapping[TopicPartition, int | None]
    damage: bool = False


def losses(now: Situation) -> list[Move]:
    """All losses, in order of topic and partition."""
    rows = {(row.topic_id, row.partition): row for row in now.rows}
    found = [move for name, id in sorted(now.topics.items()) for move in _made_again(name, id, now.rows)]
    for at, log in sorted(now.logs.items()):
        row = rows.get((log.topic_id, at.partition))
        if row is None:
            row = _never_read(at, log.topic_id)
            found += _started_late(row, log)
        else:
            found += _lost(row, log, at in now.suspected, now.suspected.get(at))
        if now.damage and log.damage is not None and not _is_cut(found, row):
            found += _damaged(row, log.damage)
    return found


def _is_cut(found: Sequence[Move], row: StoredStream) -> bool:
    """Whether the next offset of the stream belongs to a truncated log."""
    return any(move.gap.stream == row.stream and move.gap.cause is Cause.TRUNCATED for move in found)


def _never_read(at: TopicPartition, topic_id: UUID) -> StoredStream:
    stream = kafka_stream_id(topic_id, at.partition)
    return StoredStream(stream, at.topic, topic_id, at.partition, 0, -1, None, (), None)


def _made_again(name: str, topic_id: UUID, rows: Sequence[StoredStream]) -> Iterator[Move]:
    """Losses of recreated topics. Nobody can prove that the old topic was read to its end.

    Kafka never reuses a topic id.
    """
    current = [row for row in rows if row.topic == name and row.replaced_by is None]
    if topic_id in {row.topic_id for row in current}:
        return
    for row in current:
        gap = _gap(row, Cause.TOPIC_MADE_AGAIN, row.next_offset, continued_from=0)
        yield Move(gap, row.next_offset, replaced_by=topic_id)


def _started_late(row: StoredStream, log: PartitionLog) -> Iterator[Move]:
    """The loss of a partition that was never read and does not begin at offset 0."""
    if log.first > 0:
        gap = _gap(row, Cause.PARTITION_STARTED_LATE, 0, log.first - 1, continued_from=log.first)
        yield Move(gap, 0)


def _damaged(row: StoredStream, damage: Damage) -> Iterator[Move]:
    """The loss of a damaged batch at the next offset to read. Later batches are not examined before that."""
    if damage.following is not None:
        gap = _gap(row, Cause.DAMAGED, damage.first, damage.last, continued_from=damage.following)
        yield Move(gap, damage.first)


def _lost(row: StoredStream, log: PartitionLog, suspected: bool, cut: int | None) -> Iterator[Move]:
    at = row.next_offset
    if at < log.first:
        gap = _gap(row, Cause.DELETED_BY_RETENTION, at, log.first - 1, continued_from=log.first)
        yield Move(gap, at)
        at = log.first
    elif _is_another_log(row, log, suspected, cut):
        # Nobody knows where the two logs diverge, so the whole log is read; known events are dropped.
        yield Move(_gap(row, Cause.TRUNCATED, at, continued_from=log.first), at)
        return
    yield from _holes(row, log, at)


def _is_another_log(row: StoredStream, log: PartitionLog, suspected: bool, cut: int | None) -> bool:
    """Whether Kafka's log was truncated below the store's offset, even if it has grown past it again."""
    at = row.next_offset
    if row.batch_crc is not None and log.before is not None and log.before.crc is not None:
        # The last batch that was read is decisive. A leader epoch can recur after a restore.
        return log.before.crc != row.batch_crc
    if log.beyond or (cut is not None and cut < at):
        return True
    if log.epoch_end is not None and log.first < at and log.epoch_end < at:
        return True
    # Without leader epochs the end may be slightly low (the embedded broker), and so proves little.
    return log.end < at and (suspected or (log.reliable and log.epoch_end is None))


def _holes(row: StoredStream, log: PartitionLog, expected: int) -> Iterator[Move]:
    new = [hole for hole in log.holes if not is_accepted(hole, row.accepted_holes)]
    known = tuple(hole for hole in row.accepted_holes if hole.last >= expected)
    holes = (*known, *(AcceptedHole(hole.first, hole.last, hole.missing) for hole in new))
    for hole in new:
        cause = Cause.COMPACTED if hole.inside else Cause.RECORDS_MISSING
        gap = _gap(row, cause, hole.first, hole.last, count=hole.missing, continued_from=hole.last + 1)
        yield Move(gap, expected, holes=holes)


def _gap(
    row: StoredStream,
    cause: Cause,
    first: int,
    last: int | None = None,
    *,
    continued_from: int,
    count: int | None = None,
) -> RecordingGap:
    return RecordingGap(
        topic=row.topic,
        topic_id=row.topic_id,
        partition=row.partition,
        stream=row.stream,
        cause=cause,
        first_lost_offset=first,
        last_lost_offset=last,
        count=count if count is not None or last is None else last - first + 1,
        continued_from=continued_from,
    )
