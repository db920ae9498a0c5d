"""The route of the overview."""

from __future__ import annotations

from contextlib import suppress

from cachetools import TTLCache
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.overview import overview
from dashboard.render import View
from dashboard.viewer import Viewer
from domain.access.grants import Operation
from domain.errors import UnrecordedError
from event_store.log_reader import LogReader
from queries.scoped.log import ScopedLog
from web.dashboard.host import Host, is_live
from web.dashboard.operations import OperationsPages
from web.read_audit.access_record import access_record_of

_INTERVAL = 300.0
"""Seconds within which the live updates of one view, which count and name nobody, are recorded once."""


class OverviewPage:
    """The page of one application."""

    def __init__(self, host: Host, log: LogReader, operating: OperationsPages) -> None:
        self._host = host
        self._log = log
        self._operating = operating
        self._seen: TTLCache[tuple[str, str], bool] = TTLCache(100_000, _INTERVAL)

    def routes(self) -> list[Route]:
        """The route."""
        return [Route("/", self.overview, methods=["GET"])]

    async def overview(self, request: Request) -> Response:
        """`/`: the last 24 hours; people without counts begin where they can."""
        viewer, models = await self._host.reader_of(request)
        if not viewer.may(Operation.COUNT_EVENTS):
            first = next((item.path for item in viewer.navigation), None)
            if first is None:
                return self._host.notice(request, 403, "Nothing to see", "Your roles have no page here.")
            return self._host.to(first)
        log = ScopedLog(self._log, viewer.scope)
        operating = self._operating.scoped(request, viewer)
        live = is_live(request)

        def build() -> View:
            return overview(models, log, operating, viewer, live=live)

        view = await self._host.threads.run(build)
        if live:
            await self._record_once(request, viewer)
        return await self._host.shown(request, view)

    async def _record_once(self, request: Request, viewer: Viewer) -> None:
        """Of the live updates of one view, record the first of each interval: they count events, and name nobody."""
        record = access_record_of(request)
        key = (viewer.principal.session or viewer.principal.id, request.url.path)
        if record is None:
            return
        if key in self._seen:
            record.discard()
            return
        with suppress(UnrecordedError):  # the answer is refused, and the next one tries again
            if await record.write(200):
                self._seen[key] = True
