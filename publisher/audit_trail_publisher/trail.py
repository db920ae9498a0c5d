"""The interface that services record events with. What becomes of an event is its sink's."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from contextvars import copy_context
from typing import Any, Protocol, Self, TypeVar

from msgspec.structs import replace

from audit_trail_publisher.builders import EventBuilders
from audit_trail_publisher.building import EventBuilder
from audit_trail_publisher.context import Context, bound
from audit_trail_publisher.fields import ActorLike, an_actor
from audit_trail_publisher.generated.event import Actor, AuditEvent, Source
from audit_trail_publisher.messages import Message
from audit_trail_publisher.options import a_promise
from audit_trail_publisher.outbox.rows import DBAPIConnection, OutboxWriter
from audit_trail_publisher.promises import Confirmation, Promise, Receipt
from audit_trail_publisher.unkept import remembering

log = logging.getLogger(__name__)

R = TypeVar("R")

_DURABLE_THREADS = 8
"""They mostly wait for the disk, together: the spool writes what waits in one transaction."""
_CONFIRMING_THREADS = 32
"""They mostly wait for the trail."""
_FINISH_SECONDS = 5.0
"""How long `close` waits for calls of async code, unless it is told."""


class Sink(Protocol):
    """What becomes of the events of a `Trail`."""

    def keep(self, message: Message, promise: Promise) -> Receipt:
        """Keep `message` as `promise` says; `confirmed` is `confirm`."""
        ...

    def confirm(self, message: Message, seconds: float | None) -> Confirmation:
        """Keep `message`, and wait until it is sealed; None: the sink's own time-out."""
        ...

    def write(self, message: Message, transaction: DBAPIConnection | OutboxWriter) -> Receipt:
        """Write `message` in the caller's transaction."""
        ...

    def start(self) -> None:
        """See `Trail.start`."""
        ...

    def close(self, seconds: float | None) -> None:
        """See `Trail.close`."""
        ...


Keep = Callable[[AuditEvent, bool], R]
"""What a channel does with an event; the second argument: whether the event is numbered."""


class Channel(EventBuilders[R]):
    """One way to record events: ``channel.record.read(...)`` for each event type, and `publish` for a built event.

    Each method builds the event here and now, from the call, the context and the clock, and validates it as the trail
    will. It raises `InvalidEventError` for what the trail would reject, and `MissingActorError` when nobody acts.
    """

    def __init__(self, build: EventBuilder, keep: Keep[R]) -> None:
        self._build = build
        self._keep = keep
        super().__init__(self._emit)

    def _emit(self, type: str, fields: Mapping[str, Any], **given: Any) -> R:
        with remembering():
            return self._keep(self._build(type, fields, **given), "event_id" not in fields)

    def publish(self, event: AuditEvent) -> R:
        """Record an event that you built, as it is: nothing is taken from the context.

        You may repeat that, also after a crash: the trail records it once. So that the repeated event is the same, it
        has no `source.sequence`; neither has one whose `event_id` you gave.
        """
        with remembering():
            return self._keep(event, False)


