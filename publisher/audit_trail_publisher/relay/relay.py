"""The thread that sends: one batch after the other, in order, until each event is safe with the trail or rejected."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from audit_trail_publisher.errors import ACCESS_DENIED, DeniedError, PublisherError, TransportError
from audit_trail_publisher.messages import Message
from audit_trail_publisher.relay.backlog import Backlog
from audit_trail_publisher.relay.backoff import Backoff
from audit_trail_publisher.transports.transport import BatchTooLargeError, Delivery, Rejection, Transport

log = logging.getLogger("audit_trail_publisher")

POLL = 0.2
"""Seconds between two looks for what other processes have added."""
STANDBY = 1.0
"""Seconds between two looks whether the process that sends has ended."""
_BATCHES_BEFORE_LARGER = 16
"""After a batch was too large, so many smaller ones have to pass before one of twice the size is tried."""
_SILENCE = 60.0
"""Seconds between two lines of the log on the same kind of failure."""


class Relay:
    """Sends what waits in `backlog` with `transport`, in a thread of its own, from `start` until `stop`.

    An event is removed only when the trail has it. What fails is sent again after a back-off, and everything behind it
    waits, so that the order is kept. What the trail rejects is kept apart, and logged.
    """

    def __init__(self, backlog: Backlog, transport: Transport, name: str = "spool") -> None:
        self._backlog = backlog
        self._transport = transport
        self._name = name
        self._most = transport.max_events
        self._batches_in_a_row = 0
        self._backoff = Backoff()
        self._logged_at: dict[str, float] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._until = 0.0
        self._thread = threading.Thread(target=self._run, name=f"audit-trail-relay-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Something was added."""
        self._wake.set()

    def stop(self, seconds: float) -> None:
        """Send what waits for so many seconds, then end. A request that is on its way then ends by itself."""
        self._until = time.monotonic() + seconds
        self._stopping.set()
        self._wake.set()
        self._thread.join(seconds + 1.0)

    def _run(self) -> None:
        try:
            while True:
                self._wake.clear()
                try:
                    more = self._turn()
                except Exception as exc:  # noqa: BLE001 - the loop's top level: a defect is reported and tried again
                    self._pause(self._failed(exc))
                else:
                    if not more and self._stopping.is_set():
                        return
                    if not more:
                        self._wake.wait(self._rest)
                if self._stopping.is_set() and time.monotonic() >= self._until:
                    return
        finally:
            self._quietly(self._transport.close)
            self._quietly(self._backlog.release)

    _rest = POLL

    def _turn(self) -> bool:
        """Send one batch. Whether there may be more to send now. Raises what has to be tried again."""
        if not self._backlog.acquire():
            self._rest = STANDBY
            return False
        self._rest = POLL
        batch = self._backlog.head(self._most, self._transport.max_bytes)
        if batch:
            self._send(batch)
        self._backlog.idle()
        return bool(batch)

    def _send(self, batch: Sequence[Message]) -> None:
        """Send a batch and settle it. Raises `TransportError` when some of it has to be sent again."""
        try:
            delivery = self._transport.send(batch)
        except BatchTooLargeError as exc:
            self._batches_in_a_row = 0
            if len(batch) > 1:
                self._most = len(batch) // 2
                return
            delivery = Delivery(rejected={batch[0].event_id: Rejection("oversized", "", str(exc))})
        self._backlog.settle(batch, delivery.accepted, delivery.rejected)
        for event_id, why in delivery.rejected.items():
            log.error(
                "the trail rejected event %s (%s): %s: %s; it is kept among the rejected events",
                *(event_id, why.reason, why.field or "the event", why.message),
            )
        if delivery.error is not None:
            raise delivery.error
        self._batches_in_a_row += 1
        if self._batches_in_a_row % _BATCHES_BEFORE_LARGER == 0:
            self._most = min(self._transport.max_events, self._most * 2)
        self._backoff.after_success()
        if self._logged_at:
            self._logged_at.clear()
            # As loud as the line that said that nothing is sent.
            log.warning("events of the %s are sent again", self._name)

    def _failed(self, exc: Exception) -> float:
        """Note a failure. The seconds to wait."""
        wait = self._backoff.after_failure(exc.retry_after if isinstance(exc, TransportError) else None)
        # The text of any other error can quote an event.
        text = (
            str(exc) if isinstance(exc, PublisherError) else f"a defect of the client: {type(exc).__name__}"
        )
        if isinstance(exc, DeniedError):
            text = ACCESS_DENIED + text
        kind = type(exc).__name__
        if time.monotonic() - self._logged_at.get(kind, -_SILENCE) >= _SILENCE:
            self._logged_at[kind] = time.monotonic()
            passing = isinstance(exc, TransportError) and not isinstance(exc, DeniedError)
            level = logging.WARNING if passing else logging.ERROR
            log.log(level, "events wait in the %s; the next attempt is in %.1f s: %s", self._name, wait, text)
        self._quietly(lambda: self._backlog.fail(text[:500]))
        return wait

    def _pause(self, seconds: float) -> None:
        """Back off. New events end no pause; `stop` does, and then a pause ends with the time that is left."""
        if self._stopping.is_set():
            time.sleep(max(0.0, min(seconds, self._until - time.monotonic())))
        else:
            self._stopping.wait(seconds)

    def _quietly(self, work: Callable[[], object]) -> None:
        """Do what nothing depends on."""
        try:
            work()
        except Exception as exc:  # noqa: BLE001 - see above
            log.debug("%s", type(exc).__name__)
