"""What all pages share: who looks, how a page is answered, and how an action becomes an event of the trail."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from dashboard.locales import locale_of
from dashboard.notices import Notice
from dashboard.render import View, render
from dashboard.viewer import Viewer, zone_of
from domain.access.scope import Scope
from domain.event import AuditEvent
from domain.validation import check, encode_event
from ingest.publisher import Message
from queries.scoped.read_models import ScopedModels
from queries.thread_pool import Threads
from web.access import NOBODY, Access, query_log_of
from web.authentication.middleware import principal_of
from web.http.page_paths import SHARED, SIGN_IN
from web.read_audit.access_record import access_record_of
from web.rest.publishing import EventPublisher
from web.settings import WebSettings

ZONE_COOKIE = "audit-trail-zone"
_NOT_FOUND = "Nothing is recorded under this id, or you may not see it."
_PART = "part"
"""The parameter by which an open page fetches its live part."""


class Host:
    """Makes the pages of one application. `threads` read."""

    def __init__(
        self,
        access: Access,
        threads: Threads,
        publisher: EventPublisher,
        publishing: Threads,
        settings: WebSettings,
    ) -> None:
        self.access = access
        self.threads = threads
        self.prefix = settings.path_prefix
        self._publisher = publisher
        self._publishing = publishing
        self._topic = settings.topic

    async def viewer_of(self, request: Request) -> Viewer:
        """Who looks at a page."""
        return self.viewer(request, await self.access.scope_of(request))

    def viewer(self, request: Request, scope: Scope) -> Viewer:
        """Who looks at a page, with the choices of the request."""
        return Viewer(
            principal=scope.principal,
            scope=scope,
            zone=chosen_zone(request),
            locale=locale_of(request.headers.get("accept-language", "")),
            base=self.prefix,
            path=request.url.path,
            now=datetime.now(UTC),
        )

    async def reader_of(self, request: Request) -> tuple[Viewer, ScopedModels]:
        """Who looks at a page, and the read models within that scope."""
        viewer = await self.viewer_of(request)
        return viewer, self.access.scoped(viewer.scope, query_log_of(access_record_of(request)))

    async def shown(self, request: Request, view: View, status: int = 200) -> Response:
        """A page, or the part of it that it asks for again."""
        return HTMLResponse(await self.threads.run(render, view, live=is_live(request)), status)

    async def found(self, request: Request, view: View | None, nothing: str = _NOT_FOUND) -> Response:
        """A page, or one that says why there is none."""
        return self.not_found(request, nothing) if view is None else await self.shown(request, view)

    def not_found(self, request: Request, text: str = _NOT_FOUND) -> Response:
        """A page that says that there is nothing, or nothing for this viewer."""
        return self.notice(request, 404, "Nothing here", text)

    def notice(self, request: Request, status: int, title: str, text: str) -> Response:
        """A page that says something."""
        principal = principal_of(request.scope)
        viewer = self.viewer(request, Scope(principal or NOBODY))
        signed_in = principal is not None and principal.link is None
        action, link = ("To the overview", "/") if signed_in else ("Sign in", SIGN_IN)
        shared = viewer.path == SHARED
        view = Notice(
            viewer=viewer,
            title=title,
            text=text,
            action="" if shared else action,
            action_link="" if shared else link,
            signed_in=signed_in,
        )
        return HTMLResponse(render(view), status)

    def to(self, path: str) -> Response:
        """Go on to another page, after a form."""
        return RedirectResponse(f"{self.prefix}{path}", 303)

    async def publish(self, event: AuditEvent, key: str | None) -> None:
        """Return once the event is durable in Kafka. Events with the same key stay in order."""
        message = Message(self._topic, None if key is None else key.encode(), encode_event(check(event)))
        await self._publishing.run(self._publisher.publish, [message])


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form; of a field that is repeated the last value."""
    return dict(parse_qsl((await request.body()).decode("utf-8", "replace")))


def is_live(request: Request) -> bool:
    """Whether an open page asks for its live part."""
    return request.query_params.get(_PART) == "live"


def chosen_zone(request: Request, otherwise: str | None = None) -> str:
    """The time zone of the address, else that of the browser's cookie, else this one."""
    cookie = unquote(request.cookies.get(ZONE_COOKIE, ""))
    return zone_of(request.query_params.get("zone"), cookie, otherwise)
