"""What becomes of the events of a `Publisher`: spool or outbox, relay, confirmation, and the order of start and end."""

from __future__ import annotations

import atexit
import logging
import math
import os
import threading
import weakref
from collections.abc import Callable

from msgspec import Struct

from audit_trail_publisher.confirming import Confirmer
from audit_trail_publisher.counters import Counters
from audit_trail_publisher.errors import (
    ClosedError,
    ConfigurationError,
    NotConfirmedError,
    RejectedEventError,
    SpoolFullError,
)
from audit_trail_publisher.messages import Message
from audit_trail_publisher.outbox.outbox import Outbox
from audit_trail_publisher.outbox.rows import DBAPIConnection, OutboxRow, OutboxWriter, writer_of
from audit_trail_publisher.presence import Presence, UncleanStop
from audit_trail_publisher.promises import Confirmation, Promise, Receipt
from audit_trail_publisher.relay.relay import Relay
from audit_trail_publisher.relay.spool_backlog import SpoolBacklog
from audit_trail_publisher.spool.spool import Spool
from audit_trail_publisher.transports.serialized import Serialized
from audit_trail_publisher.transports.transport import Transport

log = logging.getLogger("audit_trail_publisher")


class Lifecycle(Struct, frozen=True):
    """Makes the messages of a service's own events."""

    started: Callable[[], Message]
    restarted: Callable[[list[UncleanStop]], Message]
    stopped: Callable[[], Message]


