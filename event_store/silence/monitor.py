"""The watchdog: one thread that looks after every call to PostgreSQL that this process waits for.

When a call has had no answer for `Silence.seconds`, the server is asked over a second connection. If it does not
answer either, or does nothing for the call any more, the call is ended with an error and its caller retries. If the
server says that the statement runs, the statement may be long, or the server's process may be stopped: the server can't
tell the difference. Where statements are short by nature, such a call is ended too.
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

_LOOK_SECONDS = 0.5
_MOST_PATIENCE = 8
"""The limit of short statements grows up to so many times. A statement that is only slow must succeed in the end."""


class Silence(NamedTuple):
    """How long a call may go without an answer.

    After `seconds` the server is asked. `short_seconds` is the limit for a statement that the server says is running;
    None where statements may take hours. It doubles each time that it ends one.
    """

    seconds: float
    short_seconds: float | None


class Watch:
    """The connections of one `Database`, and what is done about those that are silent."""

    def __init__(self, name: str, silence: Silence) -> None:
        self.name = name
        self.dsn = ""
        self._silence = silence
        self._short = silence.short_seconds
        self._connections: WeakSet[WatchedConnection] = WeakSet()
        self._probe: Probe | None = None

    def connection(self, dsn: str) -> WatchedConnection:
        """A new connection, watched from its first byte. It is psycopg2's `connection_factory`."""
        return WatchedConnection(dsn, self)

    def begin(self, connection: WatchedConnection) -> None:
        """Look after a connection from now on."""
        self._connections.add(connection)
        _watchdog.look_after(self)

    def cancel(self, connection: WatchedConnection) -> None:
        """End the statement that the server runs for a connection, within seconds."""
        call = connection.call
        if call is None:
            return
        done: list[bool] = []
        asking = threading.Thread(
            target=lambda: done.append(cancel(self.dsn, connection.pid, connection.started)),
            name="database-cancel",
            daemon=True,
        )
        asking.start()
        asking.join(PROBE_SECONDS + 1)
        if done != [True]:
            connection.end(call, "the database is silent: it took no request to cancel")

    @property
    def empty(self) -> bool:
        """Whether there is no connection."""
        return not self._connections

    def look(self, now: float) -> None:
        """End what has waited too long; ask the server about what may have."""
        waiting = [
            (connection, call)
            for connection in list(self._connections)
            if (call := connection.call) is not None and not connection.silence
        ]
        for connection, call in waiting:
            if call.limit is not None and call.waited(now) >= call.limit:
                self._end(connection, call, now, "no answer to a test query")
        asked = [
            (connection, call)
            for connection, call in waiting
            if call.waited(now) >= self._silence.seconds and now >= call.ask_at
        ]
        if not asked:
            self._probe = None
        elif self._probe is None:
            self._probe = Probe(self.dsn, [connection.pid for connection, _ in asked])
        elif self._probe.done:
            self._judge(self._probe, asked, now)
            self._probe = None

    def _judge(self, probe: Probe, asked: Iterable[tuple[WatchedConnection, Call]], now: float) -> None:
        for connection, call in asked:
            if connection.pid not in probe.pids:
                continue  # silent only since the probe was sent: the next one asks
            verdict = probe.verdict(connection.pid, connection.started)
            if verdict not in {Verdict.BUSY, Verdict.UNKNOWN}:
                self._end(connection, call, now, verdict.value)
            elif self._short is not None and call.waited(now) >= self._short:
                if self._end(connection, call, now, f"{verdict.value}, but its answer is late"):
                    most = _MOST_PATIENCE * (self._silence.short_seconds or 0)
                    self._short = min(2 * self._short, most)
            else:
                call.ask_at = now + min(self._silence.seconds, self._short or self._silence.seconds)

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
"""How many calls were ended for silence since this process began, by application name."""


class _Watchdog:
    """Its thread runs while there is a connection to look after."""

    def __init__(self) -> None:
        self._watches: WeakSet[Watch] = WeakSet()
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def look_after(self, watch: Watch) -> None:
        """Look after `watch` from now on."""
        with self._lock:
            self._watches.add(watch)
            # After a fork the child has this object, and not its thread.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="database-watchdog", daemon=True)
                self._thread.start()
        self._wanted.set()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            while self._look():
                time.sleep(_LOOK_SECONDS)

    def _look(self) -> bool:
        """Whether there is anything to look after."""
        with self._lock:
            watches = [watch for watch in self._watches if not watch.empty]
        for watch in watches:
            try:
                watch.look(time.monotonic())
            except Exception as exc:  # noqa: BLE001 - without this thread nobody would notice a silent database
                _log.error("database_watchdog_failed: %s: %s", watch.name, type(exc).__name__)
        return bool(watches)


_watchdog = _Watchdog()
