"""The routes of one event: its page, its bytes, and the question of somebody who does not recognise it."""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard import links
from dashboard.event_page import event_view, is_questionable
from dashboard.render import View
from domain.access.access_question import MAX_TEXT, question_event
from domain.catalogue import TRAIL_SERVICE
from domain.errors import Reason, RejectedError
from domain.event import Source
from web.dashboard.host import Host, form_of

_EVENT = "/events/{event_id:uuid}"
_BYTES = "application/octet-stream"


class EventPages:
    """The pages of one application."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(_EVENT, self.event, methods=["GET"]),
            Route(f"{_EVENT}/question", self.question, methods=["POST"]),
            Route(f"{_EVENT}/stored", self.stored, methods=["GET"]),
            Route(f"{_EVENT}/message", self.message, methods=["GET"]),
        ]

    async def event(self, request: Request) -> Response:
        """One event."""
        viewer, models = await self._host.reader_of(request)
        asked = "asked" in request.query_params

        def build(event_id: UUID) -> View | None:
            found = models.event(event_id)
            return None if found is None else event_view(models, viewer, found, asked=asked)

        return await self._host.found(
            request, await self._host.threads.run(build, request.path_params["event_id"])
        )

    async def question(self, request: Request) -> Response:
        """Record that somebody does not recognise an event about them, and go back to it."""
        viewer, models = await self._host.reader_of(request)
        text = (await form_of(request)).get("text", "").strip()[:MAX_TEXT]
        if not text:
            raise RejectedError(Reason.MISSING_FIELD, "say what you don't recognise", field="text")
        found = await self._host.threads.run(models.event, request.path_params["event_id"])
        if found is None or not is_questionable(viewer, found.event):
            return self._host.not_found(request)
        source = Source(service=TRAIL_SERVICE)
        event = question_event(found, text, by=viewer.principal, at=viewer.now, source=source)
        await self._host.publish(event, event.patients[0].id if event.patients else None)
        return self._host.to(f"{links.event(found.event.event_id)}?asked=1")

    async def stored(self, request: Request) -> Response:
        """The stored bytes of an event, which the sealed digest covers."""
        models = await self._host.access.models_of(request)
        body = await self._host.threads.run(models.stored_body, request.path_params["event_id"])
        return self._host.not_found(request) if body is None else Response(body, media_type=_BYTES)

    async def message(self, request: Request) -> Response:
        """The message that an event was read from, byte for byte as it was received."""
        models = await self._host.access.models_of(request)
        received = await self._host.threads.run(models.received_message, request.path_params["event_id"])
        if received is None:
            return self._host.not_found(request)
        return Response(received.message, media_type=_BYTES)
