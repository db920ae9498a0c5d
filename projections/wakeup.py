"""Wakes a loop: after an append or another NOTIFY, at a request to stop, or after some time."""

from __future__ import annotations

import select
import time
from collections import deque

from domain.errors import UnavailableError
from event_store.database import Connection, Database, ping, sql, translated
from event_store.notification import CHANNEL, Announcement, read_announcement
from event_store.tracing import TraceContext

_SLICE = 0.1
"""Seconds until a waiter sees `stop`."""

_ANNOUNCEMENTS = 1000
"""Traced appends that are remembered until their events are applied."""

_QUIET_SECONDS = 10.0
"""Without a NOTIFY; then the connection is tested."""


class WakeUp:
    """Waits on its own listening connection.

    Losing the connection only delays events, because the wait also times out.

    Without a `database` only the time-out wakes: a standby server has no NOTIFY.
    """

    def __init__(self, database: Database | None, channel: str = CHANNEL) -> None:
        self._database = database
        self._channel = channel
        self._listening: Connection | None = None
        self._heard = 0.0
        self._announced: deque[Announcement] = deque(maxlen=_ANNOUNCEMENTS)
        self.stopped = False

    def listen(self) -> None:
        """Start to listen. The caller's next step reads what was appended before."""
        if self._listening is not None or self._database is None:
            return
        connection = self._database.connect()
        with translated():
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
        self._listening = connection
        self._heard = time.monotonic()

    def wait(self, seconds: float) -> None:
        """Return at the next NOTIFY, at `stop`, or after `seconds`."""
        if self._listening is None:
            self.pause(seconds)
            return
        until = time.monotonic() + seconds
        try:
            with translated():
                self._await_notice(self._listening, until)
        except UnavailableError as exc:
            self._hang_up()
            raise UnavailableError("the connection that listens is gone") from exc

    def _await_notice(self, listening: Connection, until: float) -> None:
        while not self.stopped and not listening.notifies and (left := until - time.monotonic()) > 0:
            select.select([listening.fileno()], [], [], min(left, _SLICE))
            listening.poll()
        self._take(listening)
        if time.monotonic() - self._heard > _QUIET_SECONDS:
            # A connection that only listens would never notice that its server is silent.
            ping(listening)
            self._heard = time.monotonic()

    def appends_between(self, after: int, last: int) -> list[TraceContext]:
        """The traced appends of which an event lies after the position `after` and not after `last`.

        Only those that were announced until now: an event can be read before its announcement comes.
        """
        if self._listening is not None:
            try:
                with translated():
                    self._listening.poll()
                    self._take(self._listening)
            except UnavailableError:
                self._hang_up()  # the next `listen` connects again
        while self._announced and self._announced[0].size <= after + 1:
            self._announced.popleft()
        # The size is the position after the append's last event. Its first event is not known.
        until = [at for at, each in enumerate(self._announced) if each.size > last]
        several = until[0] + 1 if until else len(self._announced)
        return [each.trace for each in list(self._announced)[:several]]

    def _take(self, listening: Connection) -> None:
        if listening.notifies:
            self._heard = time.monotonic()
        for each in listening.notifies:
            announcement = read_announcement(each.payload)
            if announcement is not None:
                self._announced.append(announcement)
        listening.notifies.clear()

    def pause(self, seconds: float) -> None:
        """Return at `stop` or after `seconds`."""
        until = time.monotonic() + seconds
        while not self.stopped and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))

    def stop(self) -> None:
        """End all waiting, now and later. It only sets a flag, so a signal handler may call it."""
        self.stopped = True

    def close(self) -> None:
        """Stop listening."""
        self._hang_up()

    def _hang_up(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
