"""The readiness of `audit-trail witness`: its file can be written, and it answers requests.

Both are checked every few seconds by a thread, so that the answer about them comes from memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

from domain.errors import AuditTrailError, UnavailableError
from event_store.outgoing_http import Deadline, Target, exchange

INTERVAL_SECONDS = 5.0
_AGAIN_SECONDS = 1.0
"""After a round that found a problem, which at the start is that nothing answers yet."""
_ANSWER_SECONDS = 5.0
_OVERDUE_SECONDS = 30.0
"""An interval, the wait for the file's lock (5 s) and the wait for an answer, twice."""
_MOST_BYTES = 64 << 10

Check = Callable[[], None]
"""Raises an `AuditTrailError` that says what is wrong."""


class WitnessHealth:
    """The problems that the newest round of checks found."""

    def __init__(self, checks: Sequence[Check], interval: float = INTERVAL_SECONDS) -> None:
        self._checks = checks
        self._interval = interval
        self._problems: list[str] = ["it is starting"]
        self._ended = time.monotonic()
        threading.Thread(target=self._run, name="witness-health", daemon=True).start()

    def problems(self) -> list[str]:
        """What keeps the witness from cosigning; empty when it is ready. It does not wait."""
        overdue = time.monotonic() - self._ended
        if overdue > self._interval + _OVERDUE_SECONDS:
            return [*self._problems, f"the checks of the witness have not ended for {overdue:.0f} s"]
        return self._problems

    def _run(self) -> None:
        while True:
            self._problems = [problem for check in self._checks if (problem := _problem(check))]
            self._ended = time.monotonic()
            time.sleep(min(self._interval, _AGAIN_SECONDS) if self._problems else self._interval)


def _problem(check: Check) -> str:
    try:
        check()
    except AuditTrailError as exc:
        return str(exc)
    return ""


def require_answer(host: str, port: int) -> None:
    """Raise `UnavailableError` unless the witness at this address answers."""
    what = f"the witness at port {port}"
    answer = exchange(
        Target("http", host, port, "/healthz"), Deadline(_ANSWER_SECONDS), what=what, most=_MOST_BYTES
    )
    if answer.status != HTTPStatus.OK:
        raise UnavailableError(f"{what} answers {answer.status}")
