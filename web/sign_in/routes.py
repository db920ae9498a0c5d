"""The sign-in: `/sign-in` leads to the identity provider, which leads back to `/sign-in/callback`; `/sign-out` ends it.

1. `/sign-in` makes state, nonce and PKCE verifier, keeps them in an encrypted cookie, and sends the browser away.
2. `/sign-in/callback` compares the state, exchanges the code, and checks the tokens and the nonce.
3. The sign-in is recorded. Only then does the browser get the cookie of its session.
4. `/sign-out` records the sign-out, removes the cookie, and ends the session at the provider if it offers that.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from domain.access.principal import Principal
from domain.errors import AuditTrailError, UnauthenticatedError, UnavailableError
from domain.read_audit.sign_ins import SignIn
from web.authentication.bearer import IssuedTokens
from web.authentication.rates import Rates
from web.authentication.sessions import (
    NAME,
    SessionEndedError,
    Sessions,
    cookie_of,
    is_safe_connection,
)
from web.http.page_paths import SIGN_IN, SIGN_OUT, SIGNED_OUT
from web.http.rate_limit import RateLimit
from web.sign_in.cookies import removed_cookie, set_cookie
from web.sign_in.provider import Attempt, Provider
from web.sign_in.record import SignInRecord

ATTEMPT = "audit-trail-sign-in"
_ATTEMPT_SECONDS = 600
CALLBACK = f"{SIGN_IN}/callback"
_MOST_NEXT = 1_500
"""Bytes of an address: it is part of a cookie."""
_CALLBACKS_A_MINUTE, _CALLBACKS_AT_ONCE = 600, 300
"""Of one address, which may be that of a whole hospital at the change of shifts. Each asks the provider."""
_MOST_ASKING = 3
"""Requests to the provider at once: it may hang, and the threads serve others too."""
_NOT_NOW = "No sign-in now"
_AGAIN = "Try again in a moment."

P = ParamSpec("P")
T = TypeVar("T")
Page = Callable[[Request, int, str, str], Response]
"""A page with a status, a title and a text."""


class SignInRoutes:
    """The routes. `page` makes the pages that say what went wrong; `prefix` is that of the server's public paths."""

    def __init__(
        self,
        provider: Provider,
        tokens: IssuedTokens,
        sessions: Sessions,
        record: SignInRecord,
        page: Page,
        prefix: str,
        rates: Rates,
    ) -> None:
        self._provider = provider
        self._tokens = tokens
        self._sessions = sessions
        self._record = record
        self._page = page
        self._prefix = prefix
        self._rates = rates
        self._callbacks = RateLimit(_CALLBACKS_A_MINUTE, _CALLBACKS_AT_ONCE)
        self._asking = asyncio.Semaphore(_MOST_ASKING)

    def routes(self) -> list[Route]:
        """The routes, in any order."""
        return [
            Route(SIGN_IN, self.begin, methods=["GET"]),
            Route(CALLBACK, self.finish, methods=["GET"]),
            Route(SIGN_OUT, self.end, methods=["POST"]),
            Route(SIGNED_OUT, self.ended, methods=["GET"]),
        ]

    async def begin(self, request: Request) -> Response:
        """Send the browser to the identity provider."""
        if not is_safe_connection(request.scope):
            return self._page(request, 400, "Not over this connection", "A sign-in needs https.")
        attempt = Attempt.begin(_inner_path(request.query_params.get("next", "/")))
        try:
            url = await self._ask(self._provider.authorization_url, attempt, self._public(request, CALLBACK))
        except UnavailableError as exc:
            return self._page(request, 503, _NOT_NOW, f"{exc}. {_AGAIN}")
        answer = RedirectResponse(url, 303)
        kept = self._sessions.encrypt(msgspec.json.encode(attempt))
        answer.headers.append(
            "set-cookie", set_cookie(request.scope, ATTEMPT, kept, seconds=_ATTEMPT_SECONDS)
        )
        return answer

    async def finish(self, request: Request) -> Response:
        """Check what the identity provider says, and begin the session."""
        wait = self._callbacks.take(request.client.host if request.client is not None else "")
        if wait:
            return self._too_many(request, wait)
        try:
            attempt = self._attempt(request)
            session = self._sessions.begin(await self._principal(request, attempt))
            sealed = self._sessions.seal(session)
        except UnauthenticatedError as exc:
            return self._failed(request, exc.message)
        except UnavailableError as exc:
            return self._page(request, 503, _NOT_NOW, f"{exc}. {_AGAIN}")
        if not await self._record.write(SignIn.SIGNED_IN, session.principal, request.scope):
            return self._page(request, 503, _NOT_NOW, f"The sign-in can't be recorded. {_AGAIN}")
        answer = RedirectResponse(f"{self._prefix}{attempt.next}", 303)
        answer.headers.append("set-cookie", set_cookie(request.scope, NAME, sealed))
        answer.headers.append("set-cookie", removed_cookie(request.scope, ATTEMPT))
        return answer

    async def end(self, request: Request) -> Response:
        """End the session here and at the identity provider."""
        try:
            session = self._sessions.of(request.scope)
        except SessionEndedError:
            session = None
        url: str | None = None
        if session is not None:
            self._sessions.end(session)
            await self._record.write(SignIn.SIGNED_OUT, session.principal, request.scope)
            url = await self._sign_out_url(request)
        answer = await self.ended(request)
        answer.headers.append("set-cookie", removed_cookie(request.scope, NAME))
        if url is not None:
            # No redirect: it would belong to the form, which may send to this server alone.
            answer.headers["Refresh"] = f"0; url={url}"
        return answer

    async def ended(self, request: Request) -> Response:
        """The page after a sign-out."""
        return self._page(request, 200, "Signed out", "Your session has ended.")

    async def _principal(self, request: Request, attempt: Attempt) -> Principal:
        code, error = request.query_params.get("code"), request.query_params.get("error", "")
        if code is None:
            raise UnauthenticatedError(f"the identity provider refused: {error[:64] or 'it sent no code'}")
        tokens = await self._ask(self._provider.tokens, code, attempt, self._public(request, CALLBACK))
        settings = self._provider.settings
        return await self._tokens.of_sign_in(
            tokens.access_token,
            tokens.id_token,
            issuer=settings.issuer,
            client_id=settings.client_id,
            nonce=attempt.nonce,
        )

    async def _ask(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask the provider in a thread. Raises `UnavailableError` when too many wait for it already."""
        if self._asking.locked():
            raise UnavailableError("too many sign-ins wait for the identity provider")
        async with self._asking:
            return await asyncio.to_thread(call, *args, **kwargs)

    async def _sign_out_url(self, request: Request) -> str | None:
        try:
            return await self._ask(self._provider.sign_out_url, self._public(request, SIGNED_OUT))
        except AuditTrailError:
            return None  # the session here has ended all the same

    def _too_many(self, request: Request, wait: float) -> Response:
        return self._page(request, 429, "Too many sign-ins", f"Wait {int(wait) + 1} seconds.")

    def _failed(self, request: Request, why: str) -> Response:
        wait = self._rates.fail(request.scope)
        if wait:
            return self._too_many(request, wait)
        self._record.write_failure(request.scope, why)
        answer = self._page(request, 403, "The sign-in failed", f"{why[0].upper()}{why[1:]}.")
        answer.headers.append("set-cookie", removed_cookie(request.scope, ATTEMPT))
        return answer

    def _attempt(self, request: Request) -> Attempt:
        sealed, state = cookie_of(request.scope, ATTEMPT), request.query_params.get("state", "")
        data = None if sealed is None else self._sessions.decrypt(sealed, _ATTEMPT_SECONDS)
        try:
            attempt = None if data is None else msgspec.json.decode(data, type=Attempt)
        except msgspec.ValidationError:
            attempt = None
        if attempt is None or not hmac.compare_digest(state.encode(), attempt.state.encode()):
            raise UnauthenticatedError("the sign-in was not begun in this browser, or too long ago")
        return attempt

    def _public(self, request: Request, path: str) -> str:
        return f"{request.url.scheme}://{request.url.netloc}{self._prefix}{path}"


def _inner_path(wanted: str) -> str:
    """`wanted` if it is a path of this server: a link must not lead a person elsewhere."""
    inner = (
        wanted.startswith("/")
        and not wanted.startswith(("//", "/\\"))
        and len(wanted.encode("utf-8", "replace")) <= _MOST_NEXT
    )
    return (
        wanted
        if inner and wanted.isprintable() and not wanted.startswith((SIGN_IN, SIGN_OUT, SIGNED_OUT))
        else "/"
    )
