"""Sessions before authentication: a cookie stands for the token of its sign-in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.read_audit.sign_ins import SignIn
from queries.error_codes import Code
from web.authentication.middleware import SESSION_CHECK, Denied
from web.authentication.sessions import NAME, Session, SessionEndedError, Sessions, is_own_request
from web.http.page_paths import SIGN_IN, wants_page
from web.http.problems import refusal
from web.sign_in.cookies import removed_cookie, set_cookie
from web.sign_in.record import SignInRecord

FORGED = "the request was not made by a page of this server"
REFRESH = "x-refresh"
"""The header with which a page fetches its live part."""


class SessionMiddleware:
    """ASGI middleware. A page without a session leads to the sign-in; an API path without one needs a token.

    `is_page` tells whether a path is a page for people.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        sessions: Sessions,
        is_page: Callable[[str], bool],
        prefix: str,
        record: SignInRecord,
        denied: Denied,
    ) -> None:
        self._app = app
        self._sessions = sessions
        self._is_page = is_page
        self._prefix = prefix
        self._record = record
        self._denied = denied

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with the check of its session if it has one."""
        if scope["type"] != "http" or "authorization" in Headers(scope=scope):
            await self._app(scope, receive, send)
            return
        try:
            session = self._sessions.of(scope)
        except SessionEndedError as exc:
            await self._record_end(exc, scope)
            session = None
        page = self._is_page(scope["path"])
        if session is None:
            if page and scope["method"] in {"GET", "HEAD"} and wants_page(scope):
                await self._to_sign_in(scope, receive, send)
            else:
                await self._app(scope, receive, send)
            return
        if not is_own_request(scope, page=page or scope["path"].startswith(SIGN_IN)):
            scope.setdefault("state", {})["principal"] = session.principal
            self._denied(scope, 403, FORGED)
            await refusal(scope, 403, Code.FORBIDDEN, FORGED)(scope, receive, send)
            return
        scope.setdefault("state", {})[SESSION_CHECK] = partial(self._sessions.check, session)
        # A page that refreshes itself is no sign of a person, and an answer that may be cached must hold no cookie.
        used = page and REFRESH not in Headers(scope=scope)
        await self._app(scope, receive, self._renewing(scope, session, send) if used else send)

    def _renewing(self, scope: Scope, session: Session, send: Send) -> Send:
        renewed = self._sessions.renewed(session)
        if renewed is None:
            return send

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and not self._sessions.has_ended(session):
                headers = MutableHeaders(scope=message)
                if "set-cookie" not in headers:  # the answer to a sign-out removes it
                    headers.append("set-cookie", set_cookie(scope, NAME, self._sessions.seal(renewed)))
            await send(message)

        return sending

    async def _record_end(self, exc: SessionEndedError, scope: Scope) -> None:
        """Record a time-out, once for each process that meets the cookie."""
        if self._sessions.end(exc.session):
            record = self._record.write(SignIn.TIMED_OUT, exc.session.principal, scope, reason=exc.why.value)
            await asyncio.shield(record)

    async def _to_sign_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode("latin-1")
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1")
        wanted = f"{path}{f'?{query}' if query else ''}"
        answer = RedirectResponse(
            f"{self._prefix}{SIGN_IN}?next={quote(wanted, safe='/', encoding='latin-1')}", 303
        )
        if "cookie" in Headers(scope=scope):
            answer.headers.append("set-cookie", removed_cookie(scope, NAME))
        await answer(scope, receive, send)
