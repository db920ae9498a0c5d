"""Messages and bombs larger than a service should send."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from kafka import KafkaProducer

from ingest.settings import IngestSettings

Query = Callable[..., list[tuple[Any, ...]]]


Call = Callable[..., Any]


MIB = 1 << 20


CODECS = ("gzip", "snappy", "lz4", "zstd")


EVENTS = "SELECT count(*) FROM audit_trail.event"


LETTERS = "SELECT count(*) FROM audit_trail.dead_letter"


LARGE = {"max.message.bytes": str(64 * MIB)}


def send(
    settings: IngestSettings, topic: str, values: Sequence[bytes], codec: str | None = None, **options: Any
) -> None:
    """Publish as a service does that knows no limits: each value in a batch of its own."""
    with closing(
        KafkaProducer(
            bootstrap_servers=list(settings.bootstrap_servers),
            compression_type=codec,
            max_request_size=1 << 30,
            batch_size=1,
            **options,
        )
    ) as producer:
        for value in values:
            producer.send(topic, value, partition=0).get(timeout=120)


def padded(message: Call, size: int) -> bytes:
    """A valid message of `size` bytes."""
    value: bytes = message()
    return value.replace(b",", b"," + b" " * (size - len(value)), 1)
