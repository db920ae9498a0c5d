"""The routes of the pages. Each reads its parameters, builds its view in a thread, and renders it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote
from uuid import UUID

from cachetools import TTLCache
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import dashboard
from dashboard import links
from dashboard.event_page import event_view, is_about
from dashboard.explorer import PAGING, RANGE, explore, page_of
from dashboard.notices import Find, Notice
from dashboard.operations import StoreState, operations
from dashboard.overview import overview
from dashboard.render import View, render
from dashboard.subjects import (
    Subject,
    device_page,
    patient_page,
    resource_page,
    service_page,
    user_page,
)
from dashboard.viewer import Viewer, zone_of
from domain.access.access_question import MAX_TEXT, question_event
from domain.access.grants import Operation
from domain.access.scope import Scope
from domain.catalogue import TRAIL_SERVICE
from domain.errors import Reason, RejectedError, UnrecordedError
from domain.event import Source
from domain.validation import check, encode_event
from event_store.log_reader import LogReader
from ingest.publisher import Message
from queries.cursors import decode_cursor
from queries.scoped.log import ScopedLog
from queries.scoped.read_models import ScopedModels
from queries.thread_pool import Threads
from web.access import NOBODY, Access
from web.authentication.middleware import principal_of
from web.http.page_paths import ASSETS
from web.parameters.filter_query import filter_from_address, refuse_repeated, renamed
from web.probes import Probes
from web.read_audit.access_record import access_record_of
from web.read_audit.publication import Recording
from web.rest.event_intake import EventPublisher
from web.settings import WebSettings

ZONE_COOKIE = "audit-trail-zone"
_FILES = Path(dashboard.__file__).with_name("static")
_NOT_FOUND = "Nothing is recorded under this id, or you may not see it."
_PART = "part"
"""The parameter by which an open page fetches its live part."""
_MOST_PAIRS = 100
_INTERVAL = 300.0
"""Seconds within which the live updates of one view, which count and name nobody, are recorded once."""
_SUBJECTS: dict[str, Callable[[ScopedModels, Viewer, str], Subject | None]] = {
    "patients": patient_page,
    "users": user_page,
    "services": service_page,
}


class Pages:
    """The pages of one application."""

    def __init__(
        self,
        access: Access,
        threads: Threads,
        log: LogReader,
        probes: Probes,
        publisher: EventPublisher,
        publishing: Threads,
        settings: WebSettings,
        recording: Recording | None,
    ) -> None:
        self._publisher = publisher
        self._publishing = publishing
        self._topic = settings.topic
        self._access = access
        self._threads = threads
        self._log = log
        self._probes = probes
        self._limits = settings.limits
        self._prefix = settings.path_prefix
        self._recording = recording
        self._seen: TTLCache[tuple[str, str], bool] = TTLCache(100_000, _INTERVAL)

    def routes(self) -> list[Route | Mount]:
        """The routes, in the order in which they are tried."""
        return [
            Route("/", self.overview, methods=["GET"]),
            Route("/explore", self.explore, methods=["GET"]),
            Route("/events/{event_id:uuid}", self.event, methods=["GET"]),
            Route("/events/{event_id:uuid}/question", self.question, methods=["POST"]),
            Route("/events/{event_id:uuid}/stored", self.stored, methods=["GET"]),
            Route("/resource", self.resource, methods=["GET"]),
            Route("/operations", self.operations, methods=["GET"]),
            Route("/find", self.find, methods=["GET"]),
            Route("/me", self.me, methods=["GET"]),
            Route("/devices/{id:any}", self.device, methods=["GET"]),
            *(Route(f"/{kind}/{{id:any}}", self._subject(kind), methods=["GET"]) for kind in _SUBJECTS),
            Mount(ASSETS.rstrip("/"), StaticFiles(directory=_FILES)),
        ]

    def notice(self, request: Request, status: int, title: str, text: str) -> Response:
        """A page that says something."""
        principal = principal_of(request.scope)
        viewer = self._viewer(request, Scope(principal or NOBODY))
        signed_in = principal is not None
        view = Notice(
            viewer=viewer,
            title=title,
            text=text,
            action="To the overview" if signed_in else "Sign in",
            action_link="/" if signed_in else "/sign-in",
            signed_in=signed_in,
        )
        return HTMLResponse(render(view), status)

    async def overview(self, request: Request) -> Response:
        """`/`: the last 24 hours; people without counts begin where they can."""
        viewer = await self._viewer_of(request)
        if not viewer.may(Operation.COUNT_EVENTS):
            first = next((item.path for item in viewer.navigation), None)
            if first is None:
                return self.notice(request, 403, "Nothing to see", "Your roles have no page here.")
            return RedirectResponse(f"{self._prefix}{first}", 303)
        models = await self._access.models_of(request)
        log = ScopedLog(self._log, viewer.scope)
        live = _is_live(request)
        view = await self._threads.run(overview, models, log, viewer, live=live)
        if live:
            await self._record_once(request, viewer)
        return await self._shown(request, view)

    async def explore(self, request: Request) -> Response:
        """`/explore`: the filters of the API, and a range of times."""
        refuse_repeated(request)
        viewer = await self._viewer_of(request)
        models = await self._access.models_of(request)
        pairs = [(name, value) for name, value in request.query_params.multi_items() if name != _PART]
        if len(pairs) > _MOST_PAIRS:
            raise RejectedError(Reason.INVALID_FIELD, f"at most {_MOST_PAIRS} parameters", field="filter")
        given = dict(pairs)
        page = page_of(
            _position(given.get("after"), "after"),
            _position(given.get("before"), "before"),
            oldest_first=given.get("order") == "oldest",
        )
        conditions = filter_from_address(pair for pair in pairs if pair[0] not in (*RANGE, *PAGING))
        try:
            view = await self._threads.run(
                explore, models, viewer, conditions, pairs, page, self._limits.max_unindexed_days
            )
        except RejectedError as exc:
            raise renamed(exc) from exc
        return await self._shown(request, view)

    async def event(self, request: Request) -> Response:
        """One event."""
        viewer = await self._viewer_of(request)
        models = await self._access.models_of(request)

        asked = "asked" in request.query_params

        def build(event_id: UUID) -> View | None:
            found = models.event(event_id)
            return None if found is None else event_view(models, viewer, found, asked=asked)

        return await self._found(request, await self._threads.run(build, request.path_params["event_id"]))

    async def question(self, request: Request) -> Response:
        """Record that somebody does not recognise an event about them, and go back to it."""
        viewer = await self._viewer_of(request)
        models = await self._access.models_of(request)
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        text = form.get("text", "").strip()[:MAX_TEXT]
        if not text:
            raise RejectedError(Reason.MISSING_FIELD, "say what you don't recognise", field="text")
        found = await self._threads.run(models.event, request.path_params["event_id"])
        if found is None or not is_about(viewer, found.event):
            return self.notice(request, 404, "Nothing here", _NOT_FOUND)
        source = Source(service=TRAIL_SERVICE)
        event = question_event(found, text, by=viewer.principal, at=viewer.now, source=source)
        check(event)
        key = event.patients[0].id.encode() if event.patients else None
        await self._publishing.run(self._publisher.publish, [Message(self._topic, key, encode_event(event))])
        return RedirectResponse(f"{self._prefix}{links.event(found.event.event_id)}?asked=1", 303)

    async def stored(self, request: Request) -> Response:
        """The stored bytes of an event, which the sealed digest covers."""
        models = await self._access.models_of(request)
        body = await self._threads.run(models.stored_body, request.path_params["event_id"])
        if body is None:
            return self.notice(request, 404, "Nothing here", _NOT_FOUND)
        return Response(body, media_type="application/octet-stream")

    async def resource(self, request: Request) -> Response:
        """The history of a resource."""
        viewer = await self._viewer_of(request)
        models = await self._access.models_of(request)
        type, id = (request.query_params.get(name, "") for name in ("type", "id"))
        return await self._found(request, await self._threads.run(resource_page, models, viewer, type, id))

    def _subject(self, kind: str) -> Callable[[Request], Any]:
        async def show(request: Request) -> Response:
            viewer = await self._viewer_of(request)
            models = await self._access.models_of(request)
            id = _last_part(request, kind)
            return await self._found(request, await self._threads.run(_SUBJECTS[kind], models, viewer, id))

        return show

    async def device(self, request: Request) -> Response:
        """A device, with its configuration at a day."""
        viewer = await self._viewer_of(request)
        models = await self._access.models_of(request)
        id = _last_part(request, "devices")
        days = (request.query_params.get(name, "") for name in ("at", "compared"))
        return await self._found(request, await self._threads.run(device_page, models, viewer, id, *days))

    async def me(self, request: Request) -> Response:
        """The own activity of a member of staff."""
        viewer = await self._viewer_of(request)
        actors = viewer.principal.actors or (viewer.principal.id,)
        return RedirectResponse(f"{self._prefix}{links.subject('user', actors[0])}", 303)

    async def operations(self, request: Request) -> Response:
        """The state of the trail itself."""
        viewer = await self._viewer_of(request)
        models = await self._access.models_of(request)
        viewer.scope.require(Operation.READ_STATUS)
        trouble = self._recording.trouble if self._recording is not None else ""

        def build() -> View:
            if not viewer.may(Operation.READ_METRICS):
                return operations(models, viewer, None)
            probes = self._probes
            store = StoreState(
                probes.log_size(),
                probes.dead_letters(),
                probes.recording_gaps(),
                probes.pending_migrations(),
                trouble,
            )
            return operations(models, viewer, store)

        return await self._shown(request, await self._threads.run(build))

    async def find(self, request: Request) -> Response:
        """The form, or the page of the subject that it names."""
        kind, id = request.query_params.get("kind", ""), request.query_params.get("id", "")
        if kind in links.SUBJECTS and id:
            return RedirectResponse(f"{self._prefix}{links.subject(kind, id)}", 303)
        return await self._shown(request, Find(viewer=await self._viewer_of(request), title="Find"))

    async def _viewer_of(self, request: Request) -> Viewer:
        return self._viewer(request, await self._access.scope_of(request))

    def _viewer(self, request: Request, scope: Scope) -> Viewer:
        return Viewer(
            principal=scope.principal,
            scope=scope,
            zone=_zone(request),
            base=self._prefix,
            path=request.url.path,
            now=datetime.now(UTC),
        )

    async def _shown(self, request: Request, view: View) -> Response:
        return HTMLResponse(await self._threads.run(render, view, live=_is_live(request)))

    async def _found(self, request: Request, view: View | None) -> Response:
        if view is None:
            return self.notice(request, 404, "Nothing here", _NOT_FOUND)
        return await self._shown(request, view)

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


def _is_live(request: Request) -> bool:
    return request.query_params.get(_PART) == "live"


def _position(cursor: str | None, name: str) -> int | None:
    return decode_cursor(cursor, name) if cursor else None


def _zone(request: Request) -> str:
    return zone_of(request.query_params.get("zone"), unquote(request.cookies.get(ZONE_COOKIE, "")))


def _last_part(request: Request, kind: str) -> str:
    """The id in a path, which may contain any letter, also an encoded slash."""
    id: str = request.path_params["id"]
    if not id:
        raise RejectedError(Reason.MISSING_FIELD, "give an id", field=kind.removesuffix("s"))
    return id
