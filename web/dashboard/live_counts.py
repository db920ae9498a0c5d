"""Live updates that count and name nobody: of those of one view, the first of each interval is recorded."""

from __future__ import annotations

from contextlib import suppress

from cachetools import TTLCache

from dashboard.viewer import Viewer
from domain.errors import UnrecordedError
from web.read_audit.access_record import AccessRecord

_INTERVAL = 300.0
"""Seconds within which the live updates of one view are recorded once."""


class LiveCounts:
    """Remembers which views were recorded."""

    def __init__(self) -> None:
        self._seen: TTLCache[tuple[str, str], bool] = TTLCache(100_000, _INTERVAL)

    async def record(self, record: AccessRecord | None, viewer: Viewer) -> None:
        """Record an update, unless one of this view was recorded within the interval."""
        if record is None:
            return
        key = (viewer.principal.session or viewer.principal.id, viewer.path)
        if key in self._seen:
            record.discard()
            return
        with suppress(UnrecordedError):  # the answer is refused, and the next one tries again
            if await record.write(200):
                self._seen[key] = True
