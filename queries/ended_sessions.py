"""Which sessions of the dashboard have ended, by the events of their ends in the trail.

A session is a cookie, and no server keeps it. The process that ends one records that, so every other one can know.
"""

from __future__ import annotations

from threading import Lock

from cachetools import LRUCache, TTLCache

from domain.catalogue import TRAIL_SERVICE
from domain.read_audit.sign_ins import ENDS
from queries.filters.event_filter import EventFilter, PageRequest
from queries.read_models import ReadModels
from queries.search.prepared import prepare

_SECONDS = 2.0
"""How long an answer is good. A session that another process ended is refused after this time at most."""
_MOST_CACHED = 10_000


class EndedSessions:
    """Looks for the ends of sessions. Threads may share it."""

    def __init__(self, models: ReadModels, seconds: float = _SECONDS) -> None:
        self._models = models
        self._in_use: TTLCache[str, bool] = TTLCache(_MOST_CACHED, seconds)
        self._read_up_to: LRUCache[str, int] = LRUCache(_MOST_CACHED)
        self._lock = Lock()

    def is_in_use(self, session: str) -> bool:
        """Whether the session was found to be in use some seconds ago. It does not block."""
        with self._lock:
            return session in self._in_use

    def has_ended(self, session: str) -> bool:
        """Whether the trail has the end of the session. It blocks, and reads only what is new since the last time."""
        with self._lock:
            begin = self._read_up_to.get(session, -1) + 1
        ends = EventFilter(session=session, types=ENDS, service=TRAIL_SERVICE, position_from=begin)
        page = self._models.events(prepare(ends), PageRequest(first=1))
        if page.events:
            return True
        with self._lock:
            self._in_use[session] = True
            self._read_up_to[session] = page.as_of_position
        return False
