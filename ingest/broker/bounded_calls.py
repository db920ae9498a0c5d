"""Calls into the Kafka client with a time limit.

kafka-python waits for its own thread without a limit (`NetworkSelector.run`). If that thread has died or is stuck, the
caller would wait forever. So each call runs on a thread of ours, which can be abandoned.
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
"""Why a Kafka client is replaced; the values of a metric label."""

_CLOSE_SECONDS = 10.0
_SLICE_SECONDS = 0.5


class ClientStalledError(UnavailableError):
    """Retry with a new client: this one has stopped working without a Kafka error."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause: Cause = cause


class BoundedCaller:
    """Runs one call after the other on a daemon thread, which is abandoned when a call does not return.

    `seconds` should be several times the time-out of the calls themselves.
    """

    def __init__(self, name: str, seconds: float) -> None:
        self._slices = max(1, round(seconds / _SLICE_SECONDS))
        self._name = name
        self._queue: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._hanging: Future[Any] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __call__(self, call: Callable[[], T]) -> T:
        """Run `call`, and return its result or raise its error.

        Raises `ClientStalledError` when the call does not return in time, or raises an error that is neither Kafka's
        nor ours: then the state of the client is unknown, and it must not be used again.
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
            # The library lets internal errors through (KeyError, AssertionError, struct.error).
            raise ClientStalledError(
                "client_failed", f"the Kafka client failed inside ({type(exc).__name__})"
            ) from exc

    @property
    def hangs(self) -> bool:
        """Whether an abandoned call has still not returned."""
        return self._hanging is not None and not self._hanging.done()

    def close(self) -> None:
        """End the thread after its current call."""
        self._queue.put(None)

    def _result(self, future: Future[T]) -> T:
        # In slices: if the process is stopped (SIGSTOP, a suspended machine), only one slice of that time counts.
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
    """Close a Kafka client, or abandon it when that takes too long. Never raises."""
    caller = BoundedCaller("kafka-close", _CLOSE_SECONDS)
    try:
        caller(lambda: client.close(**options))
    except Exception as exc:  # noqa: BLE001 - the client is dropped in any case
        log.warning("kafka_client_left_behind", error=type(exc).__name__)
    finally:
        caller.close()
