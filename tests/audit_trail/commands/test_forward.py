"""`audit-trail forward`: an operator runs followers, tests a receiver, and decides; the trail has every decision."""

from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from audit_trail.embedded.broker import LOOPBACK, Broker, free_ports
from audit_trail.embedded.process import WatchedProcess
from domain.event import AuditEvent
from domain.validation import decode_event
from tests.audit_trail.programs import PROGRAM, environment, eventually, run
from tests.conftest import TopicFactory
from tests.foreign_server import answer, foreign
from tests.trail import Trail, an_event

BY = ("--by", "n.operator", "--reason", "the receiver is being replaced")
FILE = """
[followers.lake]
decided_by = "n.operator"
reason = "the data lake of the hospital"
start = "beginning"
roles = ["auditor"]
[followers.lake.kafka]
topic = "{topic}"
"""


@contextmanager
def forwarder(folder: Path, settings: dict[str, str]) -> Iterator[WatchedProcess]:
    process = WatchedProcess(
        [*PROGRAM, "forward", "run"], name="forward", log=folder / "log", environment=environment(**settings)
    )
    try:
        process.start()
        yield process
    finally:
        process.stop()


def values(broker: Broker, topic: str, wanted: int) -> list[bytes]:
    """The first values of a topic with one partition, once it has as many as wanted."""
    with closing(
        KafkaConsumer(bootstrap_servers=broker.bootstrap_servers, enable_auto_commit=False)
    ) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        consumer.seek_to_beginning()
        found: list[bytes] = []

        def enough() -> bool:
            for records in consumer.poll(timeout_ms=500).values():
                found.extend(each.value for each in records)
            return len(found) >= wanted

        assert eventually(enough), len(found)
        return found


def decisions(broker: Broker, topic: str) -> list[AuditEvent]:
    """The decisions: the command and the process that forwards may both publish one, under one id."""
    found = [decode_event(each) for each in values(broker, topic, 3)]
    return list({each.event_id: each for each in found}.values())


def test_an_operator_runs_pauses_and_resumes_a_follower_and_the_trail_has_it(
    new_trail: Trail, broker: Broker, make_topic: TopicFactory, tmp_path: Path
) -> None:
    topic, lake = make_topic(1), make_topic(1)
    file = tmp_path / "forwarding.toml"
    file.write_text(FILE.format(topic=lake), encoding="utf-8")
    settings = {
        "database_url": new_trail.url,
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "kafka_topics": topic,
        "forwarding_file": str(file),
        "metrics_port": str(free_ports(1)[0]),
    }

    def command(*words: str, code: int = 0) -> str:
        done = run("forward", *words, settings=settings)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    new_trail.append(*(an_event() for _ in range(300)))
    assert "all in-sync replicas have it" in command("test", "lake")
    with forwarder(tmp_path, settings):
        received = [json.loads(each) for each in values(broker, lake, 301)]
        assert eventually(lambda: not health(settings))
        assert "the trail has that" in command("pause", "lake", *BY)
        new_trail.append(an_event())
        assert eventually(lambda: "is paused by an operator" in health(settings))
        shown = command("status")
        assert "paused" in shown
        assert "1 events" in shown
        command("resume", "lake", *BY)
        received = [json.loads(each) for each in values(broker, lake, 302)]
    assert received[0]["test"] is True
    assert [each["position"] for each in received] == [-1, *range(301)]
    assert [each["previous_position"] for each in received[1:]] == [None, *range(300)]
    told = decisions(broker, topic)
    assert [each.attributes["operation"] for each in told] == ["added", "paused", "resumed"]
    assert {each.type for each in told} == {"configuration.changed"}
    assert (told[1].actor.id, told[1].reason) == (BY[1], BY[3])
    log = (tmp_path / "log").read_text()
    assert (log.count("forwarder_started"), log.count("forwarder_stopped")) == (1, 1), log


def health(settings: dict[str, str]) -> str:
    return run("health", "forward", settings=settings).stderr


@pytest.mark.thorough
def test_a_process_that_is_killed_again_and_again_forwards_everything_in_order(
    new_trail: Trail, broker: Broker, topic: str, tmp_path: Path
) -> None:
    received: list[int] = []

    def take(request: bytes) -> Iterator[bytes]:
        try:
            body = json.loads(request.partition(b"\r\n\r\n")[2])
        except json.JSONDecodeError:
            return  # the process was killed in the midst of it
        received.extend(each["position"] for each in body["data"])
        yield answer(204)

    (tmp_path / "secret").write_text(base64.b64encode(b"k" * 32).decode(), encoding="utf-8")
    with foreign(take) as server:
        file = tmp_path / "forwarding.toml"
        file.write_text(
            FILE.partition("[followers.lake.kafka]")[0].replace("roles", "batch = 20\nroles")
            + f'[followers.lake.webhook]\nurl = "http://{LOOPBACK}:{server.port}/"\n'
            + f'secret_file = "{tmp_path / "secret"}"',
            encoding="utf-8",
        )
        settings = {
            "database_url": new_trail.url,
            "kafka_bootstrap_servers": broker.bootstrap_servers,
            "kafka_topics": topic,
            "forwarding_file": str(file),
        }
        for _ in range(8):
            new_trail.append(*(an_event() for _ in range(400)))
            until_killed = len(received) + 50
            with forwarder(tmp_path, settings) as process:
                assert eventually(partial(has_more_than, received, until_killed))
                os.kill(process.pid, signal.SIGKILL)
        with forwarder(tmp_path, settings):
            assert eventually(lambda: 3199 in received)
    assert list(dict.fromkeys(received)) == list(range(3200))