class Pipeline:
    """See `trail.Sink`. Opens nothing before it is used; a forked child opens its own.

    `full_seconds`: how long `keep` waits for room. `lifecycle` None records neither start nor stop.
    """

    def __init__(
        self,
        spool: Spool,
        transport: Transport,
        counters: Counters,
        *,
        confirmer: Confirmer | None,
        outbox: Outbox | None,
        transaction: Callable[[], DBAPIConnection | OutboxWriter] | None,
        lifecycle: Lifecycle | None,
        full_seconds: float | None,
        confirm_seconds: float,
        close_seconds: float,
    ) -> None:
        self.spool = spool
        self.counters = counters
        self._transport = Serialized(transport)
        self._confirmer = confirmer
        self._outbox = outbox
        self._transaction = transaction
        self.lifecycle = lifecycle
        self._full_seconds = full_seconds
        self._confirm_seconds = confirm_seconds
        self._close_seconds = close_seconds
        self._presence = Presence(spool.folder)
        self._backlog = SpoolBacklog(spool, self._presence.seen)
        self._relays: list[Relay] = []
        self._starting = threading.RLock()
        self._closed = False
        _pipelines.add(self)

    @property
    def running(self) -> bool:
        """Whether every relay of this process runs."""
        return bool(self._relays) and all(relay.running for relay in self._relays)

    def keep(self, message: Message, promise: Promise) -> Receipt:
        """See `Sink.keep`."""
        if promise is Promise.TRANSACTIONAL:
            if self._transaction is None:
                raise ConfigurationError(
                    "the promise `transactional` needs `transaction`, or a call of `within`"
                )
            return self.write(message, self._transaction())
        self._add(message)
        return Receipt(event_id=message.event_id, promise=promise)

    def confirm(self, message: Message, seconds: float | None) -> Confirmation:
        """See `Sink.confirm`."""
        if self._confirmer is None:
            raise ConfigurationError("the promise `confirmed` needs the `url` of the trail's API")
        body = self._add(message)
        try:
            confirmed = self._confirmer.wait(
                message.event_id, body, self._confirm_seconds if seconds is None else seconds
            )
        except (NotConfirmedError, RejectedEventError):
            self.counters.add("unconfirmed")
            raise
        self.counters.add("confirmed")
        return confirmed

    def write(self, message: Message, transaction: DBAPIConnection | OutboxWriter) -> Receipt:
        """See `Sink.write`."""
        if self._closed:
            raise ClosedError
        if self._outbox is not None:
            self._run()
        writer_of(transaction).write(OutboxRow.of(message))
        self.counters.add("kept_transactional")
        return Receipt(event_id=message.event_id, promise=Promise.TRANSACTIONAL)

    def start(self) -> None:
        """See `Sink.start`."""
        with self._starting:
            self._run()
            if self.lifecycle is None or self._presence.begun:
                return
            first, stops = self._presence.begin()
            if stops:
                if self._add_own(self.lifecycle.restarted(stops)):
                    self._presence.forget(stops)
            elif first:
                self._add_own(self.lifecycle.started())

    def close(self, seconds: float | None) -> None:
        """See `Sink.close`."""
        with self._starting:
            if self._closed:
                return
            seconds = self._close_seconds if seconds is None else seconds
            try:
                with self._presence.ending() as last:
                    if last and self.lifecycle is not None:
                        self._add_own(self.lifecycle.stopped())
            finally:
                self._closed = True
                atexit.unregister(self._at_exit)
                for relay in self._relays:
                    relay.stop(seconds)
                if self._confirmer is not None:
                    self._confirmer.close()
                if not any(relay.running for relay in self._relays):
                    self.spool.close()

    def before_fork(self) -> None:
        """Bring everything into a state that a child can begin from."""
        self._starting.acquire()
        self._backlog.before_fork()
        self.spool.before_fork()

    def after_fork(self, *, child: bool) -> None:
        """Go on, in the child with a relay of its own, which waits until that of the parent has ended."""
        if child:
            self._relays = []
            self._presence.after_fork()
            self._transport.forget()
            self.counters.reset()
            if self._confirmer is not None:
                self._confirmer.forget()
            if self._outbox is not None:
                self._outbox.after_fork()
        self.spool.after_fork(child=child)
        self._backlog.after_fork(child=child)
        self._starting.release()

    def _add(self, message: Message) -> bytes:
        if self._closed:
            raise ClosedError
        if not self._relays:
            self._run()
        try:
            wait = math.inf if self._full_seconds is None else self._full_seconds
            body = self.spool.add(message, wait=wait, is_open=lambda: not self._closed)
        except SpoolFullError:
            self.counters.add("spool_full")
            raise
        self.counters.add("kept_durable")
        if self._relays:
            self._relays[0].wake()
        return body

    def _add_own(self, message: Message) -> bool:
        """Keep an event of the service itself. Whether there was room: a full spool keeps no service from starting."""
        try:
            self.spool.add_own(message)
        except SpoolFullError as exc:
            self.counters.add("spool_full")
            log.critical("%s is not recorded: %s", message.type, exc)
            return False
        self.counters.add("kept_durable")
        if self._relays:
            self._relays[0].wake()
        return True

    def _run(self) -> None:
        """Start the relays of this process."""
        with self._starting:
            if self._closed:
                raise ClosedError
            if self._relays:
                return
            relays = [Relay(self._backlog, self._transport)]
            if self._outbox is not None:
                relays.append(Relay(self._outbox, self._transport, "outbox"))
            try:
                for relay in relays:
                    relay.start()
            except RuntimeError:
                return  # the interpreter ends: what is kept now is sent by the next run
            self._relays = relays
            atexit.register(self._at_exit)

    def _at_exit(self) -> None:
        self.close(None)


_pipelines: weakref.WeakSet[Pipeline] = weakref.WeakSet()
_fork = threading.RLock()
_forking: list[Pipeline] = []


def _before_fork() -> None:
    _fork.acquire()
    _forking[:] = list(_pipelines)
    for pipeline in _forking:
        pipeline.before_fork()


def _after_fork(*, child: bool) -> None:
    for pipeline in reversed(_forking):
        pipeline.after_fork(child=child)
    _forking.clear()
    _fork.release()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=lambda: _after_fork(child=False),
    after_in_child=lambda: _after_fork(child=True),
)
