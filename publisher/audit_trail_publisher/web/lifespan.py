"""The start and the stop of an ASGI service whose framework does not know them, as Django."""

from __future__ import annotations

import asyncio
import logging

from audit_trail_publisher.errors import PublisherError
from audit_trail_publisher.trail import Trail
from audit_trail_publisher.web.asgi import ASGIApp, Receive, Scope, Send

log = logging.getLogger(__name__)


class Lifespan:
    """Starts `trail` when the server starts, and closes it after the last request.

    ::

        application = Lifespan(get_asgi_application(), trail)

    The server has to speak the lifespan protocol, as uvicorn and Hypercorn do. Without it (``uvicorn --lifespan off``)
    neither start nor stop is recorded, and the log says so. A framework with a lifespan of its own (FastAPI, Starlette)
    starts the trail there instead.
    """

    def __init__(self, app: ASGIApp, trail: Trail) -> None:
        self._app = app
        self._trail = trail
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the lifespan, and pass everything else on."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if not self._begun:
            self._begun = True
            log.error(
                "the server does not say when it starts and stops (the lifespan protocol of ASGI): neither is recorded"
            )
        await self._app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        self._begun = True
        await receive()
        try:
            await asyncio.to_thread(self._trail.start)
        except PublisherError as exc:
            # A server would take an exception for an application that does not know the protocol.
            await send({"type": "lifespan.startup.failed", "message": f"the trail: {exc}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            await asyncio.to_thread(self._trail.close)
        except PublisherError as exc:
            await send({"type": "lifespan.shutdown.failed", "message": f"the trail: {exc}"})
            return
        await send({"type": "lifespan.shutdown.complete"})
