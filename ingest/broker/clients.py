"""Create Kafka clients, and translate their errors."""

from __future__ import annotations

from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer
from kafka.errors import FencedInstanceIdError, KafkaError, KafkaTimeoutError, UnsupportedCodecError

from domain.errors import ConfigurationError, UnavailableError
from ingest.broker.refusals import SILENT, ReportingClient, check_sasl, refusal, tls_context

Client = TypeVar("Client", KafkaConsumer, KafkaAdminClient)


def connected(kind: type[Client], options: dict[str, Any]) -> Client:
    """Create a client that is connected to a broker. Raises `UnavailableError` or `ConfigurationError`.

    The constructors of kafka-python start a thread and then wait for a broker. Without a broker they raise and leak the
    thread and its sockets. While a broker is away, that would happen with every try.
    """
    check_sasl(options)
    client = kind.__new__(kind)
    try:
        client.__init__(  # type: ignore[misc]
            **options, kafka_client=ReportingClient, ssl_context=tls_context(options)
        )
    except KafkaError as exc:
        inner = getattr(client, "_client", None)
        if inner is None:
            raise translated(exc) from exc
        inner.close()
        error = translated(exc)
        if isinstance(exc, KafkaTimeoutError):
            reason = f": {inner.reason}" if inner.reason else ""
            error = UnavailableError(f"Kafka does not answer ({type(exc).__name__}{reason}): {SILENT}")
        raise error from exc
    return client


def translated(exc: KafkaError) -> UnavailableError | ConfigurationError:
    """Translate a Kafka error: a refusal needs an operator, any other error may be temporary."""
    name = type(exc).__name__
    if isinstance(exc, UnsupportedCodecError):
        return ConfigurationError(
            f"this installation can't decompress a record ({exc}): install the named library"
        )
    change = refusal(exc)
    if change is not None:
        return ConfigurationError(f"Kafka refuses this client: {change}")
    if isinstance(exc, FencedInstanceIdError):
        return UnavailableError(
            "another member of the group has the same AUDIT_TRAIL_KAFKA_GROUP_INSTANCE_ID: give each process its own"
        )
    return UnavailableError(f"Kafka does not answer ({name})")
