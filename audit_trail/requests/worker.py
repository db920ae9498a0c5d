"""The thread that carries out the requests of one part, one at a time.

Failures: the database or Kafka away is **retry**, with a growing pause, at most `MAX_ATTEMPTS` times; anything else
ends the request as failed, with the reason. Nothing is done before the trail has the request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from domain.errors import (
    AuditTrailError,
    ConfigurationError,
    FencedError,
    RejectedError,
    UnavailableError,
    origin,
)
from domain.event import AuditEvent
from domain.operation_request import OperationRequest, State, completed_event, requested_event
from event_store.backoff import Backoff
from event_store.operation_requests import MAX_ATTEMPTS, RequestQueue

log = structlog.get_logger(__name__)

POLL_SECONDS = 2.0
"""The longest that a request waits for its worker, and the longest time between two signs of life."""
_PAUSES = (1.0, 30.0)
_JOIN_SECONDS = 10.0


class StoppedError(Exception):
    """This process is told to stop: the request waits for the next one."""


class Attempt:
    """One attempt at a request."""

    def __init__(self, queue: RequestQueue, request: OperationRequest, stopping: threading.Event) -> None:
        self.request = request
        self._queue = queue
        self._stopping = stopping

    def say(self, progress: str) -> None:
        """Say how far it is."""
        self._queue.say(self.request, progress)

    def check(self) -> None:
        """Give a sign of life; call it every `POLL_SECONDS`.

        Raises `StoppedError`, and `FencedError` when another process works for this part.
        """
        if self._stopping.is_set():
            raise StoppedError
        if not self._queue.hold():
            raise FencedError("another process carries out requests now")


CarryOut = Callable[[Attempt], str]
"""Does what a request asks for, and returns the result in words. Raises `AuditTrailError` or `StoppedError`."""


class RequestWorker:
    """Works from `start` until `stop`. A second process for the same part waits until the first has ended."""

    def __init__(
        self, queue: RequestQueue, carry_out: CarryOut, publish: Callable[[AuditEvent], None], name: str
    ) -> None:
        self._queue = queue
        self._carry_out = carry_out
        self._publish = publish
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"requests of {name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End: what is being done goes on in the next process."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        backoff = Backoff(*_PAUSES)
        try:
            while not self._stopping.is_set():
                seconds = 0.0
                try:
                    if not self.step():
                        seconds = POLL_SECONDS
                    backoff.reset()
                except AuditTrailError as exc:
                    seconds = backoff.next()
                    log.warning("requests_wait", error=str(exc), seconds=round(seconds, 1))
                except Exception as exc:  # noqa: BLE001 - the loop goes on after a defect
                    seconds = backoff.next()
                    log.error("requests_failed", **origin(exc))  # noqa: TRY400 - a traceback can quote patient data
                self._stopping.wait(seconds)
        finally:
            self._queue.close()

    def step(self) -> bool:
        """Carry out one request. False when none waits for this process."""
        if not self._queue.hold():
            return False
        self._publish_ends()
        request = self._queue.next()
        if request is None:
            return False
        if request.attempts >= MAX_ATTEMPTS:
            why = f"given up after {request.attempts} attempts: {request.progress}"
            self._queue.finish(request, State.FAILED, why)
            return True
        try:
            self._publish(requested_event(request))
        except (ConfigurationError, RejectedError) as exc:
            self._finish(request, State.FAILED, f"it can't be recorded, so it was not done: {exc}")
            return True
        started = self._queue.start(request)
        if started is not None:
            self._attempt(started)
        return True

    def _publish_ends(self) -> None:
        for ended in self._queue.unpublished():
            try:
                self._tell(completed_event(ended))
            except ConfigurationError as exc:  # it waits until that is corrected, and keeps no request back
                log.error("request_end_not_recorded", request=ended.id, error=str(exc))  # noqa: TRY400 - no defect
                return
            self._queue.published(ended)

    def _attempt(self, request: OperationRequest) -> None:
        log.info("request_started", request=request.id, kind=request.kind.value, target=request.target)
        try:
            result = self._carry_out(Attempt(self._queue, request, self._stopping))
        except StoppedError:
            self._queue.wait(request, "the process that worked on it was stopped")
        except (UnavailableError, FencedError) as exc:
            self._queue.wait(request, str(exc))
            raise
        except AuditTrailError as exc:
            self._finish(request, State.FAILED, str(exc))
        except Exception as exc:  # noqa: BLE001 - a defect fails this request only
            log.error("request_failed", request=request.id, **origin(exc))  # noqa: TRY400 - as above
            self._finish(request, State.FAILED, "an unexpected error, which is in the log of the part")
        else:
            self._finish(request, State.DONE, result)

    def _finish(self, request: OperationRequest, state: State, result: str) -> None:
        self._queue.finish(request, state, result)
        log.info("request_finished", request=request.id, state=state.value)

    def _tell(self, event: AuditEvent) -> None:
        """Publish an event. One that can never be published is told in the log, and keeps no other back."""
        try:
            self._publish(event)
        except RejectedError as exc:
            log.error("request_not_recordable", reason=exc.reason.value)  # noqa: TRY400 - no defect
