"""Publishes to Kafka. The one module that does: for POST, the command line, requeue and the record of reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError

from domain.errors import Reason, RejectedError, UnavailableError
from ingest.broker.clients import connected, translated
from ingest.records.unread import KEY_AND_HEADERS_BYTES
from ingest.settings import IngestSettings

_SURELY_TAKEN = 900_000
"""Bytes. Kafka's default limit is 1,048,588 for a record with its batch; no smaller message is refused by it."""


LINGER_MS = 5
"""Long enough to put the messages of one POST together, and not felt by who waits for its answer."""


class Message(NamedTuple):
    """A message to publish. Messages with the same `key` keep their order."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Publisher:
    """Publishes and waits until all in-sync replicas have it. For several threads; connects at the first use.

    `linger_ms`: how long a message waits for others to go with it. 0 for who gathers them himself.
    """

    def __init__(self, settings: IngestSettings, *, linger_ms: int = LINGER_MS) -> None:
        self._settings = settings
        self._linger_ms = linger_ms
        self._lock = threading.Lock()
        self._producer: KafkaProducer | None = None

    def publish(self, messages: Iterable[Message]) -> None:
        """Publish all `messages`; returns when every one is acknowledged.

        Raises `UnavailableError` when one could not be within the time-out: some may be published, and to publish all
        again is safe, since ingest drops an event id that it knows. Raises `RejectedError` (oversized) when one is
        larger than the broker takes, and `ConfigurationError` when the broker refuses this client.
        """
        timeout = self._settings.publish_timeout_seconds
        until = time.monotonic() + timeout
        producer = self._connected()
        messages = list(messages)
        try:
            sent = [
                producer.send(topic, key=key, value=value, headers=list(headers))
                for topic, key, value, headers in messages
            ]
            for future in sent:
                future.get(timeout=max(0.001, until - time.monotonic()))
        except MessageSizeTooLargeError as exc:
            # The broker's refusal ends an idempotent producer for good, and takes what others have in flight with it.
            self._discard(producer)
            if all(len(message.value or b"") < _SURELY_TAKEN for message in messages):
                raise UnavailableError("publishing was interrupted; try again") from exc
            raise RejectedError(Reason.OVERSIZED, "the message is larger than the broker takes") from exc
        except KafkaError as exc:
            self._discard(producer)
            raise translated(exc) from exc

    def reach(self, topic: str) -> None:
        """Return when the broker answers and has `topic`; raises what `publish` would."""
        producer = self._connected()
        try:
            producer.partitions_for(topic)
        except KafkaError as exc:
            self._discard(producer)
            raise translated(exc) from exc

    def close(self) -> None:
        """Close the connection. The object can be used again."""
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=self._settings.publish_timeout_seconds)

    def _connected(self) -> KafkaProducer:
        with self._lock:
            if self._producer is None:
                # A producer that finds no broker leaves sockets open, out of reach; an admin client's can be closed.
                timeout_ms = int(self._settings.publish_timeout_seconds * 1000)
                connected(
                    KafkaAdminClient, {"bootstrap_timeout_ms": timeout_ms} | self._settings.client_options()
                ).close()
                try:
                    self._producer = KafkaProducer(
                        **_options(self._settings) | {"linger_ms": self._linger_ms}
                    )
                except KafkaError as exc:
                    raise translated(exc) from exc
            return self._producer

    def _discard(self, producer: KafkaProducer) -> None:
        """After an error begin anew: an idempotent producer can be left in a state that sends nothing any more."""
        with self._lock:
            if self._producer is producer:
                self._producer = None
        with suppress(KafkaError):  # what it still holds can't be sent; that is what the caller is told
            producer.close(timeout=0)


def _options(settings: IngestSettings) -> dict[str, Any]:
    timeout_ms = int(settings.publish_timeout_seconds * 1000)
    return {
        "acks": "all",
        "metrics_enabled": False,  # nobody reads them, and they take a tenth of a publication's time
        "enable_idempotence": True,
        "batch_size": 256 << 10,
        "compression_type": "lz4",
        "max_request_size": max(settings.max_message_bytes + KEY_AND_HEADERS_BYTES, 1 << 20),
        "max_block_ms": timeout_ms,
        "delivery_timeout_ms": timeout_ms,
        "request_timeout_ms": max(1, timeout_ms // 2),
        "bootstrap_timeout_ms": timeout_ms,
        "allow_auto_create_topics": False,
        **settings.client_options(),
    }
