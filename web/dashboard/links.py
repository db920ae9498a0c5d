"""The pages of those who share: make a link, list the links, revoke one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qsl
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard.explorer.addresses import NO_CONDITIONS
from dashboard.explorer.ranges import range_of
from dashboard.link_pages import PAGE, LinkMade, described, link_form, link_list
from dashboard.viewer import Viewer
from domain.access.grants import Operation
from domain.access.shared_link import (
    DAYS,
    LINK,
    MAX_TEXT,
    SHARED,
    EventPlace,
    ListRange,
    Shared,
    is_made_by,
    revoked_event,
    share,
    shared_event,
    shows,
)
from domain.catalogue import TRAIL_SERVICE
from domain.errors import ConflictError, Reason, RejectedError
from domain.event import AuditEvent, RecordedEvent
from queries.filters.event_filter import EventFilter, PageRequest, during
from queries.scoped.query_description import queried_patients
from queries.scoped.read_models import ScopedModels
from queries.shared_links import SharedLinks
from web.access import query_log_of
from web.authentication.link_tokens import LinkTokens
from web.dashboard.addresses import filter_of_pairs, page_asked
from web.dashboard.host import Host, form_of
from web.http.page_paths import SHARED as SHARED_PATH
from web.parameters.filter_query import refuse_repeated, renamed
from web.read_audit.access_record import access_record_of
from web.settings import WebSettings

_ID = re.compile(r"[0-9a-f]{16}")
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Sharing:
    """What the pages of those who share and the pages of those who read need."""

    host: Host
    tokens: LinkTokens
    states: SharedLinks
    settings: WebSettings


class _Wanted(NamedTuple):
    """What somebody wants to share: one event, or the list of `filter`."""

    what: EventPlace | ListRange
    event: RecordedEvent | None
    filter: EventFilter


class Links:
    """The pages of one application."""

    def __init__(self, sharing: Sharing) -> None:
        self._host = sharing.host
        self._tokens = sharing.tokens
        self._states = sharing.states
        self._threads = sharing.host.threads
        self._settings = sharing.settings

    def routes(self) -> list[Route]:
        """The routes, in the order in which they are tried."""
        return [
            Route("/links", self.list, methods=["GET"]),
            Route("/links", self.make, methods=["POST"]),
            Route("/links/new", self.form, methods=["GET"]),
            Route("/links/{id:str}/revoke", self.revoke, methods=["POST"]),
        ]

    async def form(self, request: Request) -> Response:
        """`/links/new`: the form for the event, or for the list of the explorer's address."""
        refuse_repeated(request)
        viewer, models = await self._sharer(request)
        event = request.query_params.get("event", "")
        pairs = [] if event else request.query_params.multi_items()
        wanted = await self._wanted(models, viewer, event, pairs)
        if wanted is None:
            return self._host.not_found(request)
        days = self._most_days()
        view = link_form(viewer, wanted.what, days=(min(DAYS, days), days), lasting=self._tokens.lasting)
        return await self._host.shown(request, view)

    async def make(self, request: Request) -> Response:
        """Record that the link is made, then show it. The answer holds it, and no address does."""
        viewer, models = await self._sharer(request)
        form = await form_of(request)
        days, reason = self._days(form.get("days", "")), _reason(form.get("reason", ""))
        pairs = parse_qsl(form.get("list", ""))
        wanted = await self._wanted(models, viewer, form.get("event", ""), pairs)
        if wanted is None:
            return self._host.not_found(request)
        by = viewer.principal
        zone = dict(pairs).get("zone", viewer.zone)
        link = share(by, wanted.what, days=days, at=viewer.now, zone=zone)
        token = self._tokens.make(link)
        named = queried_patients(wanted.filter)
        await self._host.publish(shared_event(link, reason, by=by, event=wanted.event, named=named), link.id)
        url = request.url
        view = LinkMade(
            viewer=viewer,
            title="The link is made",
            what=described(shows(link.what), viewer),
            address=f"{url.scheme}://{url.netloc}{viewer.base}{SHARED_PATH}/{token}",
            until=viewer.moment(link.until),
            lasting=self._tokens.lasting,
        )
        return await self._host.shown(request, view, 201)

    async def list(self, request: Request) -> Response:
        """`/links`: the own links, or all for those who may revoke all."""
        viewer, models = await self._sharer(request)
        page = page_asked(request.query_params, PAGE)
        revoked = request.query_params.get("revoked", "")
        view = await self._threads.run(
            lambda: link_list(
                models,
                viewer,
                page,
                most_days=self._settings.link_days,
                revoked=revoked if _ID.fullmatch(revoked) else "",
            )
        )
        return await self._host.shown(request, view)

    async def revoke(self, request: Request) -> Response:
        """Record that a link is revoked: by its maker, or by those who may revoke all."""
        viewer, models = await self._sharer(request)
        id = request.path_params["id"]
        made = await self._threads.run(_made, models, id) if _ID.fullmatch(id) else None
        if made is None:
            return self._host.not_found(request)
        if not is_made_by(made, viewer.principal):
            self._require(request, viewer, Operation.REVOKE)
        if await self._threads.run(self._states.state, id) is not Shared.REVOKED:
            await self._host.publish(revoked_event(id, by=viewer.principal, at=viewer.now), id)
        return self._host.to(f"/links?revoked={id}")

    async def _sharer(self, request: Request) -> tuple[Viewer, ScopedModels]:
        viewer, models = await self._host.reader_of(request)
        self._require(request, viewer, Operation.SHARE)
        return viewer, models

    @staticmethod
    def _require(request: Request, viewer: Viewer, operation: Operation) -> None:
        log = query_log_of(access_record_of(request))
        with log.record_denial(operation.value, lambda: ({}, ())):
            viewer.scope.require(operation)

    async def _wanted(self, models: ScopedModels, viewer: Viewer, event: str, pairs: Pairs) -> _Wanted | None:
        """What the form or its address names. None for an event that is not there, or not for this viewer."""
        if event:
            found = await self._threads.run(models.event, _uuid(event))
            if found is None:
                return None
            return _Wanted(EventPlace(found.event.event_id, found.position), found, EventFilter())
        conditions = tuple((name, value) for name, value in pairs if name not in NO_CONDITIONS and value)
        times = range_of(pairs, viewer)
        what = ListRange(conditions, times.begin, times.end)
        try:
            filter = during(filter_of_pairs(conditions), what.begin, what.end)
            # What the explorer can't answer, a link can't show.
            models.prepare(filter, max_days=self._settings.limits.max_unindexed_days)
        except RejectedError as exc:
            raise renamed(exc) from exc
        return _Wanted(what, None, filter)

    def _days(self, text: str) -> int:
        most = self._most_days()
        if not re.fullmatch(r"[1-9][0-9]?", text, re.ASCII) or int(text) > most:
            raise RejectedError(Reason.INVALID_FIELD, f"a number from 1 to {most}", field="days")
        return int(text)

    def _most_days(self) -> int:
        """The most days of a link. Raises `ConflictError` where links are switched off."""
        if not self._settings.link_days:
            raise ConflictError(Reason.INVALID_FIELD, "links are switched off here", field="days")
        return self._settings.link_days


def _made(models: ScopedModels, id: str) -> AuditEvent | None:
    query = EventFilter(resource_type=LINK, resource_id=id, types=(SHARED,), service=TRAIL_SERVICE)
    found = models.events(models.prepare(query), PageRequest(first=1)).events
    return found[0].event if found else None


def _reason(text: str) -> str:
    found = text.strip()
    if not found or len(found) > MAX_TEXT:
        said = f"say for whom and why, in at most {MAX_TEXT} characters"
        raise RejectedError(Reason.MISSING_FIELD, said, field="reason")
    return found


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as exc:
        raise RejectedError(Reason.INVALID_FIELD, "not an event id", field="event") from exc
