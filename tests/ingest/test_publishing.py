"""What is published is acknowledged by the broker, or the caller is told."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from kafka import KafkaConsumer

from audit_trail.embedded.tansu import TansuBroker
from domain.errors import Reason, RejectedError, UnavailableError
from ingest.partitions.topics import Topics
from ingest.publisher import Message, Publisher
from ingest.settings import IngestSettings
from tests.waiting import eventually


def test_key_value_and_headers_arrive_as_they_were_given(
    settings: IngestSettings, topic: str, publish: Callable[..., Any]
) -> None:
    publish([b"1", None], key=b"k", headers=[("a", b"\xff"), ("a", b"")])
    with closing(
        KafkaConsumer(topic, bootstrap_servers=list(settings.bootstrap_servers), auto_offset_reset="earliest")
    ) as consumer:
        found = [next(consumer), next(consumer)]
    assert [(record.key, record.value) for record in found] == [(b"k", b"1"), (b"k", None)]
    assert [list(record.headers) for record in found] == [[("a", b"\xff"), ("a", b"")]] * 2


def test_a_broker_that_is_away_is_an_error_within_the_time_out(settings: IngestSettings, topic: str) -> None:
    away = msgspec.structs.replace(settings, bootstrap_servers=("127.0.0.1:1",), publish_timeout_seconds=1.0)
    started = time.monotonic()
    with closing(Publisher(away)) as publisher, pytest.raises(UnavailableError):
        publisher.publish([Message(topic, None, b"1")])
    assert time.monotonic() - started < 5


def test_a_producer_of_several_topics_comes_to_rest(
    settings: IngestSettings, make_topic: Callable[[], str]
) -> None:
    first = make_topic()
    with closing(Publisher(settings)) as publisher:
        producer = publisher._connected()
        publisher.publish([Message(first, None, b"1")])
        second = make_topic()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda topic: publisher.publish([Message(topic, None, b"1")]), [first, second] * 2))
        time.sleep(0.5)  # longer than the pause between two requests
        assert {first, second} <= producer._metadata._topics
        assert all(producer._metadata.partitions_for_topic(topic) for topic in (first, second))


@pytest.mark.needs_kafka
def test_a_topic_that_does_not_exist_is_an_error_within_the_time_out(settings: IngestSettings) -> None:
    quick = msgspec.structs.replace(settings, publish_timeout_seconds=1.0)
    with closing(Publisher(quick)) as publisher, pytest.raises(UnavailableError):
        publisher.publish([Message(f"none-{uuid4().hex}", None, b"1")])


def test_a_message_that_is_too_large_is_rejected_and_the_next_goes_through(
    settings: IngestSettings, topic: str
) -> None:
    with closing(Publisher(settings)) as publisher:
        with pytest.raises(RejectedError):
            publisher.publish([Message(topic, None, b"x" * (8 << 20))])
        publisher.publish([Message(topic, None, b"1")])


@pytest.mark.needs_kafka
def test_a_message_that_the_broker_refuses_takes_no_other_with_it(
    settings: IngestSettings, topic: str
) -> None:
    """Within our own limit and above the broker's, once the batch around it is counted."""
    large = os.urandom((1 << 20) - 20)
    with closing(Publisher(settings)) as publisher:
        publisher.publish([Message(topic, None, b"before")])
        for _ in range(2):
            with pytest.raises(RejectedError) as caught:
                publisher.publish([Message(topic, None, large)])
            assert caught.value.reason is Reason.OVERSIZED
            publisher.publish([Message(topic, None, b"after")])


def test_a_broker_that_dies_is_an_error_of_ours_each_time(settings: IngestSettings) -> None:
    own = TansuBroker().start()
    quick = msgspec.structs.replace(
        settings, bootstrap_servers=(own.bootstrap_servers,), publish_timeout_seconds=2.0
    )
    with closing(Topics(quick)) as topics:
        topics.create(("mine",))
    with closing(Publisher(quick)) as publisher:
        publisher.publish([Message("mine", None, b"1")])
        own.kill()
        sender = _left_behind(publisher)
        eventually(lambda: not sender.is_alive())
        for _ in range(2):
            with pytest.raises(UnavailableError):
                publisher.publish([Message("mine", None, b"2")])


def _left_behind(publisher: Publisher) -> threading.Thread:
    """The thread of a producer that is discarded with a message that it can't send."""
    producer = publisher._connected()
    producer.send("mine", value=b"2")
    publisher._discard(producer)
    thread: threading.Thread = producer._sender
    return thread
