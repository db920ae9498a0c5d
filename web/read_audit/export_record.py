"""The access record of an export over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from domain.read_audit.events import Stage
from domain.read_audit.query_log import Read
from queries.export.manifest import query_of
from queries.export.request import ExportRequest
from web.read_audit.access_record import Looking


class HttpExportRecord:
    """An `ExportRecord`. Make it on the event loop; its methods block, and are for another thread.

    They raise `UnrecordedError` when the settings say that nothing may be answered without its record.
    """

    def __init__(self, looking: Looking, request: ExportRequest) -> None:
        self._looking = looking
        self._query = query_of(request)
        self._loop = asyncio.get_running_loop()

    def started(self) -> None:
        """See `ExportRecord`."""
        self._keep(Stage.STARTED, 0)

    def delivered(self, rows: int, patients: Sequence[str]) -> None:
        """See `ExportRecord`."""
        self._keep(Stage.DELIVERED, rows, patients)

    def ended(self, rows: int, reason: str | None) -> None:
        """See `ExportRecord`."""
        self._keep(Stage.ENDED, rows, reason=reason)

    def _keep(
        self, stage: Stage, rows: int, patients: Sequence[str] = (), *, reason: str | None = None
    ) -> None:
        status = None if stage is Stage.STARTED else 200
        read = Read("export", self._query, rows)
        kept = self._looking.say([read], patients, status=status, stage=stage, reason=reason)
        asyncio.run_coroutine_threadsafe(kept, self._loop).result()