def has_more_than(received: list[int], count: int) -> bool:
    return len(received) > count


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [(401, 2, "answered 401: check the token"), (422, 1, "refuses the record"), (503, 75, "answered 503")],
)
def test_a_test_says_what_the_receiver_answered(
    new_trail: Trail, tmp_path: Path, status: int, code: int, says: str
) -> None:
    new_trail.append(an_event())
    with foreign(lambda _: iter([answer(status)])) as server:
        file = tmp_path / "forwarding.toml"
        file.write_text(
            FILE.partition("[followers.lake.kafka]")[0]
            + f'[followers.lake.otlp]\nurl = "http://{LOOPBACK}:{server.port}/v1/logs"',
            encoding="utf-8",
        )
        settings = {
            "database_url": new_trail.url,
            "kafka_bootstrap_servers": "127.0.0.1:9",
            "forwarding_file": str(file),
        }
        done = run("forward", "test", "lake", settings=settings)
        assert done.returncode == code, done.stderr
        assert says in done.stderr
        assert len(server.requests) == 1
        other = run("forward", "test", "sea", settings=settings)
        assert (other.returncode, "the file has no follower sea: it has lake" in other.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("pause", "lake", *BY), 2, "there is no follower lake"),
        (("skip", "lake", "7", *BY), 2, "there is no follower lake"),
        (("skip", "lake", "-1", *BY), 2, "No such option"),
        (("pause", "lake", "--by", " ", "--reason", "x"), 2, "--by: give 1 to 256 characters"),
        (("run",), 2, "AUDIT_TRAIL_FORWARDING_FILE is not set"),
    ],
)
def test_what_can_not_be_done_is_refused(
    migrated_url: str, arguments: tuple[str, ...], code: int, says: str
) -> None:
    settings = {"database_url": migrated_url, "kafka_bootstrap_servers": "127.0.0.1:9"}
    done = run("forward", *arguments, settings=settings)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_an_operator_sees_and_decides_about_refused_records(
    new_trail: Trail, broker: Broker, make_topic: TopicFactory, tmp_path: Path
) -> None:
    topic, refused = make_topic(1), {1, 2}
    received: list[int] = []

    def take(request: bytes) -> Iterator[bytes]:
        positions = [each["position"] for each in json.loads(request.partition(b"\r\n\r\n")[2])["data"]]
        if refused & set(positions):
            yield answer(422)
        else:
            received.extend(positions)
            yield answer(204)

    secret = tmp_path / "secret"
    secret.write_text(base64.b64encode(b"k" * 32).decode(), encoding="utf-8")
    new_trail.append(*(an_event() for _ in range(4)))
    with foreign(take) as server:
        file = tmp_path / "forwarding.toml"
        file.write_text(
            FILE.partition("[followers.lake.kafka]")[0].replace("roles", 'on_refusal = "keep"\nroles')
            + f'[followers.lake.webhook]\nurl = "http://{LOOPBACK}:{server.port}/"\nsecret_file = "{secret}"',
            encoding="utf-8",
        )
        settings = {
            "database_url": new_trail.url,
            "kafka_bootstrap_servers": broker.bootstrap_servers,
            "kafka_topics": topic,
            "forwarding_file": str(file),
            "metrics_port": str(free_ports(1)[0]),
        }

        def command(*words: str, code: int = 0) -> str:
            done = run("forward", *words, settings=settings)
            assert done.returncode == code, done.stderr
            return done.stdout + done.stderr

        with forwarder(tmp_path, settings):
            assert eventually(lambda: received == [0, 3])
            assert eventually(lambda: "2 refused records wait for a decision" in health(settings))
            assert "2 refused records wait" in " ".join(command("status").split())
            listed = command("refused", "lake")
            assert listed.count("refuses the record (status 422)") == 2, listed
            refused.clear()
            assert "sends position 1 again, and the trail has that" in command("requeue", "lake", "1", *BY)
            assert "leaves out position 2, and the trail has that" in command("dismiss", "lake", "2", *BY)
            assert eventually(lambda: received == [0, 3, 1])
            assert eventually(lambda: not health(settings))
            assert "422" not in command("refused")
            assert "keeps no refused record at position 2" in command("dismiss", "lake", "2", *BY, code=1)
    told = decisions(broker, topic)
    assert [each.attributes["operation"] for each in told] == ["added", "requeued", "dismissed"]
