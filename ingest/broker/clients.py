"""How Kafka clients are made, and their errors in our words."""

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
    """A client that has found a broker. Raises `UnavailableError` or `ConfigurationError`.

    The constructor of kafka-python's clients starts a thread and then waits for a broker; when it finds none it raises
    and leaves thread and sockets behind. While a broker is away that would be one more of each with every try.
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
    """A Kafka client's error in our words: refused is for an operator, all else may pass."""
    name = type(exc).__name__
    if isinstance(exc, UnsupportedCodecError):
        return ConfigurationError(
            f"a record is compressed in a way that this installation can't read ({exc}): install what it names"
        )
    if isinstance(exc, _REFUSED):
        return ConfigurationError(
            f"Kafka refuses this client ({name}): look at its version, the rights, and the ssl_* and sasl_* settings"
        )
    if isinstance(exc, FencedInstanceIdError):
        return UnavailableError(
            "another member of the group has the same AUDIT_TRAIL_KAFKA_GROUP_INSTANCE_ID: give each process its own"
        )
    return UnavailableError(f"Kafka does not answer ({name})")
