"""One follower: reads the log after its checkpoint and delivers what is for it, in its own thread."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from domain.errors import (
    AuditTrailError,
    ConfigurationError,
    EventAlteredError,
    FencedError,
    LogInconsistentError,
    ThrottledError,
    UnavailableError,
    origin,
)
from event_store.backoff import Backoff
from event_store.database import Connection, Database
from event_store.event_reader import SealedBatch, read_sealed
from event_store.heads import newest_head
from forwarding.changes import differences
from forwarding.delivery import PoisonRecordError, deliver
from forwarding.metrics import ForwarderMetrics
from forwarding.receivers.receiver import Receiver
from forwarding.records import Encoded, Record, Selection
from forwarding.refusals import Refusals, next_requeued
from forwarding.registry import Configured, FollowerState, Registry, follower_state
from interop.leaf import LeafFacts

log = structlog.get_logger(__name__)

_LEAST_READ = 1000
"""Positions of the log that are read at once; more when a request may have more records."""
_MOST_BYTES = 8 << 20
"""Of the bodies that are read at once, so that large events don't take the memory of thousands."""
PAUSES = (0.5, 60.0)
"""First and longest pause, in seconds, after a failure."""
_IDLE_SECONDS = 1.0
"""The longest wait for new events: a wake-up may be lost."""


_AGAIN_SECONDS = 0.1
"""After somebody else has changed the follower, which is then read again."""


class _StandstillError(Exception):
    """An operator has paused the follower, or moved its checkpoint, while a request was in hand."""


class _Step(NamedTuple):
    """What one reading of the log gave, in one snapshot: the follower's state, events, and the newest signed head."""

    state: FollowerState
    batch: SealedBatch
    origin: str
    tree_head_size: int | None
    requeued: bool = False
    """The batch is one record that was refused, and that an operator wants to be sent again."""


