"""`Publisher`: records events and sends them to the trail."""

from __future__ import annotations

import platform
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import Struct

from audit_trail_publisher.building import EventBuilder, OnMissingActor
from audit_trail_publisher.confirming import Confirmer
from audit_trail_publisher.counters import Counters
from audit_trail_publisher.errors import ACCESS_DENIED, ConfigurationError
from audit_trail_publisher.generated.event import Source
from audit_trail_publisher.messages import Message, message_of
from audit_trail_publisher.options import require_choice
from audit_trail_publisher.outbox.outbox import Outbox
from audit_trail_publisher.outbox.rows import DBAPIConnection, OutboxWriter
from audit_trail_publisher.pipeline import Lifecycle, Pipeline
from audit_trail_publisher.presence import UncleanStop, boot_id
from audit_trail_publisher.promises import Promise
from audit_trail_publisher.spool.spool import RejectedEvent, Spool, SpoolStatus
from audit_trail_publisher.trail import Trail
from audit_trail_publisher.transports.http import HttpTransport
from audit_trail_publisher.transports.http_connection import HttpConnection, Tls, Token
from audit_trail_publisher.transports.transport import Transport

WhenFull = Literal["raise", "block"]

_NEARLY_FULL = 0.8
_MOST_STOPS = 100
"""Unclean stops that one event describes, the newest: a service may be killed very often before a start succeeds."""


class Health(Struct, frozen=True, kw_only=True):
    """The state of the way to the trail."""

    ok: bool
    """Whether there is no problem."""
    problems: tuple[str, ...]
    """What an operator should look at, without data of any event."""
    spool_events: int
    """Events that wait in the spool."""
    spool_bytes: int
    """The bytes of the events that wait in the spool."""
    oldest_unsent_seconds: float
    """How long the oldest event of the spool has waited."""
    rejected: int
    """Events of the spool that the trail rejected, and that are kept."""
    last_error: str
    """Why the last attempt to send failed; empty after one that succeeded."""
    last_error_at: datetime | None
    last_success_at: datetime | None
    """When the trail accepted or rejected an event last."""


