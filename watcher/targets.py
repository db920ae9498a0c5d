"""Targets: what is checked, how, and when a target counts as down or up again."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from msgspec import Struct

from event_store.outgoing_http import Target as Address
from watcher.secret_values import SecretValue

MAX_WINDOW = 100
"""Newest results of a target that are kept: the largest Y of X of Y."""


class DownRule(Struct, frozen=True):
    """Down after `failures` failed checks among the newest `of`. In a row when both are equal."""

    failures: int
    of: int

    def __str__(self) -> str:
        return f"{self.failures} in a row" if self.failures == self.of else f"{self.failures} of {self.of}"


class BodyContains(Struct, frozen=True):
    """The body contains this text."""

    text: str


class BodyEquals(Struct, frozen=True):
    """The body is JSON whose value at `pointer` (RFC 6901) is this one."""

    pointer: str
    value: str | int | float | bool | None


class Restart(Struct, frozen=True, kw_only=True):
    """Where a target tells its start time or boot id: exactly one of `pointer`, `header` and `metric`.

    `address`: of another resource than the one that is checked.
    """

    pointer: str | None = None
    header: str | None = None
    metric: str | None = None
    address: Address | None = None


class HttpCheck(Struct, frozen=True, kw_only=True):
    """An answer over HTTP: its status, and a condition on its body. Redirects are not followed."""

    address: Address
    statuses: frozenset[int]
    body: BodyContains | BodyEquals | None = None
    headers: Mapping[str, str | SecretValue] = {}
    context: ssl.SSLContext | None = None
    restart: Restart | None = None


class TcpCheck(Struct, frozen=True, kw_only=True):
    """A port that accepts a connection."""

    host: str
    port: int


class TlsCheck(Struct, frozen=True, kw_only=True):
    """A certificate that is valid for another `days`, and trusted unless `verify` is false."""

    host: str
    port: int
    server_name: str
    days: float
    verify: bool
    context: ssl.SSLContext


class KafkaCheck(Struct, frozen=True, kw_only=True):
    """A broker that answers and whose `topics` exist, each partition with a leader.

    Without `servers` it is the trail's own Kafka, with the settings of this process. `options` are those of the client;
    `password` is read for each check.
    """

    servers: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    options: Mapping[str, str] = {}
    password: SecretValue | None = None


class PostgresCheck(Struct, frozen=True, kw_only=True):
    """A database that answers. Without `url` it is the trail's own."""

    url: str | SecretValue | None = None


Check = HttpCheck | TcpCheck | TlsCheck | KafkaCheck | PostgresCheck
KINDS: Mapping[type, str] = {
    HttpCheck: "http",
    TcpCheck: "tcp",
    TlsCheck: "tls",
    KafkaCheck: "kafka",
    PostgresCheck: "postgresql",
}


class WatchedTarget(Struct, frozen=True, kw_only=True):
    """One target. Times are seconds. `service` is whose state its events tell, `owner` who answers for it."""

    name: str
    service: str
    owner: str
    check: Check
    interval: float
    timeout: float
    down: DownRule
    up_after: int

    @property
    def kind(self) -> str:
        """The kind of its check."""
        return KINDS[type(self.check)]


class TargetFile(Struct, frozen=True, kw_only=True):
    """The targets. A time of more than `gap_after` seconds in which nothing was looked at is a gap."""

    targets: tuple[WatchedTarget, ...]
    gap_after: float
