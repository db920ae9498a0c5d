"""Why a Kafka broker can't be used: it is away (retry), or it refuses this client (stop).

kafka-python logs the reason of a failed connection, tries again, and finally reports a time-out. `ReportingClient`
keeps the reasons.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from kafka.errors import (
    AuthorizationError,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    InvalidReceiveError,
    KafkaConfigurationError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
)
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.sasl import SASL_MECHANISMS
from kafka.net.selector import NetworkSelector

from domain.errors import ConfigurationError

_Received = tuple[bytes, Exception | None]
_CHUNK = 64 << 10
_PREFIX = "AUDIT_TRAIL_KAFKA_"
SILENT = f"check {_PREFIX}BOOTSTRAP_SERVERS and {_PREFIX}SECURITY_PROTOCOL if the brokers run"
"""A broker ends a connection of the wrong protocol without a word, as a proxy does whose broker is away."""
_PROTOCOL = f"check {_PREFIX}SECURITY_PROTOCOL and the port"
_REASONS: Mapping[type[KafkaError], str] = {
    SaslAuthenticationFailedError: f"check {_PREFIX}SASL_USERNAME and {_PREFIX}SASL_PASSWORD",
    UnsupportedSaslMechanismError: f"check {_PREFIX}SASL_MECHANISM",
    IllegalSaslStateError: f"this port does not use SASL: {_PROTOCOL}",
    TopicAuthorizationFailedError: "grant this client Read, Write and Describe, as its part needs, on the topic",
    GroupAuthorizationFailedError: "grant this client Read on the consumer group",
    ClusterAuthorizationFailedError: "grant this client Write on the topic, or IdempotentWrite on the cluster",
    AuthorizationError: "grant this client the right",
    KafkaConfigurationError: f"check the {_PREFIX}* settings",
    InvalidReceiveError: f"what answers there does not use this protocol: {_PROTOCOL}",
    UnsupportedVersionError: "use Apache Kafka 2.8 or later",
}
"""What an operator must change, by the error. The first class that fits counts."""
_NO_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"}
_ALERT = "ALERT"
"""The broker ended the TLS handshake: the names of these errors contain it."""


def refusal(error: BaseException) -> str | None:
    """What to change when this error is a refusal; None when the broker may only be away."""
    for each in _causes(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted ({each.verify_message}): check {_PREFIX}SSL_CAFILE"
        if isinstance(each, ssl.SSLError) and each.reason in _NO_TLS:
            return f"this port does not use TLS: {_PROTOCOL}"
        if isinstance(each, ssl.SSLError) and _ALERT in str(each.reason):
            return (
                f"it refuses this client's certificate: check {_PREFIX}SSL_CERTFILE and {_PREFIX}SSL_KEYFILE"
            )
        for kind, change in _REASONS.items():
            if isinstance(each, kind):
                names = f" on {', '.join(_names(each))}" if isinstance(each, AuthorizationError) else ""
                return f"{type(each).__name__}{names}: {change}"
    return None


def _names(error: AuthorizationError) -> list[str]:
    """The topics or groups of the error. The library gives them as one name or as a set."""
    found: set[str] = set()
    for each in error.args:
        found |= (
            {str(name) for name in each} if isinstance(each, set | frozenset | list | tuple) else {str(each)}
        )
    return sorted(found)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it was raised from or for. The library also passes causes as arguments."""
    seen: list[BaseException] = [error]
    for each in seen:
        yield each
        following = (each.__cause__, each.__context__, *each.args)
        seen += [one for one in following if isinstance(one, BaseException) and one not in seen]


