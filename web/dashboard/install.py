"""Adds the dashboard to the application."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi import FastAPI
from starlette.routing import BaseRoute

from web.authentication.bearer import IssuedTokens
from web.authentication.rates import Rates
from web.authentication.sessions import Sessions
from web.dashboard.edge import PageEdge
from web.dashboard.pages import Pages
from web.http.page_paths import is_page
from web.read_audit.access_record import AccessRecorder
from web.sign_in.middleware import SessionMiddleware
from web.sign_in.provider import Provider
from web.sign_in.record import SignInRecord
from web.sign_in.routes import SignInRoutes


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """What the sign-in needs. `routes` are those of a development issuer, under `/development-issuer/`."""

    provider: Provider
    tokens: IssuedTokens
    sessions: Sessions
    routes: list[BaseRoute] = field(default_factory=list)


class Dashboard:
    """The pages and the sign-in of one application."""

    def __init__(
        self, sign_in: SignIn, pages: Pages, rates: Rates, recorder: AccessRecorder | None, prefix: str
    ) -> None:
        self._sign_in = sign_in
        self._pages = pages
        self._recorder = recorder
        self._prefix = prefix
        self._record = SignInRecord(recorder)
        self._routes = SignInRoutes(
            sign_in.provider, sign_in.tokens, sign_in.sessions, self._record, pages.notice, prefix, rates
        )

    def add_routes(self, app: FastAPI) -> None:
        """Add the routes, after those of the API."""
        app.router.routes += [*self._routes.routes(), *self._sign_in.routes, *self._pages.routes()]

    def add_sessions(self, app: FastAPI) -> None:
        """Add the middleware of sessions: outside of authentication."""
        app.add_middleware(
            SessionMiddleware,
            sessions=self._sign_in.sessions,
            is_page=is_page,
            prefix=self._prefix,
            record=self._record,
            denied=(lambda *_: None) if self._recorder is None else self._recorder.denied,
        )

    def add_edge(self, app: FastAPI) -> None:
        """Add the middleware around all that may refuse a request."""
        app.add_middleware(PageEdge, page=self._pages.notice)
