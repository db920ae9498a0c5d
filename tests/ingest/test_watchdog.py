"""Nothing that is subscribed stays unread in silence, and nothing that only takes its time is called a stall."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import MemberToRemove
from prometheus_client import CollectorRegistry

from audit_trail.embedded.broker import Broker
from audit_trail.embedded.kafka import ApacheKafka
from domain.errors import UnavailableError
from event_store.database import Database
from ingest.broker.assignment import Listener, consumer_options, finish_rejoin
from ingest.broker.bounded_calls import BoundedCaller, ClientStalledError
from ingest.broker.group_view import BrokerView, Group
from ingest.health import Health, ReaderState
from ingest.metrics import IngestMetrics
from ingest.publisher import Message, Publisher
from ingest.settings import IngestSettings
from ingest.stall_detection import Suspicions, Watchdog
from tests.ingest.client_restarts import restarts
from tests.ingest.conftest import Running

Query = Callable[..., list[tuple[Any, ...]]]
Call = Callable[..., Any]

ROOT = Path(__file__).parents[2]
STREAMS = "SELECT count(*) FROM audit_trail.kafka_stream"
A, B = TopicPartition("t", 0), TopicPartition("t", 1)
ONE, BOTH = frozenset({A}), frozenset({A, B})


def view(group: Group | None = None, ends: dict[TopicPartition, int] | None = None) -> BrokerView:
    return BrokerView({"t": uuid4()}, BOTH, ends or dict.fromkeys(BOTH, 0), group)


def reader(**changes: Any) -> ReaderState:
    healthy: dict[str, Any] = {
        "member": "me",
        "subscribed": frozenset({"t"}),
        "assigned": BOTH,
        "next": dict.fromkeys(BOTH, 5),
    }
    return ReaderState(**(healthy | changes))


def found(view: BrokerView, reader: ReaderState, *, looks: int = 3, late: bool = False) -> str | None:
    """The cause that the last of `looks` equal looks gives, when three in a row are enough."""
    suspicions = Suspicions(3)
    results = [suspicions.finding(view, reader, appends_late=late) for _ in range(looks)]
    return results[-1][0] if results[-1] is not None else None


@pytest.mark.parametrize(
    ("group", "changes", "cause"),
    [
        (Group("Empty", {}), {"assigned": frozenset(), "next": {}}, "not_a_member"),
        (Group("Stable", {"other": BOTH}), {"assigned": frozenset(), "next": {}}, "not_a_member"),
        (Group("Stable", {"me": BOTH}), {"assigned": frozenset({A}), "next": {A: 5}}, "assignment_lost"),
        (Group("Stable", {"me": frozenset({A})}), {"assigned": frozenset({A}), "next": {A: 5}}, "partition_unread"),
        (Group("Stable", {"me": frozenset()}), {"assigned": frozenset(), "next": {}}, "partition_unread"),
        (Group("Stable", {"me": BOTH}), {"next": {A: 5}}, "partition_not_opened"),
        (Group("Stable", {"me": BOTH}), {}, None),
        (Group("Stable", {"me": ONE, "other": frozenset({B})}), {"assigned": ONE, "next": {A: 5}}, None),
        (Group("Stable", {"me": frozenset(), "other": BOTH}), {"assigned": frozenset(), "next": {}}, None),
        (Group("PreparingRebalance", {}), {"assigned": frozenset(), "next": {}}, None),
        (Group("CompletingRebalance", {"me": frozenset()}), {"assigned": frozenset(), "next": {}}, None),
        (Group("Stable", {"me": BOTH}), {"next": {A: 5}, "not_opened": "the database is away"}, None),
        (None, {"assigned": frozenset(), "next": {}}, None),
    ],
)  # fmt: skip
def test_a_group_that_is_not_as_it_is_read_here_is_a_stall_after_some_looks(
    group: Group | None, changes: dict[str, Any], cause: str | None
) -> None:
    assert found(view(group), reader(**changes), looks=2) is None
    assert found(view(group), reader(**changes), looks=3) == cause


def test_a_fetch_that_stands_still_while_kafka_has_more_is_a_stall() -> None:
    behind = view(ends={A: 9, B: 5})
    assert found(behind, reader(), looks=3) is None  # the first look has nothing to compare with
    assert found(behind, reader(), looks=4) == "fetch_stalled"
    assert found(behind, reader(), looks=9, late=True) is None
    assert found(behind, reader(stopped={A: "damaged"}), looks=9) is None
    assert found(view(ends={A: 5, B: 5}), reader(), looks=9) is None


def test_one_partition_may_wait_longer_while_others_move_on() -> None:
    suspicions = Suspicions(3)
    causes = [
        suspicions.finding(view(ends={A: 9, B: 1000}), reader(next={A: 5, B: look}), appends_late=False)
        for look in range(40)
    ]
    assert causes[:30] == [None] * 30
    assert causes[30] is not None


def test_a_call_that_does_not_return_is_left_behind() -> None:
    stuck = threading.Event()
    call = BoundedCaller("test", seconds=1)
    with pytest.raises(ClientStalledError, match="does not return") as caught:
        call(stuck.wait)
    assert caught.value.cause == "client_hangs"
    with pytest.raises(ClientStalledError, match="has not returned"):
        call(lambda: 1)
    stuck.set()


@pytest.mark.parametrize("error", [KeyError("k"), AssertionError(), ValueError("v"), RuntimeError("r")])
def test_an_error_of_the_librarys_own_workings_is_a_stall_with_words(error: Exception) -> None:
    def call() -> None:
        raise error

    with pytest.raises(ClientStalledError, match=f"failed inside \\({type(error).__name__}\\)") as caught:
        BoundedCaller("test", seconds=30)(call)
    assert caught.value.cause == "client_failed"


def gauge(run: Running, name: str, **labels: str) -> float | None:
    return run.registry.get_sample_value(f"audit_trail_ingest_{name}", labels)


def quick(settings: IngestSettings, **changes: Any) -> IngestSettings:
    return msgspec.structs.replace(
        settings, **{"watch_seconds": 0.5, "stall_seconds": 3.0, "refresh_seconds": 1.0} | changes
    )


def test_ingest_says_when_it_is_ready_and_shows_lag_from_the_start(
    settings: IngestSettings, topic: str, running: Call, publish: Call, message: Call
) -> None:
    with running(quick(settings)) as run:
        run.until(lambda: run.ingest.problems() == [])
        assert gauge(run, "partitions_open") == gauge(run, "partitions_assigned") == 4
        assert [gauge(run, "lag_records", topic=topic, partition=str(n)) for n in range(4)] == [0] * 4
        publish([message() for _ in range(10)])
        run.until(lambda: run.ingest.counters.accepted == 10)
        time.sleep(4)
        assert run.ingest.problems() == []
        assert restarts(run.registry) == 0
    assert run.ingest.problems() == ["ingest does not run"]


def test_a_missing_topic_is_a_problem_and_no_stall(settings: IngestSettings, running: Call) -> None:
    with running(quick(settings, topics=(f"missing-{uuid4().hex}",))) as run:
        run.until(lambda: any("does not exist" in it for it in run.ingest.problems()))
        time.sleep(4)
        assert restarts(run.registry) == 0


def consumer_of(group: str) -> KafkaConsumer:
    """The Kafka client of the ingest that runs in this process."""
    [consumer] = consumers(group)
    return consumer


def test_a_client_whose_own_thread_has_died_is_replaced(
    settings: IngestSettings, running: Call, publish: Call, message: Call
) -> None:
    with running(quick(settings)) as run:
        run.until(lambda: run.ingest.problems() == [])
        net = consumer_of(settings.group_id)._net
        net._stop = True  # as the thread is left by an error; every later call waits for ever
        net.wakeup()
        run.until(lambda: gauge(run, "client_restarts_total", cause="client_hangs") == 1, seconds=90)
        publish([message() for _ in range(20)])
        run.until(lambda: run.ingest.counters.accepted == 20, seconds=90)
        run.until(lambda: run.ingest.problems() == [], seconds=60)


@pytest.mark.needs_kafka
def test_a_member_that_lost_its_place_without_notice_is_given_a_new_client(
    settings: IngestSettings, running: Call, publish: Call, message: Call
) -> None:
    with running(quick(settings, assignment="group")) as run:
        run.until(lambda: run.ingest.problems() == [], seconds=60)
        consumer = consumer_of(settings.group_id)
        consumer._coordinator._close_heartbeat()
        with closing(KafkaAdminClient(bootstrap_servers=list(settings.bootstrap_servers))) as admin:
            member = consumer.group_metadata().member_id
            admin.remove_group_members(settings.group_id, [MemberToRemove(member_id=member)])
        run.until(lambda: gauge(run, "client_restarts_total", cause="not_a_member") == 1, seconds=90)
        publish([message() for _ in range(20)])
        run.until(lambda: run.ingest.counters.accepted == 20, seconds=90)


def test_clients_that_stall_again_and_again_end_ingest_with_words(
    settings: IngestSettings, database: Database
) -> None:
    run = Running(quick(settings), database)
    try:
        health = run.ingest._health
        until = time.monotonic() + 120
        while run.alive and time.monotonic() < until:
            reader = health.reader
            if reader is not None:
                health.client_stalled(reader.client, ClientStalledError("fetch_stalled", "stands still"))
            time.sleep(0.1)
        run.join(60)
    finally:
        run.ingest.stop()
    assert isinstance(run.error, UnavailableError)
    assert "a supervisor restarts this process" in str(run.error)
    assert restarts(run.registry) == 6


@pytest.mark.needs_kafka
@pytest.mark.thorough  # a broker that restarts while a member joins is in each run
def test_a_rejoin_that_one_poll_began_is_ended_by_the_next(settings: IngestSettings) -> None:
    """The fault of the library: a rejoin because of changed metadata is forgotten when the poll's time is up."""
    changes: deque[tuple[bool, set[TopicPartition]]] = deque()
    with closing(KafkaConsumer(**consumer_options(settings))) as consumer:
        consumer.subscribe(topics=list(settings.topics), listener=Listener(consumer, changes))
        poll_until(consumer, lambda: len(consumer.assignment()) == 4)
        coordinator = consumer._coordinator
        consumer._cluster.config["metadata_max_age_ms"] = 600_000
        forgotten = 0
        for _ in range(20):  # on a busy machine the join may end before anybody looks
            coordinator._assignment_snapshot = {}  # as if the topic had not been known at the join
            consumer.poll(timeout_ms=0)
            until = time.monotonic() + 5
            while (
                coordinator._assignment_snapshot != coordinator._metadata_snapshot
                and time.monotonic() < until
            ):
                time.sleep(0.01)
            forgotten += not coordinator.need_rejoin() and not coordinator.stable()
            poll_until(consumer, coordinator.stable)
            if forgotten:
                break
        assert forgotten, "the library remembers the rejoin: the work-round is not needed"


