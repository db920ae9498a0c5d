"""Query the leader of a partition: where its log begins and ends, and which batch is at an offset.

This module uses protocol requests directly, because kafka-python's consumer does not expose batches and their leader
epochs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResourceType
from kafka.errors import (
    IncompatibleBrokerVersion,
    KafkaError,
    OffsetOutOfRangeError,
    ThrottlingQuotaExceededError,
    UnknownTopicOrPartitionError,
    for_code,
)
from kafka.protocol.admin import DescribeConfigsRequest
from kafka.protocol.consumer import FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest

from ingest.partitions.damage import DAMAGED, LARGE_FETCH, MIN_FETCH, Damage, Probe, listed
from ingest.records.continuity import UNKNOWN, BatchMark, Hole, hole_before, hole_inside, is_checked
from ingest.records.unreadable import misplaced

MAX_HOLES = 1000
"""Holes of one partition that are reported at once; each accepted one becomes an event in the log."""

_EARLIEST, _LATEST = -2, -1
_READ_UNCOMMITTED, _READ_COMMITTED = 0, 1
_LAST_VERSION_WITH_NAMES = 12  # later versions of a fetch identify topics by id


class LogQuery(NamedTuple):
    """A query about a partition whose next offset to read is `next`.

    `leader_epoch` belongs to the batch before it; -1 when unknown. `holes`: read the rest of the log, find holes, and
    measure damaged batches.
    """

    next: int
    leader_epoch: int = -1
    holes: bool = False


class PartitionLog(NamedTuple):
    """The current log of a partition: offsets from `first` to `end`, exclusive.

    `epoch_end` is where the queried leader epoch ends in this log; -1 when the log lacks that epoch, None when the
    broker stores no epochs or none was queried. `before` identifies the batch with the offset before the next one to
    read; None when there is none. `beyond` means that the log ends before that offset. `reliable` means that the end is
    exact. `damage` is at the next offset to read. `holes` are not searched after a damaged batch.
    """

    topic_id: UUID
    first: int
    end: int
    epoch_end: int | None = None
    before: BatchMark | None = None
    beyond: bool = False
    reliable: bool = True
    holes: tuple[Hole, ...] = ()
    damage: Damage | None = None


def describe_configs(admin: KafkaAdminClient, topics: Sequence[str]) -> dict[str, dict[str, str | None]]:
    """The settings of existing topics. The admin client's own method hides authorization errors.

    Raises `TopicAuthorizationFailedError`.
    """
    manager = admin._manager

    async def send() -> Any:
        return await manager.send(
            DescribeConfigsRequest(
                resources=[
                    DescribeConfigsRequest.DescribeConfigsResource(
                        resource_type=ConfigResourceType.TOPIC, resource_name=name, configuration_keys=None
                    )
                    for name in topics
                ],
                include_synonyms=False,
            )
        )

    found: dict[str, dict[str, str | None]] = {}
    for result in manager.run(send).results:
        if result.error_code:
            raise for_code(result.error_code)(result.resource_name)
        found[result.resource_name] = {each.name: each.value for each in result.configs}
    return found


class BrokerLog:
    """Queries the leaders of partitions. Raises `KafkaError` when a leader does not answer or is being elected."""

    def __init__(self, admin: KafkaAdminClient, leaders: Mapping[TopicPartition, int]) -> None:
        self._admin = admin
        self._leaders = leaders

    def describe(self, topic_id: UUID, partition: TopicPartition, query: LogQuery) -> PartitionLog:
        """The log of `partition` according to its leader."""
        first = self._offset(partition, _EARLIEST)
        log = PartitionLog(topic_id, first, self._offset(partition, _LATEST))
        try:
            epoch_end = self._epoch_end(partition, max(query.leader_epoch, 0))
        except IncompatibleBrokerVersion:
            return log._replace(reliable=False)
        if query.leader_epoch >= 0:
            log = log._replace(epoch_end=epoch_end)
        if query.next > first:
            log = self._with_batch(log, partition, query.next - 1)
        start = max(first, query.next)
        if start >= log.end:
            return log
        probe = Probe(partial(self._fetched, partition), self._offset(partition, _LATEST, _READ_COMMITTED))
        fault = probe.fault(start)
        if fault is not None:
            damage = Damage(start, fault)
            return log._replace(damage=probe.measured(damage) if query.holes else damage)
        if query.holes:
            log = log._replace(holes=self._holes(partition, probe, start, log.end))
        return log

    def _with_batch(self, log: PartitionLog, partition: TopicPartition, offset: int) -> PartitionLog:
        try:
            batch = next(listed(self._fetched(partition, offset, MIN_FETCH)), None)
        except DAMAGED:
            return log._replace(before=UNKNOWN)
        except OffsetOutOfRangeError:
            # Otherwise retention deleted it between two answers, after it was read.
            return log._replace(beyond=self._offset(partition, _EARLIEST) <= offset)
        if batch is None:
            return log
        # A damaged batch proves nothing; it was read before it was damaged. The same holds for a batch that compaction
        # has rewritten: its records were read.
        known = (
            is_checked(batch)
            and batch.base_offset <= offset <= batch.last_offset
            and hole_inside(batch) is None
            and batch.validate_crc()
        )
        return log._replace(before=BatchMark.of(batch) if known else UNKNOWN)

    def _holes(self, partition: TopicPartition, probe: Probe, start: int, end: int) -> tuple[Hole, ...]:
        holes: list[Hole] = []
        expected = start
        while expected < end and len(holes) < MAX_HOLES:
            before = expected
            for batch in self._good_batches(partition, expected):
                if is_checked(batch):
                    hole = hole_before(batch, expected)
                    if hole and probe.fault(expected):
                        return tuple(holes)
                    holes += [each for each in (hole, hole_inside(batch)) if each]
                expected = max(expected, batch.next_offset)
            if expected == before:
                break  # the rest belongs to an open transaction, or is damaged
        return tuple(holes[:MAX_HOLES])

    def _good_batches(self, partition: TopicPartition, offset: int) -> Iterator[Any]:
        """The batches of one answer from an offset on, up to a damaged one."""
        try:
            answer = self._fetched(partition, offset, LARGE_FETCH)
        except DAMAGED:
            return
        found = list(listed(answer))
        for batch in found[misplaced(found, offset) :]:
            if not batch.validate_crc():
                return
            yield batch

    def _fetched(self, partition: TopicPartition, offset: int, size: int) -> bytes:
        """The batches from an offset on, as bytes."""
        response = self._response(
            partition,
            FetchRequest(
                replica_id=-1,
                max_wait_ms=0,
                min_bytes=1,
                max_bytes=size,
                isolation_level=_READ_COMMITTED,
                session_id=0,
                session_epoch=-1,
                topics=[
                    FetchRequest.FetchTopic(
                        topic=partition.topic,
                        partitions=[
                            FetchRequest.FetchTopic.FetchPartition(
                                partition=partition.partition,
                                current_leader_epoch=-1,
                                fetch_offset=offset,
                                last_fetched_epoch=-1,
                                log_start_offset=-1,
                                partition_max_bytes=size,
                            )
                        ],
                    )
                ],
                forgotten_topics_data=[],
                rack_id="",
                min_version=4,
                max_version=_LAST_VERSION_WITH_NAMES,
            ),
        )
        answer = _of_one(partition, response.responses)
        if not answer.records and response.throttle_time_ms:
            raise ThrottlingQuotaExceededError(f"{partition}")
        return bytes(answer.records or b"")

    def _offset(self, partition: TopicPartition, timestamp: int, isolation: int = _READ_UNCOMMITTED) -> int:
        wanted = ListOffsetsRequest.ListOffsetsTopic
        answer = self._answer(
            partition,
            ListOffsetsRequest(
                replica_id=-1,
                isolation_level=isolation,
                topics=[
                    wanted(
                        name=partition.topic,
                        partitions=[
                            wanted.ListOffsetsPartition(
                                partition_index=partition.partition,
                                current_leader_epoch=-1,
                                timestamp=timestamp,
                            )
                        ],
                    )
                ],
                min_version=2,
            ),
        )
        return int(answer.offset)

    def _epoch_end(self, partition: TopicPartition, leader_epoch: int) -> int:
        wanted = OffsetForLeaderEpochRequest.OffsetForLeaderTopic
        answer = self._answer(
            partition,
            OffsetForLeaderEpochRequest(
                replica_id=-1,
                topics=[
                    wanted(
                        topic=partition.topic,
                        partitions=[
                            wanted.OffsetForLeaderPartition(
                                partition=partition.partition,
                                current_leader_epoch=-1,
                                leader_epoch=leader_epoch,
                            )
                        ],
                    )
                ],
            ),
        )
        return int(answer.end_offset)

    def _answer(self, partition: TopicPartition, request: Any) -> Any:
        return _of_one(partition, self._response(partition, request).topics)

    def _response(self, partition: TopicPartition, request: Any) -> Any:
        leader = self._leaders.get(partition, -1)
        if leader < 0:
            raise UnknownTopicOrPartitionError(f"{partition} has no leader now")
        manager = self._admin._manager  # the admin client has no method for these requests

        async def send() -> Any:
            return await manager.send(request, node_id=leader)

        return manager.run(send)


def _of_one(partition: TopicPartition, topics: Sequence[Any]) -> Any:
    """The answer for a single partition. Raises the error in it."""
    answers = [part for topic in topics for part in topic.partitions]
    if not answers:
        raise KafkaError(f"the broker gave no answer for {partition}")
    if answers[0].error_code:
        raise for_code(answers[0].error_code)(f"{partition}")
    return answers[0]
