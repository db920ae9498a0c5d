"""`audit-trail watch` as a process: killed at any moment, it neither loses nor doubles a transition."""

from __future__ import annotations

import random
import signal
import time
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from audit_trail.embedded.broker import Broker, free_ports
from audit_trail.embedded.process import WatchedProcess
from domain.event import AuditEvent
from domain.validation import decode_event
from tests.audit_trail.programs import PROGRAM, environment, fetch, run
from tests.waiting import eventually
from tests.watcher.test_watcher import rows, state_of
from tests.watcher.watching import QUICK, service


def messages(broker: Broker, topic: str) -> list[bytes]:
    """All messages of the topic, each partition in its order."""
    with closing(
        KafkaConsumer(bootstrap_servers=broker.bootstrap_servers, enable_auto_commit=False)
    ) as consumer:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        found: list[bytes] = []
        while any(consumer.position(each) < ends[each] for each in partitions):
            for records in consumer.poll(timeout_ms=500).values():
                found += [record.value for record in records]
        return found


def unique(values: list[bytes]) -> list[AuditEvent]:
    """As ingest takes them: the first message of each event id. A second one must be the same, byte for byte."""
    first: dict[object, bytes] = {}
    for value in values:
        assert first.setdefault(decode_event(value).event_id, value) == value
    return [decode_event(value) for value in first.values()]


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.thorough)])
def test_each_transition_is_in_kafka_once_however_often_the_watcher_is_killed(
    kills: int, migrated_url: str, broker: Broker, topic: str, tmp_path: Path
) -> None:
    chance = random.Random(7)
    with service() as health:
        file = tmp_path / "watch.yaml"
        file.write_text(
            f"{QUICK}gap_after: 1h\ntargets: [{{name: patient, http: {{url: '{health.url}'}}}}]",
            encoding="utf-8",
        )
        settings = {
            "database_url": migrated_url,
            "kafka_bootstrap_servers": broker.bootstrap_servers,
            "kafka_topics": topic,
            "watch_file": str(file),
        }
        process = WatchedProcess(
            [*PROGRAM, "watch"], log=tmp_path / "watch.log", environment=environment(**settings)
        )

        def decided() -> int:
            [(number,)] = rows(
                migrated_url, "SELECT coalesce(max(transitions), 0) FROM audit_trail.watch_target"
            )
            return int(number)

        process.start()
        try:
            eventually(lambda: state_of(migrated_url, "patient") == "up", 60)
            for turn in range(kills):
                health.status = 503 if turn % 2 == 0 else 200
                before = decided()
                if turn % 2 == 0:  # about when it is decided, and published
                    eventually(lambda before=before: decided() > before, 60)  # type: ignore[misc]
                    time.sleep(chance.random() * 0.02)
                else:
                    time.sleep(0.5 + chance.random())
                process.kill()
                process.start()
                eventually(lambda turn=turn: decided() == turn + 1, 60)  # type: ignore[misc]
            eventually(
                lambda: rows(migrated_url, "SELECT count(*) FROM audit_trail.watch_event") == [(0,)], 60
            )
        finally:
            process.stop()
    events = unique(messages(broker, topic))
    assert [each.type for each in events] == [
        "health_check.failed" if number % 2 == 0 else "health_check.recovered" for number in range(kills)
    ]


@pytest.mark.thorough
def test_a_process_that_was_stopped_for_a_time_says_so_and_does_not_blame_the_target(
    migrated_url: str, broker: Broker, topic: str, tmp_path: Path
) -> None:
    with service() as health:
        file = tmp_path / "watch.yaml"
        file.write_text(
            "gap_after: 2s\ndefaults: {interval: 500ms, timeout: 500ms, down_after: 1, up_after: 1}\n"
            f"targets: [{{name: patient, http: {{url: '{health.url}'}}}}]",
            encoding="utf-8",
        )
        [port] = free_ports(1)
        settings = {
            "database_url": migrated_url,
            "kafka_bootstrap_servers": broker.bootstrap_servers,
            "kafka_topics": topic,
            "watch_file": str(file),
            "metrics_port": str(port),
        }
        process = WatchedProcess(
            [*PROGRAM, "watch"], log=tmp_path / "watch.log", environment=environment(**settings)
        )
        process.start()
        try:
            eventually(lambda: fetch(f"http://127.0.0.1:{port}/readyz")[1] == {
                "part": "watch", "status": "ready", "problems": [],
            }, 60)  # fmt: skip
            eventually(lambda: state_of(migrated_url, "patient") == "up", 60)
            assert run("health", "watch", settings=settings).stdout == "ok\n"
            process.send_signal(signal.SIGSTOP)
            time.sleep(3)
            process.send_signal(signal.SIGCONT)
            eventually(lambda: len(messages(broker, topic)) > 0, 60)
        finally:
            process.stop()
    told = unique(messages(broker, topic))
    assert [(each.type, each.attributes["cause"]) for each in told] == [
        ("observation.gap", "process_stalled")
    ]
    assert told[0].attributes["seconds"] >= 2
    log = (tmp_path / "watch.log").read_text(encoding="utf-8")
    assert (log.count("watcher_started"), log.count("watcher_stopped")) == (1, 1)
