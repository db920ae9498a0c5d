"""The transport that writes to Kafka itself. It needs the extra `kafka`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from audit_trail_publisher.errors import ConfigurationError, DeniedError, TransportError
from audit_trail_publisher.messages import Message
from audit_trail_publisher.transports.transport import BatchTooLargeError, Delivery

try:
    from kafka import KafkaProducer
    from kafka.errors import (
        AuthorizationError,
        KafkaError,
        KafkaTimeoutError,
        MessageSizeTooLargeError,
        SaslAuthenticationFailedError,
    )
    from kafka.net.compat import KafkaNetClient
except ImportError as exc:
    raise ConfigurationError(
        "KafkaTransport needs kafka-python: install audit-trail-publisher[kafka]"
    ) from exc

_OWN = frozenset({
    *("key_serializer", "value_serializer", "transactional_id", "acks", "enable_idempotence", "partitioner"),
    *("max_in_flight_requests_per_connection", "allow_auto_create_topics", "kafka_client"),
})  # fmt: skip
"""Options that the promises depend on."""
_JOIN_SECONDS = 5.0


class KafkaTransport:
    """Sends batches to the trail's `topic`. An event is safe when all in-sync replicas have it.

    `options` are those of kafka-python's `KafkaProducer`, for TLS, SASL and compression. `seconds` is how long a batch
    may take.
    """

    max_events = 500
    max_bytes = 4 << 20

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str],
        *,
        topic: str = "audit.events",
        seconds: float = 30.0,
        **options: Any,
    ) -> None:
        if taken := sorted(_OWN & options.keys()):
            raise ConfigurationError(f"the transport sets {', '.join(taken)} itself")
        self._topic = topic
        self._seconds = seconds
        milliseconds = int(seconds * 1000)
        self._options: dict[str, Any] = {
            "metrics_enabled": False,
            "batch_size": 256 << 10,
            "linger_ms": 2,
            "max_request_size": (1 << 20) + (64 << 10),
            "max_block_ms": milliseconds,
            "bootstrap_timeout_ms": milliseconds,
            "request_timeout_ms": max(1, milliseconds // 2),
            **options,
            "bootstrap_servers": bootstrap_servers,
            # Longer than `send` waits: the producer never gives a batch up and then sends the one behind it.
            "delivery_timeout_ms": 4 * milliseconds,
            # One request at a time: what a producer had in flight when it was given up comes before everything else.
            "max_in_flight_requests_per_connection": 1,
            "acks": "all",
            "enable_idempotence": True,
            "allow_auto_create_topics": False,
        }
        self._producer: KafkaProducer | None = None

    def send(self, messages: Sequence[Message]) -> Delivery:
        """See `Transport.send`."""
        until = time.monotonic() + self._seconds
        try:
            producer = self._connected()
            futures = self._written(producer, messages)
        except KafkaError as exc:
            self._give_up()
            raise _translated(exc, self._topic) from exc
        accepted: set[UUID] = set()
        error: TransportError | None = None
        for message, future in futures:
            try:
                future.get(timeout=max(0.001, until - time.monotonic()))
            except KafkaError as exc:
                # Later batches of the producer would overtake this one.
                self._give_up()
                error = error or _translated(exc, self._topic)
            else:
                accepted.add(message.event_id)
        if isinstance(error, BatchTooLargeError):
            raise error
        return Delivery(accepted=frozenset(accepted), error=error)

    def close(self) -> None:
        """See `Transport.close`."""
        self._give_up()

    def forget(self) -> None:
        """See `Transport.forget`."""
        if self._producer is not None:
            _PARENTS.append(self._producer)
            self._producer = None

    def _written(self, producer: KafkaProducer, messages: Sequence[Message]) -> list[tuple[Message, Any]]:
        """The messages that the producer took, with their futures: those before the first that is too large for it."""
        futures: list[tuple[Message, Any]] = []
        for message in messages:
            try:
                futures.append(
                    (message, producer.send(self._topic, key=message.key.encode(), value=message.body))
                )
            except MessageSizeTooLargeError as exc:
                if not futures:
                    raise BatchTooLargeError("an event is larger than the producer may send") from exc
                break
        return futures

    def _connected(self) -> KafkaProducer:
        if self._producer is None:
            clients: list[KafkaNetClient] = []

            def client(**options: Any) -> KafkaNetClient:
                clients.append(KafkaNetClient(**options))
                return clients[-1]

            try:
                self._producer = KafkaProducer(kafka_client=client, **self._options)
            except BaseException:
                # Without a broker the constructor raises, and leaves the thread and the sockets of its client.
                for each in clients:
                    each.close()
                raise
        return self._producer

    def _give_up(self) -> None:
        """End the producer without sending what it has: `close` would go on sending, and raise."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer._sender.force_close()
            producer._sender.join(_JOIN_SECONDS)
            with suppress(KafkaError):
                producer.close(timeout=0)


_PARENTS: list[object] = []
"""Producers of the parent of a forked process, kept so that nothing closes their sockets."""


def _translated(exc: KafkaError, topic: str) -> TransportError:
    name = type(exc).__name__
    if isinstance(exc, MessageSizeTooLargeError):
        return BatchTooLargeError("an event is larger than the broker accepts")
    if isinstance(exc, AuthorizationError | SaslAuthenticationFailedError):
        return DeniedError(f"Kafka refuses this client ({name})")
    if isinstance(exc, KafkaTimeoutError):
        return TransportError(f"Kafka has no topic {topic}, or does not answer")
    return TransportError(f"Kafka does not answer ({name})")