class _Manager(KafkaConnectionManager):
    """Gives up at the start when every bootstrap server refuses this client.

    A broker closes the connection right after it refused a password. The library drops bytes that it reads together
    with the end of the connection, and with them the refusal, so the transport delivers them first.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        self.failures: dict[str, BaseException] = {}

    def get_connection(self, node_id: Any, *arguments: Any, **options: Any) -> Any:
        servers = [server.node_id for server in self.cluster.bootstrap_brokers()]
        if node_id in servers:
            refusals = [refusal(self.failures[server]) for server in servers if server in self.failures]
            if len(refusals) == len(servers) and all(refusals):
                raise self.failures[node_id]
        known = node_id in self._conns
        connection = super().get_connection(node_id, *arguments, **options)  # type: ignore[no-untyped-call]
        if node_id in servers and not known:
            connection.init_future.add_errback(partial(self.failures.__setitem__, node_id))
        return connection

    async def _build_transport(self, *arguments: Any, **options: Any) -> Any:
        transport = await super()._build_transport(*arguments, **options)  # type: ignore[no-untyped-call]
        most: Any = self.config["receive_message_max_bytes"]
        transport._sock_recv = _data_before_error(partial(_receive, transport, most))
        return transport


def _receive(transport: Any, most: int) -> _Received:
    """What has arrived, and the error that ended the connection.

    The library reads until nothing more is there, so a server that sends faster than it reads would fill the memory.
    This stops at about `most` bytes, the largest answer, and is called again.
    """
    parts: list[bytes] = []
    size = 0
    # What TLS has already decrypted must be read: the socket does not announce it again.
    while size < most or (isinstance(transport._sock, ssl.SSLSocket) and transport._sock.pending()):
        try:
            data = transport._sock.recv(_CHUNK)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            break
        except OSError as exc:
            return b"".join(parts), KafkaConnectionError(exc)
        if not data:
            return b"".join(parts), KafkaConnectionError("socket disconnected")
        parts.append(data)
        size += len(data)
    return b"".join(parts), None


def _data_before_error(receive: Callable[[], _Received]) -> Callable[[], _Received]:
    later: list[Exception] = []

    def received() -> _Received:
        if later:
            return b"", later.pop()
        data, error = receive()
        if data and error:
            later.append(error)
            return data, None
        return data, error

    return received


class ReportingClient(KafkaNetClient):
    """kafka-python's client: its constructor reports a refusal at once, and `reason` is the last failure."""

    def __init__(self, **options: Any) -> None:
        net = NetworkSelector(**options)
        manager = _Manager(net, **options)
        super().__init__(net, manager)  # type: ignore[no-untyped-call]
        self._failures = manager.failures

    @property
    def reason(self) -> BaseException | None:
        """The last failure of a connection to a bootstrap server."""
        return next(reversed(self._failures.values()), None)


_WITH_PASSWORD = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def check_sasl(options: Mapping[str, Any]) -> None:
    """Raise `ConfigurationError`, which names the setting, when SASL options are missing or unknown."""
    if "SASL" not in options.get("security_protocol", ""):
        return
    mechanism = options.get("sasl_mechanism")
    if mechanism not in SASL_MECHANISMS:
        known = ", ".join(sorted(SASL_MECHANISMS))
        raise ConfigurationError(f"{_PREFIX}SASL_MECHANISM is not one of {known}")
    for name in ("username", "password"):
        if mechanism in _WITH_PASSWORD and not options.get(f"sasl_plain_{name}"):
            raise ConfigurationError(f"{_PREFIX}SASL_{name.upper()} is not set, and {mechanism} needs it")


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    """The TLS of a client; None without TLS. Raises `ConfigurationError`, which names the setting."""
    if "SSL" not in options.get("security_protocol", ""):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    ca, certificate, key = (options.get(f"ssl_{name}") for name in ("cafile", "certfile", "keyfile"))
    for name, file in (("CAFILE", ca), ("CERTFILE", certificate), ("KEYFILE", key)):
        _check_readable(f"{_PREFIX}SSL_{name}", file)
    if ca is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(ca)
        except ssl.SSLError as exc:
            raise ConfigurationError(f"{_PREFIX}SSL_CAFILE: {ca} holds no certificate (PEM)") from exc
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, password="")  # without one, Python asks on the terminal
        except (ssl.SSLError, ValueError) as exc:
            raise ConfigurationError(
                f"{_PREFIX}SSL_CERTFILE and {_PREFIX}SSL_KEYFILE are no pair of a certificate and an unencrypted key"
                " (PEM)"
            ) from exc
    elif key is not None:
        raise ConfigurationError(f"{_PREFIX}SSL_CERTFILE is not set, and {_PREFIX}SSL_KEYFILE is: set both")
    return context


def _check_readable(setting: str, file: str | None) -> None:
    if file is None:
        return
    try:
        Path(file).open("rb").close()
    except OSError as exc:
        raise ConfigurationError(f"{setting}: {file} can't be read: {exc.strerror}") from exc
