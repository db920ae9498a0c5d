"""Create Kafka clients, and translate their errors."""

from __future__ import annotations

from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer
from kafka.errors import (
    AuthorizationError,
    FencedInstanceIdError,
    KafkaConfigurationError,
    KafkaError,
    SaslAuthenticationFailedError,
    UnsupportedCodecError,
    UnsupportedVersionError,
)

from domain.errors import ConfigurationError, UnavailableError

Client = TypeVar("Client", KafkaConsumer, KafkaAdminClient)

_REFUSED = (
    AuthorizationError,
    KafkaConfigurationError,
    SaslAuthenticationFailedError,
    UnsupportedVersionError,
)


def connected(kind: type[Client], options: dict[str, Any]) -> Client:
    """Create a client that is connected to a broker. Raises `UnavailableError` or `ConfigurationError`.

    The constructors of kafka-python start a thread and then wait for a broker. Without a broker they raise and leak the
    thread and its sockets. While a broker is away, that would happen with every try.
    """
    client = kind.__new__(kind)
    try:
        client.__init__(**options)  # type: ignore[misc]
    except KafkaError as exc:
        inner = getattr(client, "_client", None)
        if inner is not None:
            inner.close()
        raise translated(exc) from exc
    return client


def translated(exc: KafkaError) -> UnavailableError | ConfigurationError:
    """Translate a Kafka error: a refusal needs an operator, any other error may be temporary."""
    name = type(exc).__name__
    if isinstance(exc, UnsupportedCodecError):
        return ConfigurationError(
            f"this installation can't decompress a record ({exc}): install the named library"
        )
    if isinstance(exc, _REFUSED):
        return ConfigurationError(
            f"Kafka refuses this client ({name}): check its version, the rights, and the ssl_* and sasl_* settings"
        )
    if isinstance(exc, FencedInstanceIdError):
        return UnavailableError(
            "another member of the group has the same AUDIT_TRAIL_KAFKA_GROUP_INSTANCE_ID: give each process its own"
        )
    return UnavailableError(f"Kafka does not answer ({name})")
