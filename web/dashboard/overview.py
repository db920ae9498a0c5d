"""The route of the overview."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.overview import overview
from dashboard.render import View
from domain.access.grants import Operation
from event_store.log_reader import LogReader
from queries.scoped.log import ScopedLog
from web.dashboard.host import Host, is_live
from web.dashboard.live_counts import LiveCounts
from web.dashboard.operations import OperationsPages
from web.read_audit.access_record import access_record_of


class OverviewPage:
    """The page of one application."""

    def __init__(self, host: Host, log: LogReader, operating: OperationsPages) -> None:
        self._host = host
        self._log = log
        self._operating = operating
        self._live = LiveCounts()

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
            await self._live.record(access_record_of(request), viewer)
        return await self._host.shown(request, view)
