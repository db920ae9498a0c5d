"""Sessions before authentication: a cookie stands for the token of its sign-in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.access.principal import Principal
from domain.errors import AuditTrailError
from domain.read_audit.sign_ins import SignIn
from queries.ended_sessions import EndedSessions
from queries.error_codes import Code
from queries.thread_pool import Threads
from web.authentication.middleware import SESSION_CHECK, Denied
from web.authentication.sessions import NAME, Ended, Session, SessionEndedError, Sessions, is_own_request
from web.http.page_paths import SHARED, SIGN_IN, wants_page
from web.http.problems import refusal
from web.sign_in.cookies import removed_cookie, set_cookie
from web.sign_in.record import SignInRecord

FORGED = "the request was not made by a page of this server"
REFRESH = "x-refresh"
"""The header with which a page fetches its live part."""


class SessionMiddleware:
    """ASGI middleware. A page without a session leads to the sign-in; an API path without one needs a token.

    `is_page` tells whether a path is a page for people. `ended` finds the sessions that another process ended, in
    `threads`.
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
        ended: EndedSessions,
        threads: Threads,
    ) -> None:
        self._app = app
        self._sessions = sessions
        self._is_page = is_page
        self._prefix = prefix
        self._record = record
        self._denied = denied
        self._ended = ended
        self._threads = threads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with the check of its session if it has one."""
        # A shared link is read with its own rights, whoever is signed in.
        if scope["type"] != "http" or scope["path"] == SHARED or "authorization" in Headers(scope=scope):
            await self._app(scope, receive, send)
            return
        try:
            session = self._sessions.of(scope)
            if session is not None:
                await self._check(session)
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
        scope.setdefault("state", {})[SESSION_CHECK] = partial(self._check, session)
        # A page that refreshes itself is no sign of a person, and an answer that may be cached must hold no cookie.
        used = page and REFRESH not in Headers(scope=scope)
        await self._app(scope, receive, self._renewing(scope, session, send) if used else send)

    async def _check(self, session: Session) -> Principal:
        """The principal of a session in use. Raises `SessionEndedError`, also when another process ended it."""
        principal = self._sessions.check(session)
        if await self._ended_elsewhere(session):
            self._sessions.end(session)
            raise SessionEndedError(Ended.SIGNED_OUT, session)
        return principal

    async def _ended_elsewhere(self, session: Session) -> bool:
        id = session.principal.session
        if id is None or self._ended.is_in_use(id):
            return False
        try:
            return await self._threads.run(self._ended.has_ended, id)
        except AuditTrailError:
            return False  # nothing can be read then, and the session can still be signed out

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
        """Record a time-out, unless the end is on record already."""
        if self._sessions.end(exc.session) and not await self._ended_elsewhere(exc.session):
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