class FollowerThread:
    """Follows the log until `stopping` is set. `problem` says why it does not deliver; empty when it does.

    A receiver that is slow or away delays this follower alone.
    """

    def __init__(
        self,
        configured: Configured,
        receiver: Receiver,
        select: Selection,
        database: Database,
        metrics: ForwarderMetrics,
        *,
        batch: int,
        whole: bool,
        keeps: bool = False,
        pauses: tuple[float, float] = PAUSES,
    ) -> None:
        """`batch`: most records of one request. `whole`: the follower sees every event in full.

        `keeps`: a record that the receiver refuses for good is kept for an operator, and the next ones go on.
        """
        self.name = configured.name
        self._configuration = configured.configuration
        self.problem = ""
        self._receiver = receiver
        self._select = select
        self._database = database
        self._registry = Registry(database)
        self._refusals = Refusals(database)
        self._keeps = keeps
        self._metrics = metrics
        self._batch = batch
        self._whole = whole
        self._backoff = Backoff(*pauses)
        self._stopping = threading.Event()
        self._woken = threading.Event()
        self._next_request = 0.0
        self._failing = False
        self._position = -1

    def wake(self, *, decided: bool = False) -> None:
        """Look for new events now. After a failure the pause goes on, unless an operator has `decided` something."""
        if decided:
            self._backoff.reset()
        if decided or not self._backoff.seconds:
            self._woken.set()

    def stop(self) -> None:
        """End `run`: the request in hand ends first."""
        self._stopping.set()
        self._woken.set()

    def run(self) -> None:
        """Deliver until `stop`."""
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                more = self._step()
            except ThrottledError as exc:
                self._failed("throttled", str(exc))
                self._rest(max(exc.seconds, self._backoff.next()))
            except UnavailableError as exc:
                self._failed("away", str(exc))
                self._rest(self._pause())
            except (FencedError, _StandstillError):
                self._rest(_AGAIN_SECONDS)
            except PoisonRecordError as exc:
                self._failed("rejected", f"position {exc.position}: {exc}", exc.position)
                self._rest(self._pause())
            except ConfigurationError as exc:
                self._failed("refused", str(exc))
                self._rest(self._pause())
            except LogInconsistentError as exc:
                self._failed("inconsistent", str(exc))
                self._rest(self._pause())
            except Exception as exc:  # noqa: BLE001 - a defect stops this follower alone, visibly
                log.error("follower_defect", follower=self.name, **origin(exc))  # noqa: TRY400 - values may be quoted
                self._failed("defect", f"a defect, which is in the log of `forward`: {type(exc).__name__}")
                self._rest(self._pause())
            else:
                self._backoff.reset()
                if not more:
                    self._rest(_IDLE_SECONDS)
        self._receiver.close()

    def _pause(self) -> float:
        """The next pause, with jitter: receivers that come back are not asked by everybody at once."""
        return self._backoff.next() * random.uniform(0.5, 1.0)  # noqa: S311 - no secret  # nosec B311

    def _rest(self, seconds: float) -> None:
        self._woken.wait(seconds)

    def _step(self) -> bool:
        """Deliver one batch; False when there is nothing to do."""
        step = self._read()
        state = step.state
        self._position = state.position
        if problem := self._standstill(state):
            self.problem = problem
            return False
        if step.requeued:
            self._send_again(step)
            return True
        if step.batch.last == state.position:
            self._well(state)
            return False
        try:
            self._deliver(state, self._records(step))
        except PoisonRecordError as exc:
            if not self._keep(exc):
                raise
            return True
        if self._position < step.batch.last:
            self._registry.advance(self.name, self._position, step.batch.last)
            self._position = step.batch.last
        self._well(state)
        return True

    def _deliver(self, state: FollowerState, records: Sequence[Record]) -> None:
        if state.failed_position is not None:  # the record that was refused is tried alone
            deliver(self._receiver, records[:1], 1, self._confirmed, self._pace)
            records = records[1:]
        deliver(self._receiver, records, self._batch, self._confirmed, self._pace)

    def _keep(self, refused: PoisonRecordError) -> bool:
        """Keep the refused record for an operator, if the follower does that and has not too many of them."""
        if not self._keeps or not self._refusals.keep(
            self.name, self._position, refused.position, str(refused)
        ):
            return False
        self._position = refused.position
        self._metrics.kept(self.name)
        log.warning("record_kept", follower=self.name, position=refused.position, why=str(refused))
        return True

    def _send_again(self, step: _Step) -> None:
        """Send a record that was refused. The checkpoint stays where it is."""
        position = step.batch.last
        records = [each._replace(requeued=True) for each in self._records(step)]
        if not records:
            self._refusals.refused_again(self.name, position, "the follower no longer selects this event")
            return
        try:
            deliver(self._receiver, records, 1, self._confirmed_again, self._pace)
        except PoisonRecordError as exc:
            self._refusals.refused_again(self.name, position, str(exc))
            self._metrics.kept(self.name)

    def _confirmed_again(self, records: Sequence[Encoded], said: str) -> None:
        for each in records:
            self._refusals.sent(self.name, each.position)
            log.info("record_delivered", follower=self.name, position=each.position, said=said)
        self._backoff.reset()
        self._recovered()
        self._metrics.delivered(self.name, len(records), self._position)

    def _read(self) -> _Step:
        with self._database.transaction(read_only=True) as connection:
            state = follower_state(connection, self.name)
            if self._standstill(state):
                return _Step(state, SealedBatch([], state.position), "", None)
            requeued = next_requeued(connection, self.name)
            if requeued is None:
                batch = self._genuine(connection, state.position)
            else:
                batch = read_sealed(connection, requeued - 1, 1, _MOST_BYTES)
            head = newest_head(connection) if batch.events else None
        name = "" if head is None else head.note.split(b"\n", 1)[0].decode()
        return _Step(state, batch, name, None if head is None else head.size, requeued is not None)

    def _genuine(self, connection: Connection, after: int) -> SealedBatch:
        """The next events. One that was altered stops the follower; those before it are delivered."""
        limit = max(_LEAST_READ, self._batch)
        try:
            return read_sealed(connection, after, limit, _MOST_BYTES)
        except EventAlteredError as exc:
            if exc.position == after + 1:
                raise
            return read_sealed(connection, after, exc.position - after - 1, _MOST_BYTES)

    def _standstill(self, state: FollowerState) -> str:
        """Why the follower may not send; empty when it may."""
        if state.removed_at is not None:
            return "it is no longer in the file of the process that forwards"
        if differences(state.configuration, self._configuration):
            return "another process has stored another configuration of it"
        if state.paused_at is not None:
            return f"it is paused by an operator; `audit-trail forward resume {state.name}` goes on"
        if state.unpublished:
            return "it waits until the trail has the newest decision about it, through Kafka"
        return ""

    def _records(self, step: _Step) -> list[Record]:
        """The records of a batch, each with the position of the one before it."""
        records: list[Record] = []
        previous = None if step.requeued else step.state.sent_position
        for sealed in step.batch.events:
            shown = self._select(sealed.recorded)
            if shown is None:
                continue
            position = sealed.recorded.position
            size = step.tree_head_size
            covered = size if size is not None and size > position else None
            leaf = LeafFacts(step.origin, position, sealed.leaf_hash, previous, covered)
            redacted = not self._whole and shown.event != sealed.recorded.event
            records.append(Record(self.name, shown, leaf, redacted))
            previous = position
        return records

    def _confirmed(self, records: Sequence[Encoded], said: str) -> None:
        """Move the checkpoint: the receiver has these records."""
        last = records[-1].position
        goes_on = self._registry.advance(
            self.name, self._position, last, sent_position=last, sent=len(records)
        )
        self._position = last
        self._backoff.reset()
        self._recovered()
        self._metrics.delivered(self.name, len(records), last)
        log.debug("records_delivered", follower=self.name, records=len(records), position=last, said=said)
        if not goes_on or self._stopping.is_set():
            raise _StandstillError

    def _pace(self) -> None:
        """Wait until the receiver takes another small request."""
        now = time.monotonic()
        if now < self._next_request:
            self._stopping.wait(self._next_request - now)
        self._next_request = time.monotonic() + self._receiver.pace_seconds

    def _failed(self, kind: str, why: str, failed_position: int | None = None) -> None:
        if self._stopping.is_set():
            return
        if why != self.problem:
            log.warning("not_forwarded", follower=self.name, kind=kind, why=why)
        self._failing, self.problem = True, why
        self._metrics.failed(self.name, kind, poison=failed_position is not None)
        try:
            self._registry.fail(self.name, self._position, why, failed_position)
        except AuditTrailError as exc:
            log.warning("follower_not_noted", follower=self.name, error=str(exc))

    def _well(self, state: FollowerState) -> None:
        self._recovered()
        if state.problem:
            self._registry.fail(self.name, self._position, "")

    def _recovered(self) -> None:
        if self._failing:
            log.info("forwards_again", follower=self.name)
        self._failing, self.problem = False, ""
        self._metrics.recovered(self.name)
