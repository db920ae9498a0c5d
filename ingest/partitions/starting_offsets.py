"""Where to read on: the store's offset of each partition, compared with what Kafka still has.

Every way in which records could have gone unread is a loss. A loss stops ingest, unless an operator has accepted it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from kafka import TopicPartition

from domain.catalogue import TRAIL_SERVICE
from domain.errors import FencedError, LogInconsistentError
from domain.event import Source
from domain.recording_gap import Decision
from event_store.database import Connection, Database
from event_store.gaps import Move, append_gaps, restore_topic
from event_store.signing import HeadSigner
from event_store.streams import AcceptedHole, StoredStream, kafka_stream_id, open_kafka_stream, streams_of
from ingest.partitions.log import PartitionLog, Question
from ingest.partitions.losses import Situation, losses
from ingest.partitions.topics import Topic

Look = Callable[[Mapping[TopicPartition, Question]], Mapping[TopicPartition, PartitionLog]]
"""Asks Kafka about partitions."""
Doubted = Mapping[TopicPartition, int | None]
"""Partitions whose fetch failed, with the offset from which Kafka says that its log differs, or None."""


class OpenedStream(NamedTuple):
    """A partition that may be read from `next_offset` on."""

    stream: UUID
    next_offset: int
    accepted_holes: tuple[AcceptedHole, ...]


class Acceptance(NamedTuple):
    """Who accepts losses, and what records that in the log."""

    decision: Decision
    source: Source
    signer: HeadSigner


def own_source() -> Source:
    """The source of events that ingest itself records."""
    return Source(service=TRAIL_SERVICE, instance=socket.gethostname() or None)


class RecordsLostError(LogInconsistentError):
    """Stop: Kafka has lost records that were never read. Every partition and offset concerned is in the message."""

    def __init__(self, moves: Sequence[Move]) -> None:
        super().__init__(
            "Kafka lost records before they were read: "
            + "; ".join(str(move.gap) for move in moves)
            + ". Restore the topic if you can. To go on without them, see `audit-trail offsets list` and"
            " `audit-trail offsets accept`"
        )
        self.moves = tuple(moves)


def open_streams(
    database: Database,
    topics: Mapping[str, Topic],
    partitions: Collection[TopicPartition],
    look: Look,
    *,
    doubted: Doubted,
    with_holes: Collection[TopicPartition],
    accepted: Acceptance | None,
) -> tuple[dict[TopicPartition, OpenedStream], tuple[Move, ...]]:
    """The stream of each partition, with the offset to read next; and the losses that were accepted now.

    `with_holes`: partitions in which a hole between batches was found; they are searched for all holes.
    Raises `RecordsLostError` when records are lost and nobody has `accepted` that; nothing is changed then. Raises
    `FencedError` when another process appends meanwhile.
    """
    with database.transaction() as connection:
        found = examine(connection, topics, partitions, look, doubted=doubted, with_holes=with_holes)
        if found:
            if accepted is None:
                raise RecordsLostError(found)
            accept(connection, topics, partitions, found, accepted)
        return _opened(connection, topics, partitions), tuple(found)


def examine(
    connection: Connection,
    topics: Mapping[str, Topic],
    partitions: Collection[TopicPartition],
    look: Look,
    *,
    doubted: Doubted,
    with_holes: Collection[TopicPartition],
    with_damage: bool = False,
) -> list[Move]:
    """What is lost of these partitions, and of the topics that they replaced. Changes nothing.

    `with_damage`: a damaged batch counts as lost, where `with_holes` asks for more than the next batch.

    Raises `FencedError` when another process moves one of these streams meanwhile.
    """
    rows = streams_of(connection, topics)
    ours = {(row.topic_id, row.partition): row for row in rows}
    questions = {}
    for at in sorted(partitions):
        row = ours.get((topics[at.topic].id, at.partition))
        place = (row.next_offset, row.leader_epoch) if row else (0, -1)
        questions[at] = Question(*place, holes=at in with_holes)
    # Kafka is asked after the store: asked before, its end would be behind what another process appends meanwhile.
    logs = look(questions)
    ids = {name: topic.id for name, topic in topics.items()}
    found = losses(Situation(ids, rows, logs, doubted, with_damage))
    concerned = {move.gap.stream for move in found}
    if found and _places(streams_of(connection, topics), concerned) != _places(rows, concerned):
        raise FencedError("the partitions are being read by another process")
    return found


def accept(
    connection: Connection,
    topics: Mapping[str, Topic],
    partitions: Collection[TopicPartition],
    found: Sequence[Move],
    accepted: Acceptance,
) -> None:
    """Record these losses as accepted, and move the streams on. A topic that replaced another one gets its streams."""
    append_gaps(connection, found, accepted.decision, accepted.source, accepted.signer)
    for replacing in {move.replaced_by for move in found if move.replaced_by}:
        restore_topic(connection, replacing)
        for at in partitions:
            if topics[at.topic].id == replacing:
                open_kafka_stream(connection, at.topic, replacing, at.partition)


def _opened(
    connection: Connection, topics: Mapping[str, Topic], partitions: Collection[TopicPartition]
) -> dict[TopicPartition, OpenedStream]:
    for at in sorted(partitions):
        open_kafka_stream(connection, at.topic, topics[at.topic].id, at.partition)
    rows = {row.stream: row for row in streams_of(connection, topics)}
    opened = {}
    for at in sorted(partitions):
        row = rows[kafka_stream_id(topics[at.topic].id, at.partition)]
        opened[at] = OpenedStream(row.stream, row.next_offset, row.accepted_holes)
    return opened


def _places(rows: Sequence[StoredStream], streams: Collection[UUID]) -> set[tuple[UUID, int, UUID | None]]:
    return {(row.stream, row.next_offset, row.replaced_by) for row in rows if row.stream in streams}
