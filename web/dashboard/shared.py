"""What the reader of a shared link gets: one event with its proof, or one list. No other route takes a link.

1. The token is taken out of the path (`web.http.hidden_tokens`) and decrypted.
2. The trail is asked, each time, whether the link was made and not revoked.
3. The reader's read models hold only what the link shows (`queries.scoped.events`), whatever the parameters are.
4. The use is recorded before the answer leaves, as every read of the trail is.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from functools import partial

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from dashboard.event_page import ProofLinks, event_view
from dashboard.explorer.addresses import PAGING
from dashboard.explorer.page import PAGE
from dashboard.render import render
from dashboard.shared_list import shared_list
from dashboard.viewer import SharedBy, Viewer
from domain.access.grants import Operation
from domain.access.scope import Scope
from domain.access.shared_link import EventPlace, ListRange, Shared, SharedLink
from domain.errors import AccessDeniedError, AuditTrailError, Reason, RejectedError
from event_store.log_reader import LogReader
from queries.filters.event_filter import EventFilter
from queries.scoped.read_models import ScopedModels
from queries.shared_links import shown_events
from web.access import query_log_of
from web.authentication.rates import Rates
from web.dashboard.addresses import filter_of_pairs, page_asked
from web.dashboard.host import chosen_zone
from web.dashboard.links import Sharing
from web.http.hidden_tokens import token_of
from web.http.page_paths import SHARED
from web.parameters.filter_query import refuse_repeated
from web.read_audit.access_record import AccessRecorder, access_record_of
from web.rest.transparency_log import OCTETS, TEXT

_OF_EVENT = ("part", "head")
_Refusal = tuple[int, str, str]
"""The status, title and text of a page."""
_EXPIRED: _Refusal = (410, "This link has expired", "Ask whoever sent it for a new one.")
_BY_STATE: dict[Shared, _Refusal | None] = {
    Shared.VALID: None,
    Shared.REVOKED: (410, "This link was revoked", "Ask whoever sent it for the reason."),
    Shared.UNKNOWN: (
        403,
        "Not yet",
        "The trail does not have this link yet. If it was just made, try again soon.",
    ),
}
_PROOF = ProofLinks("?part=stored", "?part=proof", "?part=keys", "?part=message")
"""Relative to the address of the link, so that a page does not repeat its token."""


class SharedPages:
    """The pages of one application."""

    def __init__(
        self, sharing: Sharing, log: LogReader, rates: Rates, recorder: AccessRecorder | None
    ) -> None:
        self._sharing = sharing
        self._host = sharing.host
        self._log = log
        self._rates = rates
        self._recorder = recorder

    def routes(self) -> list[Route]:
        """The route. Its path is what is left of a link's address without its token."""
        return [Route(SHARED, self.open, methods=["GET"])]

    async def open(self, request: Request) -> Response:
        """What the link shows, or a page that says why it shows nothing."""
        link = self._sharing.tokens.read(token_of(request.scope))
        if link is None:
            return self._guessed(request)
        request.state.principal = link.reader
        wait = self._rates.ask(link.reader)
        if wait:
            return self._too_many(request, wait)
        try:
            refusal = await self._refusal(link)
        except AuditTrailError:
            text = "The trail can't be asked whether this link is still valid. Try again in a moment."
            return self._host.notice(request, 503, "Not now", text)
        try:
            return await self._shown(request, link) if refusal is None else self._refused(request, *refusal)
        except AccessDeniedError:
            return self._refused(request, 403, "This link does not show that", "Its maker may not see it.")

    async def _refusal(self, link: SharedLink) -> _Refusal | None:
        """Why a link shows nothing now; None for a valid one. Raises `AuditTrailError` without an answer."""
        if datetime.now(UTC) >= self._ends(link):
            return _EXPIRED
        return _BY_STATE[await self._host.threads.run(self._sharing.states.state, link.id)]

    async def _shown(self, request: Request, link: SharedLink) -> Response:
        _refuse_others(request, _OF_EVENT if link.event is not None else PAGING)
        scope = Scope(link.reader)
        viewer = replace(self._host.viewer(request, scope), zone=chosen_zone(request, link.zone))
        by = SharedBy(link.maker_name or link.maker, viewer.moment(self._ends(link)))
        viewer = replace(viewer, shared=by)
        conditions = () if link.list is None else link.list.conditions
        only = shown_events(link, filter_of_pairs(conditions))
        log = query_log_of(access_record_of(request))
        models = self._host.access.scoped(scope, log, only)
        if link.event is not None:
            return await self._event(request, models, viewer, link.event)
        assert link.list is not None
        return await self._list(request, models, viewer, link.list, only)

    async def _event(
        self, request: Request, models: ScopedModels, viewer: Viewer, shown: EventPlace
    ) -> Response:
        part = request.query_params.get("part", "page")
        if part not in {"page", "stored", "message", "proof", "keys"}:
            raise RejectedError(Reason.INVALID_FIELD, "there is no such part", field="part")
        newest = request.query_params.get("head") == "newest"
        answer = await self._host.threads.run(lambda: self._part(part, models, viewer, shown, newest=newest))
        return answer or self._host.not_found(request, "The trail does not have this event.")

    def _part(
        self, part: str, models: ScopedModels, viewer: Viewer, shown: EventPlace, *, newest: bool
    ) -> Response | None:
        """The page of the event, or what the browser needs to verify it. Blocks; None without the event."""
        if part == "stored":
            body = models.stored_body(shown.id)
            return None if body is None else Response(body, media_type=OCTETS)
        if part == "message":
            received = models.received_message(shown.id)
            return None if received is None else Response(received.message, media_type=OCTETS)
        found = models.event(shown.id)
        if found is None:
            return None
        if part == "page":
            return HTMLResponse(render(event_view(models, viewer, found, alone=_PROOF)))
        viewer.scope.require(Operation.READ_PROOFS)
        if part == "proof":
            return Response(self._log.proof_file(shown.id, newest=newest), media_type=TEXT)
        return Response("".join(f"{key.encode()}\n" for key in self._log.signing_keys()), media_type=TEXT)

    async def _list(
        self, request: Request, models: ScopedModels, viewer: Viewer, what: ListRange, only: EventFilter
    ) -> Response:
        given = request.query_params
        page = page_asked(given, PAGE, oldest_first=given.get("order") == "oldest")
        most = self._sharing.settings.limits.max_unindexed_days
        build = partial(shared_list, models, viewer, what, only, page, most)
        return HTMLResponse(await self._host.threads.run(lambda: render(build())))

    def _ends(self, link: SharedLink) -> datetime:
        return link.ends(self._sharing.settings.link_days)

    def _guessed(self, request: Request) -> Response:
        """The answer to what is no link: recorded and slowed down as a failed sign-in is."""
        if self._recorder is not None:
            self._recorder.denied(request.scope, 403, "no valid link")
        wait = self._rates.fail(request.scope)
        if wait:
            return self._too_many(request, wait)
        text = "It is incomplete, was changed, or comes from another server. Copy it again, whole."
        return self._host.notice(request, 403, "This link is not right", text)

    def _too_many(self, request: Request, wait: float) -> Response:
        answer = self._host.notice(request, 429, "Too many requests", f"Wait {int(wait) + 1} seconds.")
        answer.headers["Retry-After"] = str(int(wait) + 1)
        return answer

    def _refused(self, request: Request, status: int, title: str, text: str) -> Response:
        """A page that says why the link shows nothing. The attempt is recorded as one of its reader."""
        if self._recorder is not None:
            self._recorder.denied(request.scope, status, f"{title[0].lower()}{title[1:]}")
        return self._host.notice(request, status, title, text)


def _refuse_others(request: Request, allowed: Collection[str]) -> None:
    """Raise `RejectedError` for a parameter that the page does not have: what a link shows can't be changed."""
    refuse_repeated(request)
    for name in request.query_params:
        if name not in (*allowed, "zone"):
            raise RejectedError(Reason.INVALID_FIELD, "a shared link has no such parameter", field=name[:64])
