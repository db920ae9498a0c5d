"""The routes of saved views. A form becomes an event of the trail, which is recorded a moment later."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.explorer.ranges import range_of
from dashboard.explorer.saved_views import UNREADABLE, views_page
from dashboard.viewer import Viewer
from domain.access.grants import Operation
from domain.access.principal import Role
from domain.access.saved_view import MAX_FILTER, SavedView, view_changed, view_deleted, view_saved
from domain.catalogue import TRAIL_SERVICE
from domain.errors import ConfigurationError, Reason, RejectedError
from domain.event import AuditEvent, Source
from queries.scoped.read_models import ScopedModels
from web.dashboard.addresses import filter_of_pairs, filter_of_query, kept_pairs
from web.dashboard.host import Host
from web.parameters.filter_query import renamed

_Endpoint = Callable[[Request], Awaitable[Response]]
_SOURCE = Source(service=TRAIL_SERVICE)
_CHOSEN = re.compile(r"([0-9a-f-]{36}) ([0-9]{1,19})", re.ASCII)
_NOT_YOURS = "There is no such view of yours."
_MOST_FIELDS = 20
"""Fields of a form."""
_LONGEST_FORM = 5 * MAX_FILTER
"""Bytes. A filter is percent-encoded a second time in a form."""


class SavedViewPages:
    """The pages of one application."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._threads = host.threads

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/views", self._told(self.views), methods=["GET"]),
            Route("/views", self._told(self.save), methods=["POST"]),
            Route("/views/{view:uuid}", self._told(self.change), methods=["POST"]),
            Route("/views/{view:uuid}/delete", self._told(self.delete), methods=["POST"]),
        ]

    def _told(self, endpoint: _Endpoint) -> _Endpoint:
        """The endpoint, which says so when the read model is not there."""

        async def answered(request: Request) -> Response:
            try:
                return await endpoint(request)
            except ConfigurationError:
                return self._host.notice(request, 503, "Not now", UNREADABLE)

        return answered

    async def views(self, request: Request) -> Response:
        """`/views`: the own views, and those that others share."""
        viewer, models = await self._host.reader_of(request)
        after, done = (request.query_params.get(name, "") for name in ("after", "done"))
        return await self._host.shown(
            request, await self._threads.run(views_page, models, viewer, filter_of_query, after, done)
        )

    async def save(self, request: Request) -> Response:
        """Save a filter as a new view, or give it to a view that there is."""
        viewer, models = await self._host.reader_of(request)
        viewer.scope.require(Operation.READ_EVENTS)
        form = await _form(request)
        filter = await self._threads.run(_checked_filter, models, viewer, form.get("filter", ""))
        if form.get("replace"):
            id, version = _chosen(form["replace"])
            return await self._change(request, models, viewer, id, version, {"filter": filter})
        owned = len(await self._threads.run(models.own_views))
        event = view_saved(
            form.get("name", ""),
            filter,
            _role(form.get("shared_with", "")),
            owned=owned,
            by=viewer.principal,
            at=viewer.now,
            source=_SOURCE,
        )
        return await self._recorded(event, "saved")

    async def change(self, request: Request) -> Response:
        """Rename a view, or share it."""
        viewer, models = await self._host.reader_of(request)
        viewer.scope.require(Operation.READ_EVENTS)
        form = await _form(request)
        wanted: dict[str, Any] = {"name": form["name"]} if "name" in form else {}
        if "shared_with" in form:
            wanted["shared_with"] = _role(form["shared_with"])
        return await self._change(
            request, models, viewer, request.path_params["view"], _version(form), wanted
        )

    async def _change(
        self,
        request: Request,
        models: ScopedModels,
        viewer: Viewer,
        id: UUID,
        version: int,
        wanted: dict[str, Any],
    ) -> Response:
        view: SavedView | None = await self._threads.run(models.own_view, id)
        if view is None:
            return self._host.not_found(request, _NOT_YOURS)
        event = view_changed(view, version, **wanted, by=viewer.principal, at=viewer.now, source=_SOURCE)
        return self._done("unchanged") if event is None else await self._recorded(event, "changed")

    async def delete(self, request: Request) -> Response:
        """Delete a view."""
        viewer, models = await self._host.reader_of(request)
        viewer.scope.require(Operation.READ_EVENTS)
        version = _version(await _form(request))
        view = await self._threads.run(models.own_view, request.path_params["view"])
        if view is None:
            return self._host.not_found(request, _NOT_YOURS)
        event = view_deleted(view, version, by=viewer.principal, at=viewer.now, source=_SOURCE)
        return await self._recorded(event, "deleted")

    async def _recorded(self, event: AuditEvent, done: str) -> Response:
        """Publish the event, with the view's id as the key: the events of a view stay in order."""
        [view] = event.resources
        await self._host.publish(event, view.id)
        return self._done(done)

    def _done(self, word: str) -> Response:
        return self._host.to(f"/views?done={word}")


async def _form(request: Request) -> dict[str, str]:
    body = await request.body()
    if len(body) > _LONGEST_FORM:
        raise RejectedError(Reason.INVALID_FIELD, f"at most {_LONGEST_FORM} bytes", field="form")
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError as exc:
        raise RejectedError(Reason.INVALID_FIELD, "not a form of this page", field="form") from exc
    return dict(pairs)


def _checked_filter(models: ScopedModels, viewer: Viewer, query: str) -> str:
    """The filter as a view keeps it. Raises what the explorer would raise for this address."""
    if len(query) > MAX_FILTER:
        raise RejectedError(Reason.INVALID_FIELD, f"at most {MAX_FILTER} characters", field="filter")
    pairs = kept_pairs(parse_qsl(query))
    filter = filter_of_pairs(pairs)
    range_of(pairs, viewer)
    try:
        models.prepare(filter)
    except RejectedError as exc:
        raise renamed(exc) from exc
    return urlencode(pairs)


def _chosen(text: str) -> tuple[UUID, int]:
    found = _CHOSEN.fullmatch(text)
    try:
        if found is not None:
            return UUID(found[1]), int(found[2])
    except ValueError:
        pass
    raise RejectedError(Reason.INVALID_FIELD, "choose one of your views", field="replace")


def _version(form: dict[str, str]) -> int:
    text = form.get("version", "")
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise RejectedError(Reason.INVALID_FIELD, "not a version of a view", field="version")
    return int(text)


def _role(text: str) -> Role | None:
    if not text:
        return None
    if text not in set(Role):
        raise RejectedError(Reason.INVALID_FIELD, "no such role", field="shared_with")
    return Role(text)
