"""Calls into the Kafka client that return in bounded time.

kafka-python waits for its own thread without a time limit (`NetworkSelector.run`). When that thread has died, or does
not come round, the caller would wait for ever. So each call runs on a thread of ours, which can be left behind.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from typing import Any, Literal, TypeVar

import structlog
from kafka.errors import KafkaError

from domain.errors import AuditTrailError, UnavailableError

log = structlog.get_logger(__name__)

T = TypeVar("T")

Cause = Literal[
    "client_hangs",
    "client_failed",
    "partition_unread",
    "partition_not_opened",
    "assignment_lost",
    "not_a_member",
    "fetch_stalled",
]
"""Why a Kafka client is given up; the values of a metric's label."""

_CLOSE_SECONDS = 10.0
_SLICE_SECONDS = 0.5


class ClientStalledError(UnavailableError):
    """Retry with a new client: this one has stopped working and did not say so by an error of Kafka."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause: Cause = cause


class BoundedCaller:
    """Runs one call after the other on a daemon thread, which is left behind when a call does not return.

    `seconds` should be several times the time-out that the calls themselves have.
    """

    def __init__(self, name: str, seconds: float) -> None:
        self._slices = max(1, round(seconds / _SLICE_SECONDS))
        self._name = name
        self._queue: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._hanging: Future[Any] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __call__(self, call: Callable[[], T]) -> T:
        """What `call` returns or raises.

        Raises `ClientStalledError` when it does not return in time, or raises what is neither Kafka's error nor ours:
        then the client's state is unknown, and it may not be used again.
        """
        if self.hangs:
            raise ClientStalledError("client_hangs", f"{self._name}: an earlier call has not returned")
        future: Future[T] = Future()
        self._queue.put((future, call))
        try:
            return self._result(future)
        except (KafkaError, AuditTrailError):
            raise
        except Exception as exc:
            # The library lets errors of its own inner workings through (KeyError, AssertionError, struct.error).
            raise ClientStalledError(
                "client_failed", f"the Kafka client failed inside ({type(exc).__name__})"
            ) from exc

    @property
    def hangs(self) -> bool:
        """Whether a call that was given up has still not returned."""
        return self._hanging is not None and not self._hanging.done()

    def close(self) -> None:
        """End the thread, once its call has returned."""
        self._queue.put(None)

    def _result(self, future: Future[T]) -> T:
        # In slices: of the time in which the process is stopped (SIGSTOP, a suspended machine), one slice counts.
        for _ in range(self._slices):
            try:
                return future.result(_SLICE_SECONDS)
            except NotYet:
                if future.done():
                    raise
        self._hanging = future
        raise ClientStalledError(
            "client_hangs", f"{self._name}: a call into the Kafka client does not return"
        )

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            future, call = item
            try:
                future.set_result(call())
            except BaseException as exc:  # noqa: BLE001 - the caller raises it
                future.set_exception(exc)


def abandon(client: Any, **options: Any) -> None:
    """Close a Kafka client, and leave it behind when that takes too long. Never raises."""
    caller = BoundedCaller("kafka-close", _CLOSE_SECONDS)
    try:
        caller(lambda: client.close(**options))
    except Exception as exc:  # noqa: BLE001 - whatever it says, the client is given up
        log.warning("kafka_client_left_behind", error=type(exc).__name__)
    finally:
        caller.close()
