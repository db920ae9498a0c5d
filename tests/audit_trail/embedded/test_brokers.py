from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from audit_trail.embedded import kafka
from audit_trail.embedded.broker import Broker
from audit_trail.embedded.kafka import ApacheKafka
from audit_trail.embedded.tansu import TansuBroker
from domain.errors import ConfigurationError


def make(bootstrap_servers: str, topic: str) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin:
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)


def topics(bootstrap_servers: str) -> set[str]:
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap_servers)) as admin:
        return set(admin.list_topics())


def publish(bootstrap_servers: str, topic: str, value: bytes) -> None:
    with closing(KafkaProducer(bootstrap_servers=bootstrap_servers)) as producer:
        producer.send(topic, value, partition=0, headers=[("content-type", b"application/json")]).get(
            timeout=20
        )


def consume(bootstrap_servers: str, topic: str) -> list[tuple[bytes, Any]]:
    """What partition 0 holds now: values and headers."""
    partition = TopicPartition(topic, 0)
    with closing(KafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False)) as consumer:
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        end = consumer.end_offsets([partition])[partition]
        found: list[tuple[bytes, Any]] = []
        while len(found) < end:
            for records in consumer.poll(timeout_ms=1000).values():
                found += [(record.value, [tuple(header) for header in record.headers]) for record in records]
        return found


def test_what_is_published_can_be_consumed(broker: Broker, topic: str) -> None:
    publish(broker.bootstrap_servers, topic, b"{}")
    assert consume(broker.bootstrap_servers, topic) == [(b"{}", [("content-type", b"application/json")])]


def test_each_topic_of_a_test_is_new_and_has_the_partitions_asked_for(
    broker: Broker, topic: str, make_topic: Callable[..., str]
) -> None:
    other = make_topic(2)
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)) as admin:
        partitions = {each["name"]: len(each["partitions"]) for each in admin.describe_topics([topic, other])}
    assert partitions == {topic: 4, other: 2}


def test_the_embedded_broker_listens_on_loopback_alone() -> None:
    with TansuBroker() as broker:
        listening = _listening(broker.bootstrap_servers)
        assert listening == {"127.0.0.1"}
        assert topics(broker.bootstrap_servers) == set()


def _listening(bootstrap_servers: str) -> set[str]:
    """The addresses that something listens at on the broker's port."""
    addresses = [each.laddr for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
    return {each.ip for each in addresses if each and each.port == int(bootstrap_servers.partition(":")[2])}


def test_the_embedded_broker_keeps_its_address_over_a_restart_and_forgets_its_topics() -> None:
    broker = TansuBroker()
    with broker:
        address = broker.bootstrap_servers
        make(address, "soon-forgotten")
        assert topics(address) == {"soon-forgotten"}
    with broker:
        assert broker.bootstrap_servers == address
        assert topics(address) == set()


def test_variables_meant_for_other_programs_do_not_reach_the_embedded_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STORAGE_ENGINE", "null://nowhere")
    monkeypatch.setenv("CLUSTER_ID", "somewhere-else")
    with (
        TansuBroker() as broker,
        closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)) as admin,
    ):
        assert admin.describe_cluster()["cluster_id"] == "tansu_cluster"


def test_a_port_that_is_taken_is_an_error_that_says_so() -> None:
    with TansuBroker() as first:
        port = int(first.bootstrap_servers.partition(":")[2])
        with pytest.raises(ConfigurationError, match=f"port {port}"):
            TansuBroker(port=port).start()


def test_nothing_is_left_of_the_embedded_broker_when_the_supervisor_is_killed(
    supervise: Callable[..., Any], tmp_path: Path
) -> None:
    supervisor = supervise("embedded", tmp_path)
    supervisor.kill()
    assert psutil.wait_procs(supervisor.started, timeout=10)[1] == []


@pytest.mark.thorough
@pytest.mark.needs_kafka
def test_apache_kafka_keeps_messages_and_address_over_a_restart(server_folder: Path) -> None:
    broker = ApacheKafka(server_folder)
    with broker:
        address = broker.bootstrap_servers
        make(address, "kept")
        publish(address, "kept", b"one")
        assert _listening(address) <= {"127.0.0.1", "::ffff:127.0.0.1"}
    with broker:
        assert broker.bootstrap_servers == address
        publish(address, "kept", b"two")
        assert [value for value, _ in consume(address, "kept")] == [b"one", b"two"]


@pytest.mark.needs_kafka
@pytest.mark.thorough
def test_apache_kafka_starts_right_after_its_supervisor_was_killed_with_what_it_had(
    supervise: Callable[..., Any], server_folder: Path
) -> None:
    supervisor = supervise("kafka", server_folder)
    make(supervisor.report["bootstrap_servers"], "kept")
    publish(supervisor.report["bootstrap_servers"], "kept", b"one")
    supervisor.kill()
    with ApacheKafka(server_folder) as broker:
        assert psutil.wait_procs(supervisor.started, timeout=1)[1] == []
        assert [value for value, _ in consume(broker.bootstrap_servers, "kept")] == [b"one"]


@pytest.mark.needs_kafka
def test_a_folder_of_apache_kafka_that_is_in_use_is_refused(broker: Broker) -> None:
    assert isinstance(broker, ApacheKafka)
    with pytest.raises(ConfigurationError, match="in use"):
        ApacheKafka(broker.data_dir).start()
    assert broker.running


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"PATH": "", "JAVA_HOME": ""}, "no Java"),
        ({"XDG_CACHE_HOME": "{empty}", "PATH": "{java}"}, "no Maven"),
    ],
)
def test_what_apache_kafka_lacks_is_named(
    environment: Mapping[str, str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"21.0.1\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(empty=tmp_path / "empty", java=tmp_path))
    found = kafka.available()
    assert not found
    assert reason in found.reason


@pytest.mark.parametrize(
    ("version", "enough"), [("1.8.0_402", False), ("11.0.2", False), ("17.0.15", True), ("25", True)]
)
def test_java_has_to_be_new_enough(
    version: str, enough: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "java": f"echo 'openjdk version \"{version}\" 2025-01-01' >&2",
        "mvn": "exit 0",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bool(kafka.available()) is enough
