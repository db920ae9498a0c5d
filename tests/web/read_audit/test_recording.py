"""The record of reads: durable before anybody goes on, shared by many, bounded, and refused while Kafka is away."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from starlette.types import Receive, Scope, Send

from audit_trail.embedded.broker import Broker
from audit_trail.embedded.tansu import TansuBroker
from domain.errors import Reason, RejectedError, UnrecordedError
from domain.event import Actor, AuditEvent, Source
from ingest.publisher import Message, Publisher
from ingest.settings import IngestSettings
from tests.hospital import at
from tests.web.conftest import NO_BROKER
from tests.web.read_audit.recorded_server import make_topic, messages_of
from web.read_audit.access_record import AccessRecord, AccessRecorder, access_record_of
from web.read_audit.middleware import Recorded
from web.read_audit.publication import Otherwise, Recording, RecordingSettings, When


class Watched:
    """A real publisher whose publications are counted, and can be held up by `gate`."""

    def __init__(self, publisher: Publisher) -> None:
        self.sizes: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self._publisher = publisher
        self._asked = 0

    def publish(self, messages: Sequence[Message]) -> None:
        self._asked += 1
        assert self.gate.wait(60)
        self._publisher.publish(messages)
        self.sizes.append(len(messages))

    def held(self) -> bool:
        """Whether a publication waits at the gate."""
        return self._asked > len(self.sizes)

    def reach(self, topic: str) -> None:
        self._publisher.reach(topic)


@pytest.fixture
def publisher(broker: Broker) -> Iterator[Watched]:
    settings = IngestSettings(bootstrap_servers=(broker.bootstrap_servers,), publish_timeout_seconds=5)
    with closing(Publisher(settings, linger_ms=0)) as publisher:
        yield Watched(publisher)


@pytest.fixture
def away() -> Iterator[Publisher]:
    settings = IngestSettings(bootstrap_servers=(NO_BROKER,), publish_timeout_seconds=0.3)
    with closing(Publisher(settings, linger_ms=0)) as publisher:
        yield publisher


def look(actor: str = "ada") -> AuditEvent:
    return AuditEvent(
        event_id=uuid4(),
        type="audit_log.read",
        occurred_at=at(0),
        source=Source(service="audit-trail"),
        actor=Actor(id=actor),
    )


def run(
    recording: Callable[[], Recording], what: Callable[[Recording], Coroutine[Any, Any, None]]
) -> Recording:
    async def within() -> Recording:
        made = recording()
        try:
            await what(made)
        finally:
            await made.close(5)
        return made

    return asyncio.run(within())


async def until(check: Callable[[], object], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110 - what changes is in another thread
            await asyncio.sleep(0.01)


def test_an_event_is_in_kafka_when_the_answer_may_be_sent(
    broker: Broker, topic: str, publisher: Watched
) -> None:
    event = look()

    async def ask(recording: Recording) -> None:
        assert await recording.keep([event])
        assert messages_of(broker.bootstrap_servers, topic) == [event]
        assert recording.trouble == ""

    run(lambda: Recording(publisher, RecordingSettings(topic=topic)), ask)


def test_who_asks_meanwhile_goes_together_and_who_asks_alone_waits_for_nobody(
    broker: Broker, topic: str, publisher: Watched
) -> None:
    async def ask(recording: Recording) -> None:
        await recording.keep([look()])
        publisher.gate.clear()
        first = asyncio.create_task(recording.keep([look("first")]))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(recording.keep([look(f"u{number}")])) for number in range(50)]
        await asyncio.sleep(0.05)
        publisher.gate.set()
        assert all(await asyncio.gather(first, *others))

    recording = run(lambda: Recording(publisher, RecordingSettings(topic=topic)), ask)
    assert publisher.sizes == [1, 1, 50]
    assert len(messages_of(broker.bootstrap_servers, topic)) == 52
    assert recording.metrics.recorded._value.get() == 52
    assert recording.metrics.waiting._value.get() == 0


def test_fifty_at_once_cost_a_few_publications(broker: Broker, topic: str, publisher: Watched) -> None:
    async def ask(recording: Recording) -> None:
        await recording.keep([look()])
        assert all(await asyncio.gather(*(recording.keep([look(f"u{n}")]) for n in range(50))))

    run(lambda: Recording(publisher, RecordingSettings(topic=topic)), ask)
    assert len(publisher.sizes) <= 4
    assert len({event.actor.id for event in messages_of(broker.bootstrap_servers, topic)}) == 51


def test_the_event_loop_is_not_blocked_while_kafka_is_slow(topic: str, publisher: Watched) -> None:
    async def ask(recording: Recording) -> None:
        await recording.keep([look()])
        publisher.gate.clear()
        waiting = asyncio.create_task(recording.keep([look()]))
        await until(publisher.held)
        for _ in range(100):
            await asyncio.sleep(0.001)
        assert publisher.held()
        publisher.gate.set()
        assert await waiting

    run(lambda: Recording(publisher, RecordingSettings(topic=topic)), ask)


def test_a_client_that_has_gone_is_recorded_all_the_same(
    broker: Broker, topic: str, publisher: Watched
) -> None:
    async def ask(recording: Recording) -> None:
        await recording.keep([look()])
        publisher.gate.clear()
        first = asyncio.create_task(recording.keep([look("in flight")]))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(recording.keep([look("waiting")]))
        await asyncio.sleep(0.05)
        first.cancel()
        second.cancel()
        await asyncio.wait((first, second))
        publisher.gate.set()

    run(lambda: Recording(publisher, RecordingSettings(topic=topic)), ask)
    actors = {event.actor.id for event in messages_of(broker.bootstrap_servers, topic)}
    assert actors == {"ada", "in flight", "waiting"}


def test_while_kafka_is_away_answers_are_refused_and_soon_at_once(away: Publisher) -> None:
    async def ask(recording: Recording) -> None:
        with pytest.raises(UnrecordedError):
            await recording.keep([look()])
        for _ in range(100):
            with pytest.raises(UnrecordedError):
                recording.keep([look()]).send(None)  # it waits for nothing, or there would be no error yet
        assert "can't be recorded" in recording.trouble

    recording = run(lambda: Recording(away), ask)
    assert recording.metrics.unrecorded.labels("refused")._value.get() == 101
    assert recording.metrics.up._value.get() == 0


def test_a_slow_kafka_is_waited_for_so_long_and_no_longer(topic: str, publisher: Watched) -> None:
    async def ask(recording: Recording) -> None:
        recording.start()
        await until(lambda: recording.trouble == "")
        publisher.gate.clear()
        with pytest.raises(UnrecordedError):
            await recording.keep([look()])
        publisher.gate.set()

    run(lambda: Recording(publisher, RecordingSettings(topic=topic, seconds=0.1)), ask)


def test_flagged_answers_are_given_and_recorded_once_kafka_is_back(tmp_path: Path) -> None:
    broker = TansuBroker(log=tmp_path / "log").start()
    settings = IngestSettings(bootstrap_servers=(broker.bootstrap_servers,), publish_timeout_seconds=1)
    topic = "reads"

    async def ask(recording: Recording) -> None:
        assert await recording.keep([look("before")])
        broker.kill()
        assert not await recording.keep([look("flagged")])
        assert not await recording.keep([look("flagged too")])
        broker.start()
        await asyncio.to_thread(make_topic, broker.bootstrap_servers, topic)
        await until(lambda: recording.trouble == "" and not recording.metrics.waiting._value.get(), 30)
        assert await recording.keep([look("after")])

    make_topic(broker.bootstrap_servers, topic)
    try:
        with closing(Publisher(settings, linger_ms=0)) as publisher:
            options = RecordingSettings(topic=topic, otherwise=Otherwise.FLAG)
            recording = run(lambda: Recording(publisher, options), ask)
        actors = [event.actor.id for event in messages_of(broker.bootstrap_servers, topic)]
        assert set(actors) == {"flagged", "flagged too", "after"}  # the broker forgets at a restart
        assert recording.metrics.unrecorded.labels("flagged")._value.get() == 2
    finally:
        broker.stop()


def test_after_does_not_wait_and_is_refused_when_too_much_waits(
    broker: Broker, topic: str, publisher: Watched
) -> None:
    async def ask(recording: Recording) -> None:
        publisher.gate.clear()
        for number in range(5):
            assert await recording.keep([look(f"u{number}")])
        with pytest.raises(UnrecordedError):
            await recording.keep([look("one too many")])
        assert recording.metrics.waiting._value.get() == 5
        publisher.gate.set()
        await until(lambda: not recording.metrics.waiting._value.get())
        assert await recording.keep([look("again")])

    options = RecordingSettings(topic=topic, when=When.AFTER, max_waiting=5)
    run(lambda: Recording(publisher, options), ask)
    actors = {event.actor.id for event in messages_of(broker.bootstrap_servers, topic)}
    assert actors == {*(f"u{number}" for number in range(5)), "again"}


def test_what_nobody_waits_for_leaves_half_of_the_room(away: Publisher) -> None:
    async def ask(recording: Recording) -> None:
        for _ in range(20):
            recording.later([look()])
        assert recording.metrics.waiting._value.get() == 5
        assert await recording.keep([look()])

    options = RecordingSettings(when=When.AFTER, max_waiting=10)
    recording = run(lambda: Recording(away, options), ask)
    assert recording.metrics.unrecorded.labels("dropped")._value.get() == 15


def test_a_record_that_the_broker_refuses_takes_no_other_with_it(topic: str, publisher: Watched) -> None:
    class Picky(Watched):
        def publish(self, messages: Sequence[Message]) -> None:
            if any(message.key == b"bad" for message in messages):
                raise RejectedError(Reason.OVERSIZED, "the message is larger than the broker accepts")
            super().publish(messages)

    async def ask(recording: Recording) -> None:
        good, bad = (
            asyncio.create_task(recording.keep([look("good")])),
            asyncio.create_task(recording.keep([look("bad")])),
        )
        assert await good
        with pytest.raises(UnrecordedError):
            await bad

    run(lambda: Recording(Picky(publisher._publisher), RecordingSettings(topic=topic)), ask)


def test_a_defect_of_the_publisher_refuses_answers_and_ends_nothing(topic: str, publisher: Watched) -> None:
    class Broken(Watched):
        broken = True

        def publish(self, messages: Sequence[Message]) -> None:
            if self.broken:
                raise ValueError("a defect")
            super().publish(messages)

    made = Broken(publisher._publisher)

    async def ask(recording: Recording) -> None:
        with pytest.raises(UnrecordedError):
            await recording.keep([look()])
        made.broken = False
        await until(lambda: recording.trouble == "")
        assert await recording.keep([look()])

    run(lambda: Recording(made, RecordingSettings(topic=topic)), ask)


def test_a_recorded_request_leaves_nothing_to_the_cycle_collector(publisher: Watched, topic: str) -> None:
    """What waits for the collector is walked all at once, and every answer waits for that."""
    found: list[weakref.ref[AccessRecord]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        record = access_record_of(scope)
        assert record is not None
        found.append(weakref.ref(record))
        record.query_log.add("events", {}, 1, [])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def nothing(*_: Any) -> Any:
        return None

    async def ask() -> None:
        recorder = AccessRecorder(
            Recording(publisher, RecordingSettings(topic=topic)), Source(service="audit-trail")
        )
        scope = {"type": "http", "method": "GET", "path": "/v1/events", "headers": [], "state": {}}
        await Recorded(app, recorder, 1)(scope, nothing, nothing)
        await recorder.close()

    gc.disable()
    try:
        asyncio.run(ask())
        assert found[0]() is None
    finally:
        gc.enable()
    assert sum(publisher.sizes) == 1
