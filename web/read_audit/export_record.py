"""An export over HTTP, put on record as it goes: that it begins, whom it tells of before it does, how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from domain.read_audit.events import Stage
from domain.read_audit.query_log import LoggedQuery
from queries.export.batches import ExportRequest, Opened
from queries.export.disclosed_patients import asked_of_export, telling
from queries.scoped.export import Opening
from web.read_audit.access_record import AccessRecord

_OPERATION = "export"


class RecordedExports:
    """An `Exportable`. Made in the event loop's thread for one request, used in a thread that reads."""

    def __init__(self, exports: Opening, record: AccessRecord) -> None:
        self._exports = exports
        self._record = record
        self._loop = asyncio.get_running_loop()

    @contextmanager
    def open(self, request: ExportRequest) -> Iterator[Opened]:
        """See `Exportable`. Raises `UnrecordedError`, also from reading what was opened."""
        asked = asked_of_export(request)
        rows = 0

        def told(more: int, patients: Sequence[str]) -> None:
            nonlocal rows
            rows += more
            if patients:
                self._say(LoggedQuery(_OPERATION, asked, more), Stage.DELIVERED, patients)

        with self._exports.open(request) as opened:
            self._say(LoggedQuery(_OPERATION, asked, 0), Stage.STARTED)
            telling_of = telling(opened, told)
            try:
                yield opened
            finally:
                # Also for a client that has gone: what was given to it was given.
                reason = None if telling_of.finished else "cut off"
                self._say(LoggedQuery(_OPERATION, asked, rows), Stage.ENDED, reason=reason)

    def _say(
        self, read: LoggedQuery, stage: Stage, patients: Sequence[str] = (), *, reason: str | None = None
    ) -> None:
        status = None if stage is Stage.STARTED else 200
        said: Coroutine[Any, Any, bool] = self._record.write_queries(
            [read], patients, status=status, stage=stage, reason=reason
        )
        asyncio.run_coroutine_threadsafe(said, self._loop).result()
