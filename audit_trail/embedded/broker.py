"""The interface of the brokers that Audit Trail can start, and functions for their ports."""

from __future__ import annotations

import socket
import time
from typing import ClassVar, Protocol, Self

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from audit_trail.embedded.process import WatchedProcess
from domain.errors import ConfigurationError, UnavailableError

LOOPBACK = "127.0.0.1"


class Broker(Protocol):
    """A broker that this process supervises."""

    kind: ClassVar[str]
    """Its name for `--broker`: ``embedded`` or ``kafka``."""

    keeps_data: ClassVar[bool]
    """Whether topics and messages survive a restart."""

    @property
    def bootstrap_servers(self) -> str:
        """``host:port``, as Kafka clients want it; the same after a restart of this object."""

    @property
    def running(self) -> bool:
        """Whether the broker runs."""

    def start(self) -> Self:
        """Start it and return once it answers. Raises ConfigurationError or UnavailableError."""

    def stop(self) -> None:
        """Stop it gracefully."""

    def kill(self) -> None:
        """End it as a crash would."""


def free_ports(count: int) -> list[int]:
    """TCP ports of the loopback address that nothing listens on, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def check_free(port: int) -> None:
    """Raise ConfigurationError when another program listens on the port."""
    if _listens(f"{LOOPBACK}:{port}"):
        raise ConfigurationError(f"port {port} of {LOOPBACK} is in use by another program")


def await_answer(bootstrap_servers: str, process: WatchedProcess, limit: float) -> None:
    """Return once the broker describes its cluster.

    Raises ConfigurationError when its process ends, UnavailableError after `limit` seconds.
    """
    deadline = time.monotonic() + limit
    while not (_listens(bootstrap_servers) and _answers(bootstrap_servers)):
        if not process.running:
            raise ConfigurationError(f"{process.name} ended at its start:\n{process.log_tail()}")
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"{process.name} does not answer after {limit:.0f} s:\n{process.log_tail()}"
            )
        time.sleep(0.05)


def _listens(address: str) -> bool:
    """Try the socket first: the client logs each refused connection, and a starting broker refuses many."""
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1.0).close()
    except OSError:
        return False
    return True


def _answers(bootstrap_servers: str) -> bool:
    try:
        admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers, bootstrap_timeout_ms=5000)
    except KafkaError:
        return False
    try:
        return bool(admin.describe_cluster()["brokers"])
    except KafkaError:
        return False
    finally:
        admin.close()