class Trail(Channel[Receipt]):
    """Records events with its default promise: ``trail.record.read(...)``.

    `durable`, `confirmed` and `within` record with another promise, and `aio` from async code::

        trail.record.updated(patient="17", resource=("Observation", "o-1"), before=old, after=new)
        trail.confirmed.record.disclosed(patient="17", disclosure=Disclosure(recipient="Court"))
        trail.within(connection).record.deleted(resource=("Observation", "o-1"), before=old)
        await trail.aio.record.read(patient="17", resource=("Observation", "o-1"))

    All methods may be called by several threads at once.
    """

    def __init__(self, build: EventBuilder, sink: Sink, promise: Promise | str = Promise.DURABLE) -> None:
        promise = a_promise(promise)
        self._sink = sink
        self._promise = promise
        self._build = build
        super().__init__(build, self._keep_as(promise))
        self.durable: Channel[Receipt] = Channel(build, self._keep_as(Promise.DURABLE))
        """Records with the promise `durable`."""
        self.confirmed: Channel[Confirmation] = self.confirmed_within(None)
        """Records with the promise `confirmed`, within the publisher's `confirm_seconds`.

        Raises `NotConfirmedError` after that time: the event is then durable here and will be sent. Raises
        `RejectedEventError` when the trail rejects it.
        """
        self.aio = AsyncChannels(self)
        """The same for async code. Each method returns a future; the work begins at the call, in a thread."""
        self.build: Channel[AuditEvent] = Channel(build, self._validated)
        """Only builds and validates the event: for a queue or an outbox of your own."""

    @property
    def source(self) -> Source:
        """The service, as its events name it."""
        return self._build.source()

    @property
    def itself(self) -> Actor:
        """This service as an actor, for work that nobody asked for: ``actor=trail.itself``."""
        return self._build.itself

    def actor(self, actor: ActorLike, **fields: Any) -> AbstractContextManager[Context]:
        """Who acts until the end of the block: ``with trail.actor("dr-smith", name="Dr Smith"):``.

        An `Actor`, or a user's id with the other fields of `Actor`. It holds for the async tasks that the block starts;
        see `context.carry` for threads.
        """
        return bound(actor=replace(an_actor(actor), **fields))

    def context(self, **fields: Any) -> AbstractContextManager[Context]:
        """Fields of `context.Context` until the end of the block: session, client, correlation id, request, purpose."""
        return bound(**fields)

    def confirmed_within(self, seconds: float | None) -> Channel[Confirmation]:
        """`confirmed` with another time-out."""
        return Channel(
            self._build,
            lambda event, numbered: self._sink.confirm(
                self._build.message(event, numbered=numbered), seconds
            ),
        )

    def within(self, transaction: DBAPIConnection | OutboxWriter) -> Channel[Receipt]:
        """Records into the outbox table, in the caller's own transaction (the promise `transactional`).

        `transaction` is a connection of psycopg or psycopg2, or an `OutboxWriter` of another library. Nothing is
        committed here.
        """
        return Channel(
            self._build, lambda event, _: self._sink.write(self._build.message(event), transaction)
        )

    def start(self) -> None:
        """Record the start of the service, and send what an earlier run has left. Calling it again does nothing.

        The event is `service.restarted` when an earlier run did not stop: its attributes say what is known of that.
        """
        self._sink.start()

    def close(self, seconds: float | None = None) -> None:
        """Record the stop of the service, send what is left for so many seconds, and stop. It can be called again.

        Calls of `aio` that have begun are waited for first. What was not sent is in the spool, and the next run sends
        it. `atexit` closes it too.
        """
        self.aio.finish(_FINISH_SECONDS if seconds is None else seconds)
        self._sink.close(seconds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _validated(self, event: AuditEvent, _: bool) -> AuditEvent:
        self._build.message(event)
        return event

    def _keep_as(self, promise: Promise) -> Keep[Receipt]:
        if promise is Promise.CONFIRMED:
            return lambda event, numbered: self._sink.confirm(
                self._build.message(event, numbered=numbered), None
            )
        return lambda event, numbered: self._sink.keep(self._build.message(event, numbered=numbered), promise)


class AsyncChannels(Channel["asyncio.Future[Receipt]"]):
    """`Trail` for async code: ``await trail.aio.record.read(...)``.

    The event is built and its work begins at the call, so that an event is not lost when its future is not awaited, or
    when that is cancelled.
    """

    def __init__(self, trail: Trail) -> None:
        self._threads: dict[str, ThreadPoolExecutor] = {}
        self._begun: set[Future[Any]] = set()
        self._process = os.getpid()
        super().__init__(trail._build, self._later(trail._keep, "durable", _DURABLE_THREADS))
        self.durable: Channel[asyncio.Future[Receipt]] = Channel(
            trail._build, self._later(trail.durable._keep, "durable", _DURABLE_THREADS)
        )
        self.confirmed: Channel[asyncio.Future[Confirmation]] = Channel(
            trail._build, self._later(trail.confirmed._keep, "confirmed", _CONFIRMING_THREADS)
        )

    def finish(self, seconds: float) -> None:
        """Wait for the calls that have begun, for so many seconds."""
        self._forget_parent()
        wait(list(self._begun), seconds)

    def _forget_parent(self) -> None:
        if self._process != os.getpid():  # a forked process has none of its parent's threads
            self._threads, self._begun, self._process = {}, set(), os.getpid()

    def _later(self, keep: Keep[R], pool: str, threads: int) -> Keep[asyncio.Future[R]]:
        def kept(event: AuditEvent, numbered: bool) -> R:
            with remembering():
                return keep(event, numbered)

        def later(event: AuditEvent, numbered: bool) -> asyncio.Future[R]:
            self._forget_parent()
            executor = self._threads.get(pool) or self._threads.setdefault(
                pool, ThreadPoolExecutor(threads, f"audit-trail-{pool}")
            )
            begun = executor.submit(copy_context().run, kept, event, numbered)
            self._begun.add(begun)
            begun.add_done_callback(self._begun.discard)
            work = asyncio.wrap_future(begun)
            # Cancelling the caller must not cancel work that waits for a thread.
            result = asyncio.shield(work)
            result.add_done_callback(lambda result: _log_failure(work) if result.cancelled() else None)
            return result

        return later


def _log_failure(work: asyncio.Future[Any]) -> None:
    """Nobody waits for `work` any more: say when it fails."""

    def say(work: asyncio.Future[Any]) -> None:
        exc = None if work.cancelled() else work.exception()
        if exc is not None:
            log.error("the event of a cancelled call could not be recorded: %s", exc)

    work.add_done_callback(say)