def poll_until(consumer: KafkaConsumer, condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "the member does not come into the group"
        finish_rejoin(consumer)
        consumer.poll(timeout_ms=200)


def received(run: Running, records: int) -> bool:
    return run.ingest.counters.received == records


@pytest.mark.needs_kafka
def test_every_start_of_a_member_on_a_busy_machine_reads(
    settings: IngestSettings, database: Database, publish: Call, message: Call, thorough: bool
) -> None:
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    try:
        for _ in range(15 if thorough else 4):
            run = Running(quick(settings, assignment="group", stall_seconds=60.0), database)
            try:
                publish([message()])
                run.until(partial(received, run, 1), seconds=60)
                assert restarts(run.registry) == 0
            finally:
                run.stop()
            assert run.error is None
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@pytest.mark.needs_kafka
def test_new_partitions_are_read_soon_by_two_members(
    settings: IngestSettings, make_topic: Call, running: Call, publish: Call, query: Query, message: Call
) -> None:
    name = make_topic(2)
    mine = quick(settings, topics=(name,), assignment="group", stall_seconds=30.0)
    with running(mine) as one, running(mine) as two:
        both = (one, two)
        one.until(lambda: [gauge(run, "partitions_open") for run in both] == [1, 1], seconds=60)
        with closing(KafkaAdminClient(bootstrap_servers=list(settings.bootstrap_servers))) as admin:
            admin.create_partitions({name: 6})
        one.until(lambda: query(STREAMS) == [(6,)], seconds=60)
        one.until(lambda: [gauge(run, "partitions_open") for run in both] == [3, 3], seconds=60)
        publish([message() for _ in range(60)], topic=name)
        one.until(lambda: sum(run.ingest.counters.accepted for run in both) == 60)
        one.until(lambda: one.ingest.problems() == two.ingest.problems() == [], seconds=60)
        assert restarts(one.registry) == restarts(two.registry) == 0


@pytest.mark.thorough
@pytest.mark.needs_kafka
def test_a_stopped_member_is_no_stall_of_the_other_and_comes_back(
    settings: IngestSettings,
    broker: Broker,
    topic: str,
    migrated_url: str,
    running: Call,
    publish: Call,
    query: Query,
    message: Call,
) -> None:
    command = [sys.executable, "-m", "tests.ingest.ingest_process", migrated_url, broker.bootstrap_servers]
    with running(quick(settings, assignment="group", stall_seconds=30.0)) as run:
        run.until(lambda: gauge(run, "partitions_open") == 4, seconds=60)
        member = subprocess.Popen(
            [*command, topic, settings.group_id, "group"], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        try:
            run.until(lambda: gauge(run, "partitions_open") == 2, seconds=60)
            os.kill(member.pid, signal.SIGSTOP)
            publish([message() for _ in range(40)])
            run.until(lambda: query("SELECT count(*) FROM audit_trail.event") == [(40,)], seconds=90)
            os.kill(member.pid, signal.SIGCONT)
            run.until(lambda: gauge(run, "partitions_open") == 2, seconds=90)
            publish([message() for _ in range(40)])
            run.until(lambda: query("SELECT count(*) FROM audit_trail.event") == [(80,)], seconds=60)
            assert restarts(run.registry) == 0
        finally:
            member.kill()
            member.wait()


@pytest.mark.thorough
@pytest.mark.needs_kafka
def test_a_broker_that_restarts_while_a_member_joins_is_waited_for(
    settings: IngestSettings, server_folder: Path, topic: str, running: Call, message: Call
) -> None:
    with ApacheKafka(server_folder / "kafka") as kafka:
        mine = quick(
            settings,
            bootstrap_servers=(kafka.bootstrap_servers,),
            assignment="group",
            create_topics=True,
            stall_seconds=30.0,
        )
        with running(mine) as run:
            run.until(lambda: consumers(settings.group_id), seconds=60)
            kafka.stop()
            run.until(lambda: any(it.startswith("Kafka") for it in run.ingest.problems()), seconds=60)
            kafka.start()
            with closing(Publisher(mine)) as publisher:
                publisher.publish([Message(topic, None, message()) for _ in range(5)])
            run.until(lambda: run.ingest.counters.accepted == 5, seconds=120)
            run.until(lambda: run.ingest.problems() == [], seconds=60)


@pytest.mark.needs_kafka  # the embedded broker's ends of partitions are too low by up to a batch
def test_the_lag_of_partitions_that_nobody_reads_is_shown(
    settings: IngestSettings, topic: str, database: Database, publish: Call, message: Call
) -> None:
    """A watchdog without a reader, as a member sees partitions that its group has given to nobody."""
    publish([message() for _ in range(40)])
    registry = CollectorRegistry()
    watchdog = Watchdog(quick(settings), database, IngestMetrics(registry), Health())
    watchdog.start()
    until = time.monotonic() + 60
    total = 0.0
    while total != 40 and time.monotonic() < until:
        time.sleep(0.1)
        total = sum(
            registry.get_sample_value("audit_trail_ingest_lag_records", {"topic": topic, "partition": str(n)})
            or 0
            for n in range(4)
        )
    watchdog.stop()
    assert total == 40


def consumers(group: str) -> list[KafkaConsumer]:
    return [
        it
        for it in gc.get_objects()
        if type(it) is KafkaConsumer  # isinstance would ask objects that load something when they are asked
        and it.config["group_id"] == group
        and not getattr(it, "_closed", True)
    ]
