"""The watchdog: one thread that supervises every call to PostgreSQL in this process.

When a call has had no answer for `Silence.seconds`, the watchdog probes the server over a second connection. If the
server does not answer, or does not work on the call, the watchdog ends the call with an error and the caller retries.
If the server reports that the statement runs, the statement may be long or the server process may be stopped: the
server can't tell the difference. Where all statements are short, such a call is ended too.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple
from weakref import WeakSet

from event_store.silence.connections import Call, WatchedConnection
from event_store.silence.server_probe import PROBE_SECONDS, Probe, Verdict, cancel

_log = logging.getLogger(__name__)

_CHECK_SECONDS = 0.5
_MAX_EXTENSION = 8
"""The limit of short statements grows up to this factor, so that a slow statement succeeds eventually."""


class Silence(NamedTuple):
    """The time limits for calls without an answer.

    After `seconds` the server is probed. `short_seconds` is the limit for a statement that the server reports as
    running; None where statements may take hours. It doubles each time that it ends a call.
    """

    seconds: float
    short_seconds: float | None


class Watch:
    """The connections of one `Database`, and the handling of silent ones."""

    def __init__(self, name: str, silence: Silence) -> None:
        self.name = name
        self.dsn = ""
        self._silence = silence
        self._short = silence.short_seconds
        self._connections: WeakSet[WatchedConnection] = WeakSet()
        self._probe: Probe | None = None

    def connection(self, dsn: str) -> WatchedConnection:
        """A new connection, watched from its first byte; psycopg2's `connection_factory`."""
        return WatchedConnection(dsn, self)

    def begin(self, connection: WatchedConnection) -> None:
        """Start monitoring a connection."""
        self._connections.add(connection)
        _watchdog.supervise(self)

    def cancel(self, connection: WatchedConnection) -> None:
        """End the statement that the server runs for a connection, within seconds."""
        call = connection.call
        if call is None:
            return
        done: list[bool] = []
        request = threading.Thread(
            target=lambda: done.append(cancel(self.dsn, connection.pid, connection.started)),
            name="database-cancel",
            daemon=True,
        )
        request.start()
        request.join(PROBE_SECONDS + 1)
        if done != [True]:
            connection.end(call, "the database is silent: it accepted no cancel request")

    @property
    def empty(self) -> bool:
        """Whether there is no connection."""
        return not self._connections

    def check(self, now: float) -> None:
        """End calls that waited too long, and probe the server about long waits."""
        waiting = [
            (connection, call)
            for connection in list(self._connections)
            if (call := connection.call) is not None and not connection.silence
        ]
        for connection, call in waiting:
            if call.limit is not None and call.waited(now) >= call.limit:
                self._end(connection, call, now, "no answer to a test query")
        overdue = [
            (connection, call)
            for connection, call in waiting
            if call.waited(now) >= self._silence.seconds and now >= call.probe_at
        ]
        if not overdue:
            self._probe = None
        elif self._probe is None:
            self._probe = Probe(self.dsn, [connection.pid for connection, _ in overdue])
        elif self._probe.done:
            self._judge(self._probe, overdue, now)
            self._probe = None

    def _judge(self, probe: Probe, overdue: Iterable[tuple[WatchedConnection, Call]], now: float) -> None:
        for connection, call in overdue:
            if connection.pid not in probe.pids:
                continue  # it became silent after the probe was sent: the next probe covers it
            verdict = probe.verdict(connection.pid, connection.started)
            if verdict not in {Verdict.BUSY, Verdict.UNKNOWN}:
                self._end(connection, call, now, verdict.value)
            elif self._short is not None and call.waited(now) >= self._short:
                if self._end(connection, call, now, f"{verdict.value}, but its answer is late"):
                    most = _MAX_EXTENSION * (self._silence.short_seconds or 0)
                    self._short = min(2 * self._short, most)
            else:
                call.probe_at = now + min(self._silence.seconds, self._short or self._silence.seconds)

    def _end(self, connection: WatchedConnection, call: Call, now: float, why: str) -> bool:
        waited = call.waited(now)
        if not connection.end(call, f"the database is silent: no answer to {call.what} for {waited:.0f} s"):
            return False
        silences[self.name] += 1
        _log.warning(
            "database_silent: %s has had no answer to %s for %.0f s (%s); the connection is ended and the work retried",
            self.name,
            call.what,
            waited,
            why,
        )
        return True


silences: Counter[str] = Counter()
"""The number of calls ended for silence since the process started, by application name."""


class _Watchdog:
    """The watchdog thread; it runs while there are connections."""

    def __init__(self) -> None:
        self._watches: WeakSet[Watch] = WeakSet()
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def supervise(self, watch: Watch) -> None:
        """Supervise `watch` from now on."""
        with self._lock:
            self._watches.add(watch)
            # After a fork the child has this object but not its thread.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="database-watchdog", daemon=True)
                self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._check_all():
                time.sleep(_CHECK_SECONDS)

    def _check_all(self) -> bool:
        """Check all watches. Returns whether any has connections."""
        with self._lock:
            watches = [watch for watch in self._watches if not watch.empty]
        for watch in watches:
            try:
                watch.check(time.monotonic())
            except Exception as exc:  # noqa: BLE001 - only this thread detects a silent database
                _log.error("database_watchdog_failed: %s: %s", watch.name, type(exc).__name__)
        return bool(watches)


_watchdog = _Watchdog()
