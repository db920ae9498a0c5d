"""The topics in Kafka: their ids, partitions and settings."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import (
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from domain.errors import ConfigurationError, UnavailableError
from ingest.broker.bounded_calls import BoundedCaller, ClientStalledError, abandon
from ingest.broker.clients import connected, translated
from ingest.partitions.log import BrokerLog, LogQuery, PartitionLog, describe_configs
from ingest.settings import IngestSettings

T = TypeVar("T")

_REQUEST_TIMEOUT_MS = 10_000
_CALL_SECONDS = 30.0
_NO_ID = UUID(int=0)


class Topic(NamedTuple):
    """An existing topic. Kafka never reuses an `id`, so a recreated topic has another one."""

    id: UUID
    partitions: tuple[int, ...]


class TopicConfig(NamedTuple):
    """The retention settings of a topic. None: the broker does not report the setting, or there is no limit."""

    compacted: bool | None = None
    retention_ms: int | None = None
    retention_bytes: int | None = None

    @classmethod
    def of(cls, values: Mapping[str, str | None]) -> TopicConfig:
        """Parse Kafka's names and values."""
        policy = values.get("cleanup.policy")
        return cls(
            None if policy is None else "compact" in policy,
            _limit(values.get("retention.ms")),
            _limit(values.get("retention.bytes")),
        )


def refuse_compacted(configs: Mapping[str, TopicConfig]) -> None:
    """Raise `ConfigurationError` when a topic is compacted: Kafka deletes older records with the same key."""
    compacted = sorted(name for name, config in configs.items() if config.compacted)
    if compacted:
        raise ConfigurationError(
            f"Kafka compacts the topics {', '.join(compacted)}: it deletes each record with a later one of the same"
            " key, so events are lost. Set cleanup.policy=delete on these topics, and start ingest again"
        )


def _limit(value: str | None) -> int | None:
    return None if value is None or int(value) < 0 else int(value)


class Topics:
    """Queries the broker about topics. The polling thread and the append thread share it.

    Every method raises `UnavailableError` while no broker answers and `ConfigurationError` when it refuses this client.
    """

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._admin: KafkaAdminClient | None = None
        self._caller: BoundedCaller | None = None
        self._lock = threading.Lock()

    def describe(self, names: tuple[str, ...]) -> dict[str, Topic]:
        """The existing topics among `names`."""
        if not names:
            return {}
        with self._lock:
            try:
                answer = self._call(lambda: self._client().describe_topics(list(names)))
            except (KafkaError, ClientStalledError) as exc:
                raise self._translated(exc) from exc
        hidden = [row["name"] for row in answer if row["error_code"] == TopicAuthorizationFailedError.errno]
        if hidden:
            raise ConfigurationError(
                f"Kafka does not show this client the topics {', '.join(sorted(hidden))}: grant it Describe on them"
            )
        return {row["name"]: _topic(row) for row in answer if row["error_code"] == 0 and row["partitions"]}

    def configs(self, names: Iterable[str]) -> dict[str, TopicConfig]:
        """The retention settings of existing topics."""
        wanted = sorted(names)
        if not wanted:
            return {}
        with self._lock:
            try:
                found = self._call(lambda: describe_configs(self._client(), wanted))
            except TopicAuthorizationFailedError as exc:
                raise ConfigurationError(
                    f"Kafka does not show the settings of topic {exc}: grant this client DescribeConfigs on it"
                ) from exc
            except UnknownTopicOrPartitionError:
                return {}  # deleted meanwhile; the next refresh notices it
            except (KafkaError, ClientStalledError) as exc:
                raise self._translated(exc) from exc
        return {name: TopicConfig.of(values) for name, values in found.items()}

    def logs(
        self, topics: Mapping[str, Topic], queries: Mapping[TopicPartition, LogQuery]
    ) -> dict[TopicPartition, PartitionLog]:
        """The logs of these partitions according to their leaders.

        Also raises `UnavailableError` when a topic was recreated or a leader changed between two answers.
        """
        if not queries:
            return {}
        with self._lock:
            try:
                before = self._call(lambda: self._leaders(topics))
                broker = BrokerLog(self._client(), {at: leader for at, (_, leader) in before.items()})
                logs = {
                    at: self._call(partial(broker.describe, topics[at.topic].id, at, query))
                    for at, query in queries.items()
                }
                after = self._call(lambda: self._leaders(topics))
            except (KafkaError, ClientStalledError) as exc:
                raise self._translated(exc) from exc
        for at in queries:
            if before.get(at, (None, -1)) != after.get(at) or before[at][0] != topics[at.topic].id:
                raise UnavailableError(f"topic {at.topic} or its leader was changed meanwhile")
        return logs

    def _leaders(self, topics: Mapping[str, Topic]) -> dict[TopicPartition, tuple[UUID, int]]:
        return {
            TopicPartition(row["name"], part["partition_index"]): (
                UUID(str(row["topic_id"])),
                part["leader_id"],
            )
            for row in self._client().describe_topics(list(topics))
            for part in row["partitions"]
            if row["error_code"] == 0
        }

    def create(
        self, names: tuple[str, ...], *, partitions: int = 0, configs: Mapping[str, str] | None = None
    ) -> list[str]:
        """Create missing topics with one replica. Returns their names.

        `partitions` of 0 means the configured number.
        """
        count = partitions or self._settings.partitions
        created: list[str] = []
        new = {"num_partitions": count, "replication_factor": 1, "configs": dict(configs or {})}
        for name in names:
            with self._lock:
                try:
                    self._call(lambda name=name: self._client().create_topics({name: new}))  # type: ignore[misc]
                except TopicAlreadyExistsError:
                    continue
                except (KafkaError, ClientStalledError) as exc:
                    raise self._translated(exc) from exc
            created.append(name)
        return created

    def close(self) -> None:
        """Close the connection. The object can be used again."""
        with self._lock:
            self._forget()

    def _client(self) -> KafkaAdminClient:
        if self._admin is None:
            options = {"request_timeout_ms": _REQUEST_TIMEOUT_MS, "bootstrap_timeout_ms": _REQUEST_TIMEOUT_MS}
            self._admin = connected(KafkaAdminClient, options | self._settings.client_options())
        return self._admin

    def _call(self, call: Callable[[], T]) -> T:
        if self._caller is None:
            self._caller = BoundedCaller("kafka-topics", _CALL_SECONDS)
        return self._caller(call)

    def _forget(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            abandon(admin)
        caller, self._caller = self._caller, None
        if caller is not None:
            caller.close()

    def _translated(self, exc: KafkaError | ClientStalledError) -> UnavailableError | ConfigurationError:
        """Translate an error, and drop this connection. The next call opens a new one; the consumer has its own."""
        self._forget()
        return UnavailableError(str(exc)) if isinstance(exc, ClientStalledError) else translated(exc)


def _topic(row: dict[str, Any]) -> Topic:
    topic_id = UUID(str(row["topic_id"])) if row.get("topic_id") else _NO_ID
    if topic_id == _NO_ID:
        raise ConfigurationError(
            f"the broker returns no id for topic {row['name']}, so a recreated topic could not be"
            " distinguished from the old one: use Apache Kafka 2.8 or later"
        )
    # A partition without an elected leader exists all the same.
    return Topic(topic_id, tuple(sorted(partition["partition_index"] for partition in row["partitions"])))
