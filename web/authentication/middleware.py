"""Authentication before every route: without a principal a request reaches only the open routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from domain.access.principal import Principal, Role
from domain.errors import AccessDeniedError, UnauthenticatedError, UnavailableError
from queries.error_codes import Code
from web.authentication.combined import Authentication
from web.authentication.long_responses import Watched
from web.authentication.rates import Rates
from web.http.problems import refusal
from web.settings import WebSettings

REALM = 'Bearer realm="audit-trail"'
HEALTH = frozenset({"/healthz", "/readyz"})
_PAGES = frozenset({"/docs", "/openapi.json"})
_FILES = "/static/"

SESSION_CHECK = "session_check"
"""The entry of a request's state by which a session of the dashboard authenticates it."""
SessionCheck = Callable[[], Awaitable[Principal]]
"""The principal of the session. Raises `UnauthenticatedError` once it has ended."""

Denied = Callable[[Scope, int, str], None]
"""Called for each 401 and 403 with the scope, the status, and the reason for the record."""


def is_open(path: str, settings: WebSettings) -> bool:
    """Whether a route, apart from pages for people, answers requests without a token."""
    return path in HEALTH or (settings.public_log and (path == "/log" or path.startswith("/log/")))


def principal_of(scope: Scope) -> Principal | None:
    """The principal of a request, once the middleware has passed it on."""
    found: Principal | None = scope.get("state", {}).get("principal")
    return found


class AuthenticationMiddleware:
    """ASGI middleware. A WebSocket may also authenticate in its first message: see `web.graphql.subscriptions`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        authentication: Authentication,
        settings: WebSettings,
        rates: Rates | None = None,
        denied: Denied | None = None,
    ) -> None:
        self._app = app
        self._authentication = authentication
        self._settings = settings
        self._denied = denied or _ignore
        self._rates = rates or Rates.of(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its principal, or answer 401, 403, 429 or 503."""
        if scope["type"] not in {"http", "websocket"} or self._is_open(scope):
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).getlist("authorization")
        if scope["type"] == "websocket" and not given:
            await self._app(scope, receive, send)
            return
        session: SessionCheck | None = scope.get("state", {}).get(SESSION_CHECK)

        async def check() -> Principal:
            return await (self._authentication.principal(given) if session is None else session())

        try:
            principal = await check()
        except UnauthenticatedError as exc:
            await self._refuse(exc, scope, receive, send)
            return
        except UnavailableError:
            headers = {"Retry-After": str(self._settings.retry_after)}
            answer = refusal(scope, 503, Code.UNAVAILABLE, "the issuer of tokens is away; try again", headers)
            await _answer(answer, scope, receive, send)
            return
        wait = self._rates.ask(principal)
        if wait:
            await _answer(_slower(scope, "requests", wait), scope, receive, send)
            return
        scope.setdefault("state", {})["principal"] = principal
        if scope["type"] == "http" and not principal.roles:
            self._denied(scope, 403, "no role")
            why = f"{AccessDeniedError()}: they have none of the roles {', '.join(sorted(Role))}"
            answer = refusal(scope, 403, Code.FORBIDDEN, why)
            await _answer(answer, scope, receive, send)
            return
        watched = Watched(send, scope, check, self._denied, self._settings.token_recheck)
        await self._app(scope, receive, watched)

    def _is_open(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if is_open(path, self._settings) or path.startswith(self._settings.open_paths or ("\0",)):
            return True
        return self._settings.pages and (
            path in _PAGES or path.startswith(_FILES) or _is_page_of_graphql(scope)
        )

    async def _refuse(self, exc: UnauthenticatedError, scope: Scope, receive: Receive, send: Send) -> None:
        self._denied(scope, 401, exc.message)
        wait = self._rates.fail(scope)
        if wait:
            await _answer(_slower(scope, "attempts", wait), scope, receive, send)
            return
        code = f', error="{exc.code}", error_description="{exc.message}"' if exc.code else ""
        headers = {"WWW-Authenticate": REALM + code}
        answer = refusal(scope, 401, Code.UNAUTHENTICATED, exc.message, headers)
        await _answer(answer, scope, receive, send)


def _is_page_of_graphql(scope: Scope) -> bool:
    """Whether a browser opens GraphiQL, which holds no data."""
    return (
        scope["type"] == "http"
        and scope["path"] == "/graphql"
        and scope["method"] == "GET"
        and not scope["query_string"]
        and "text/html" in Headers(scope=scope).get("accept", "")
    )


def _slower(scope: Scope, what: str, wait: float) -> Response:
    headers = {"Retry-After": str(int(wait) + 1)}
    message = f"too many {what}; wait as long as Retry-After says"
    return refusal(scope, 429, Code.LIMIT_EXCEEDED, message, headers)


async def _answer(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request, or a WebSocket handshake (ASGI: websocket.http.response)."""
    if scope["type"] == "http":
        await response(scope, receive, send)
    elif "websocket.http.response" in scope.get("extensions", {}):
        await send(
            {
                "type": "websocket.http.response.start",
                "status": response.status_code,
                "headers": response.raw_headers,
            }
        )
        await send({"type": "websocket.http.response.body", "body": response.body})
    else:
        await send({"type": "websocket.close", "code": 1008})


def _ignore(*_: Any) -> None:
    pass
