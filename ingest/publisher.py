"""Publish to Kafka: for POST, the command line, requeue and access records. No other module does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from domain.errors import Reason, RejectedError, UnavailableError
from ingest.broker.clients import connected, translated
from ingest.records.unread import KEY_AND_HEADERS_BYTES
from ingest.settings import IngestSettings

_ALWAYS_ACCEPTED = 900_000
"""Bytes.

Kafka's default limit is 1,048,588 for a record with its batch; smaller messages are never refused for size.
"""


_START_MS = 2000
"""How long the start of a part waits for an answer of the brokers."""

LINGER_MS = 5
"""Long enough to group the messages of one POST, and imperceptible to the client."""


class Message(NamedTuple):
    """A message to publish. Messages with the same `key` keep their order."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Publisher:
    """Publishes and waits for the acknowledgement of all in-sync replicas. Thread-safe; connects at first use.

    `linger_ms` is how long a message waits for others. Use 0 for callers that group messages themselves.
    """

    def __init__(self, settings: IngestSettings, *, linger_ms: int = LINGER_MS) -> None:
        self._settings = settings
        self._linger_ms = linger_ms
        self._lock = threading.Lock()
        self._producer: KafkaProducer | None = None

    def publish(self, messages: Iterable[Message]) -> None:
        """Publish all `messages`. Returns when each is acknowledged.

        Raises `UnavailableError` when one is not acknowledged within the time-out. Some may be published then;
        publishing all again is safe, because ingest drops known event ids. Raises `RejectedError` (oversized) when a
        message exceeds the broker's limit, and `ConfigurationError` when the broker refuses this client.
        """
        timeout = self._settings.publish_timeout_seconds
        until = time.monotonic() + timeout
        producer = self._connected()
        messages = list(messages)
        for topic in {message.topic for message in messages}:
            # The client knows all topics from its first answer, and later asks for those alone that it was told to
            # follow. A topic that it has sent to and does not follow makes it ask without a pause.
            producer._sender.add_topic(topic)
        try:
            sent = [
                producer.send(topic, key=key, value=value, headers=list(headers))
                for topic, key, value, headers in messages
            ]
            for future in sent:
                future.get(timeout=max(0.001, until - time.monotonic()))
        except MessageSizeTooLargeError as exc:
            # The refusal makes an idempotent producer unusable, with the messages that other callers have in flight.
            self._discard(producer)
            if all(len(message.value or b"") < _ALWAYS_ACCEPTED for message in messages):
                raise UnavailableError("publishing was interrupted; try again") from exc
            raise RejectedError(Reason.OVERSIZED, "the message is larger than the broker accepts") from exc
        except KafkaError as exc:
            self._discard(producer)
            if isinstance(exc, KafkaTimeoutError):
                _raise_if_unknown(producer, {message.topic for message in messages})
            raise translated(exc) from exc

    def reach(self, topic: str) -> None:
        """Return when the broker answers and has `topic`. Raises the errors of `publish`."""
        producer = self._connected()
        try:
            producer.partitions_for(topic)
        except KafkaError as exc:
            self._discard(producer)
            raise translated(exc) from exc

    def refuse_wrong_settings(self) -> None:
        """Raise `ConfigurationError` when the brokers refuse this client.

        Brokers that are away are waited for later.
        """
        options = {"bootstrap_timeout_ms": _START_MS} | self._settings.client_options()
        with suppress(UnavailableError):
            connected(KafkaAdminClient, options).close()

    def close(self) -> None:
        """Close the connection. The object can be used again."""
        with self._lock:
            producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=self._settings.publish_timeout_seconds)

    def _connected(self) -> KafkaProducer:
        with self._lock:
            if self._producer is None:
                # A producer that finds no broker leaks sockets; those of an admin client can be closed.
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
        """Drop the producer after an error: an idempotent producer can be left in a state that sends nothing."""
        with self._lock:
            if self._producer is producer:
                self._producer = None
        # Its remaining messages can't be sent; the caller gets the error. While there are some, `close` alone raises,
        # and leaves the thread that tries to send them.
        producer._sender.force_close()
        with suppress(KafkaError):
            producer.close(timeout=0)


def _raise_if_unknown(producer: KafkaProducer, topics: set[str]) -> None:
    """Raise `UnavailableError` when the brokers did not say where a topic is: the client only reports a time-out."""
    unknown = sorted(topic for topic in topics if not producer._metadata.partitions_for_topic(topic))
    if unknown:
        raise UnavailableError(f"Kafka has no topic {', '.join(unknown)}, or does not answer: create it")


def _options(settings: IngestSettings) -> dict[str, Any]:
    timeout_ms = int(settings.publish_timeout_seconds * 1000)
    return {
        "acks": "all",
        "metrics_enabled": False,  # unused, and they take a tenth of the time of a publication
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
