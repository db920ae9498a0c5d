"""The access record of an export over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from domain.read_audit.events import Stage
from domain.read_audit.query_log import LoggedQuery
from web.read_audit.access_record import AccessRecord


class HttpExportRecord:
    """An `ExportRecord` of the export that `query` describes.

    Make it on the event loop; its methods block, and are for another thread. They raise `UnrecordedError` when the
    settings say that nothing may be answered without its record.
    """

    def __init__(self, record: AccessRecord, query: Mapping[str, Any]) -> None:
        self._record = record
        self._query = query
        self._loop = asyncio.get_running_loop()

    def started(self) -> None:
        """See `ExportRecord`."""
        self._write(Stage.STARTED, 0)

    def delivered(self, rows: int, patients: Sequence[str]) -> None:
        """See `ExportRecord`."""
        self._write(Stage.DELIVERED, rows, patients)

    def ended(self, rows: int, reason: str | None) -> None:
        """See `ExportRecord`."""
        self._write(Stage.ENDED, rows, reason=reason)

    def _write(
        self, stage: Stage, rows: int, patients: Sequence[str] = (), *, reason: str | None = None
    ) -> None:
        status = None if stage is Stage.STARTED else 200
        query = LoggedQuery("export", self._query, rows)
        written = self._record.write_queries([query], patients, status=status, stage=stage, reason=reason)
        asyncio.run_coroutine_threadsafe(written, self._loop).result()


class JobRecord(HttpExportRecord):
    """The same for an export that runs after its request, which has recorded the start."""

    def started(self) -> None:
        """See `ExportRecord`."""
