"""The broker's view of the topics and the group, over a connection that the consumer does not share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError
from kafka.protocol.consumer import OffsetSpec

from ingest.broker.bounded_calls import BoundedCaller, abandon
from ingest.broker.clients import connected, translated
from ingest.settings import IngestSettings

_TIMEOUT_MS = 10_000
_CALL_SECONDS = 30.0


class Group(NamedTuple):
    """A consumer group. `members` maps each member id to the partitions that the group leader assigned."""

    state: str
    members: Mapping[str, frozenset[TopicPartition]]

    @property
    def rebalances(self) -> bool:
        """Whether members are joining, so that the assignment is about to change."""
        return self.state not in ("Stable", "Empty", "Dead")

    @property
    def read(self) -> frozenset[TopicPartition]:
        """The partitions that a member reads."""
        return frozenset[TopicPartition]().union(*self.members.values())


class BrokerView(NamedTuple):
    """The state of the broker at one moment.

    `ends` has, for each partition with a leader, the offset after the last readable record (the last stable offset).
    `group` is None for a static assignment, and when the broker can't describe a group.
    """

    topic_ids: Mapping[str, UUID]
    partitions: frozenset[TopicPartition]
    ends: Mapping[TopicPartition, int]
    group: Group | None

    @property
    def without_leader(self) -> frozenset[TopicPartition]:
        """The partitions that can't be read now."""
        return self.partitions - self.ends.keys()


class BrokerWatch:
    """Queries the broker. Not thread-safe."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._caller: BoundedCaller | None = None
        self._admin: KafkaAdminClient | None = None

    def view(self) -> BrokerView:
        """The topics, the ends of their partitions, and the group.

        Raises `UnavailableError` when no broker answers in time, and `ConfigurationError` when it refuses this client.
        """
        if self._caller is None:
            self._caller = BoundedCaller("kafka-watch", _CALL_SECONDS)
        try:
            return self._caller(self._view)
        except KafkaError as exc:
            self.close()
            raise translated(exc) from exc
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection in bounded time. The object can be used again."""
        caller, self._caller = self._caller, None
        admin, self._admin = self._admin, None
        if admin is not None:
            abandon(admin)
        if caller is not None:
            caller.close()

    def _view(self) -> BrokerView:
        if self._admin is None:
            options = {"request_timeout_ms": _TIMEOUT_MS, "bootstrap_timeout_ms": _TIMEOUT_MS}
            self._admin = connected(KafkaAdminClient, options | self._settings.client_options())
        rows = [
            row
            for row in self._admin.describe_topics(list(self._settings.topics))
            if row["error_code"] == 0 and row["partitions"]
        ]
        leaders = {
            TopicPartition(row["name"], partition["partition_index"]): partition["leader_id"]
            for row in rows
            for partition in row["partitions"]
        }
        return BrokerView(
            {row["name"]: UUID(str(row["topic_id"])) for row in rows if row.get("topic_id")},
            frozenset(leaders),
            self._ends([partition for partition, leader in leaders.items() if leader >= 0]),
            self._group() if self._settings.assignment == "group" else None,
        )

    def _ends(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        if not partitions:
            return {}
        assert self._admin is not None
        found = self._admin.list_partition_offsets(
            dict.fromkeys(partitions, OffsetSpec.LATEST),
            isolation_level="read_committed",
            timeout_ms=_TIMEOUT_MS,
        )
        return {partition: at.offset for partition, at in found.items()}

    def _group(self) -> Group | None:
        assert self._admin is not None
        name = self._settings.group_id
        try:
            described = self._admin.describe_groups([name])[name]
        except ValueError:
            return None  # the client can't parse the embedded broker's answer
        if described["error"]:
            return None
        return Group(
            described["group_state"],
            {member["member_id"]: _assigned(member) for member in described["members"]},
        )


def _assigned(member: dict[str, Any]) -> frozenset[TopicPartition]:
    assignment = member["member_assignment"]
    # Empty bytes while the member is joining.
    topics = assignment["assigned_partitions"] if isinstance(assignment, dict) else []
    return frozenset(
        TopicPartition(topic["topic"], number) for topic in topics for number in topic["partitions"]
    )
