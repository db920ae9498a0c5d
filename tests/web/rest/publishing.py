"""Events to POST, and what came of them in Kafka."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any
from uuid import uuid4

from kafka import KafkaConsumer, TopicPartition

from audit_trail.embedded.broker import Broker


def native(**fields: Any) -> dict[str, Any]:
    return {
        "event_id": str(uuid4()),
        "type": "user.logged_in",
        "occurred_at": "2026-03-01T08:15:30Z",
        "source": {"service": "authentication"},
        "actor": {"id": "ada"},
    } | fields


def published(broker: Broker, topic: str, count: int) -> list[tuple[bytes, list[tuple[str, bytes]]]]:
    """Value and headers of the first `count` messages of `topic`."""
    messages: list[tuple[bytes, list[tuple[str, bytes]]]] = []
    with closing(
        KafkaConsumer(bootstrap_servers=broker.bootstrap_servers, auto_offset_reset="earliest")
    ) as consumer:
        consumer.assign([TopicPartition(topic, number) for number in range(4)])
        until = time.monotonic() + 20
        while len(messages) < count and time.monotonic() < until:
            for records in consumer.poll(timeout_ms=500).values():
                messages += [(record.value, list(record.headers)) for record in records]
    return messages