class Publisher(Trail):
    """Records events with one of three promises and sends them, in order for each key, until the trail has them.

    One object for each service process, which all threads share::

        trail = Publisher("patient-service", url="https://audit.example", token=token_from_file("/run/secrets/token"),
                          spool="/var/lib/patient-service/audit")

    Nothing is opened before the first event or `start`. After a fork the child opens its own connections; all processes
    of a service share one spool, and one of them sends.

    - `source`: the name of the service. `site` and `instance` are the fields of `Source`; `instance` is by default the
      host's name and the id of the spool, so that a new spool is a new instance.
    - `url`, `token`: the trail's API. `token` is a bearer token with the role `publisher`, or a function that returns
      one; it is called for each request. `confirmed` needs a role that may read the service's events as well. `tls`
      trusts other authorities, or has a client's certificate.
    - `transport` sends instead, e.g. `transports.kafka.KafkaTransport`. `confirmed` still needs `url`.
    - `spool`: the folder for events on their way, on a local disk. It is made when it is missing, for this user alone;
      one that everybody can write to is refused. New events leave 16 MiB of the disk free for the relay.
    - `promise`: the default promise. `transactional` needs `transaction`, which returns the connection or writer of the
      caller's transaction.
    - `outbox`: empties the outbox table, from this process. Leave it out where Debezium or another process does.
    - `when_full`: `raise` raises `SpoolFullError` at once; `block` waits for room, `block_seconds` at the most (None:
      without end). `max_spool_bytes` is the room for events that are not sent yet; 1 MiB more is kept for the
      start and the stop of the service. Events are never dropped.
    - `on_missing_actor`: `raise` raises `MissingActorError`; `unknown` records an actor of unknown kind, and counts it.
    - `sequence`: number the events of the instance (`source.sequence`), so that the trail notices missing ones.
    - `mask`: paths whose values are masked in `before` and `after`.
    - `lifecycle`: whether `start` and `close` record events.
    - `confirm_seconds`, `close_seconds`: the time-outs of `confirmed` and of `close`. `witnessed`: a confirmation waits
      for a tree head that satisfies the log's witness policy.
    - `alert_seconds`: how long an event may wait before `health` calls that a problem.
    """

    def __init__(
        self,
        source: str,
        *,
        spool: str | Path,
        url: str | None = None,
        token: Token | None = None,
        tls: Tls | None = None,
        transport: Transport | None = None,
        site: str | None = None,
        instance: str | None = None,
        promise: Promise | str = Promise.DURABLE,
        transaction: Callable[[], DBAPIConnection | OutboxWriter] | None = None,
        outbox: Outbox | None = None,
        when_full: WhenFull = "raise",
        block_seconds: float | None = None,
        max_spool_bytes: int = 1 << 30,
        on_missing_actor: OnMissingActor = "raise",
        sequence: bool = True,
        mask: Collection[str] = (),
        lifecycle: bool = True,
        confirm_seconds: float = 10.0,
        witnessed: bool = False,
        close_seconds: float = 5.0,
        alert_seconds: float = 300.0,
    ) -> None:
        if transport is None and url is None:
            raise ConfigurationError("give the `url` of the trail's API, or a `transport`")
        require_choice("when_full", when_full, WhenFull)
        self._spool = Spool(Path(spool), max_bytes=max_spool_bytes, sequence=sequence)
        self._outbox = outbox
        self._counters = Counters()
        self._max_spool_bytes = max_spool_bytes
        self._alert_seconds = alert_seconds
        connect = (
            None if url is None else partial(HttpConnection, url, token, seconds=confirm_seconds, tls=tls)
        )
        self._pipeline = Pipeline(
            self._spool,
            transport or HttpTransport(url or "", token, tls=tls),
            self._counters,
            confirmer=None if connect is None else Confirmer(self._spool, connect, witnessed=witnessed),
            outbox=outbox,
            transaction=transaction,
            lifecycle=Lifecycle(self._started, self._restarted, self._stopped) if lifecycle else None,
            full_seconds=block_seconds if when_full == "block" else 0.0,
            confirm_seconds=confirm_seconds,
            close_seconds=close_seconds,
        )
        names = _Names(source, site, instance, self._spool)
        builder = EventBuilder(
            source,
            lambda: names.source,
            on_missing_actor=on_missing_actor,
            mask=mask,
            counters=self._counters,
        )
        super().__init__(builder, self._pipeline, promise)

    def health(self) -> Health:
        """Whether events reach the trail: for a health probe. It must not end the service, which keeps events anyway.

        Raises `SpoolUnavailableError` when the spool can't be read.
        """
        spool = self._spool.status()
        problems = tuple(self._problems(spool))
        return Health(
            ok=not problems,
            problems=problems,
            spool_events=spool.events,
            spool_bytes=spool.bytes,
            oldest_unsent_seconds=spool.oldest_unsent_seconds,
            rejected=spool.rejected,
            last_error=spool.last_error,
            last_error_at=spool.last_error_at,
            last_success_at=spool.last_success_at,
        )

    def metrics(self) -> dict[str, float]:
        """The numbers of `counters.METRICS` by name; `prometheus.PublisherCollector` exports them."""
        found = self._counters.together(self._spool.status())
        if self._outbox is not None:
            found |= {
                "outbox_events": self._outbox.status.events,
                "outbox_oldest_seconds": self._outbox.status.oldest_unsent_seconds,
                "outbox_rejected_events": self._outbox.status.rejected,
            }
        return found

    def rejected(self, limit: int = 100) -> list[RejectedEvent]:
        """Events of the spool that the trail rejected, the oldest first. They stay until `resend` or `discard`.

        `Outbox.rejected` has those of the outbox.
        """
        return self._spool.rejected(limit)

    def resend(self, *event_ids: UUID) -> int:
        """Send rejected events again; all of them without `event_ids`. Returns how many."""
        return self._spool.resend(event_ids)

    def discard(self, event_id: UUID, *, by: str, reason: str) -> bool:
        """Give a rejected event up. Who decided that and why is kept in the spool. False: there is no such event."""
        return self._spool.discard(event_id, by, reason)

    def _problems(self, spool: SpoolStatus) -> list[str]:
        found: list[str] = []
        if not self._pipeline.running:
            found.append("nothing is sent: the publisher was not started, or is closed")
        if spool.oldest_unsent_seconds > self._alert_seconds:
            found.append(
                f"an event has waited for {spool.oldest_unsent_seconds:.0f} s: {spool.last_error or 'no error'}"
            )
        if spool.last_error.startswith(ACCESS_DENIED):
            found.append(f"nothing is sent until an operator helps: {spool.last_error}")
        if spool.bytes > self._max_spool_bytes * _NEARLY_FULL:
            found.append(f"the spool is {100 * spool.bytes // self._max_spool_bytes} % full")
        if spool.rejected:
            found.append(f"the trail rejected {spool.rejected} events")
        if self._outbox is not None:
            if self._outbox.status.oldest_unsent_seconds > self._alert_seconds:
                found.append(
                    f"a row of the outbox has waited for {self._outbox.status.oldest_unsent_seconds:.0f} s"
                )
            if self._outbox.last_error.startswith(ACCESS_DENIED):
                found.append(f"the outbox is not sent until an operator helps: {self._outbox.last_error}")
            if self._outbox.status.rejected:
                found.append(f"the trail rejected {self._outbox.status.rejected} events of the outbox")
        return found

    def _started(self) -> Message:
        return self._own("service.started", {"boot_id": boot_id()})

    def _restarted(self, stops: Sequence[UncleanStop]) -> Message:
        newest = sorted(stops, key=lambda stop: stop.last_seen_at)[-_MOST_STOPS:]
        attributes = {"boot_id": boot_id(), "unclean_stops": msgspec.to_builtins(newest)}
        if len(stops) > len(newest):
            attributes["unclean_stops_before"] = len(stops) - len(newest)
        return self._own("service.restarted", attributes)

    def _stopped(self) -> Message:
        return self._own("service.stopped", {})

    def _own(self, type: str, attributes: dict[str, Any]) -> Message:
        """The message of an event of the service itself, whoever acts around it."""
        event = self._build(type, {"actor": self.itself}, attributes=attributes)
        return message_of(event, numbered=True)


class _Names:
    """The source, which is known when the spool is open."""

    def __init__(self, service: str, site: str | None, instance: str | None, spool: Spool) -> None:
        self._service, self._site, self._instance, self._spool = service, site, instance, spool

    @cached_property
    def source(self) -> Source:
        """Service, site and instance."""
        instance = self._instance or f"{platform.node()}/{self._spool.spool_id()}"
        return Source(service=self._service, site=self._site, instance=instance)
