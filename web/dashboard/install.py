"""Adds the dashboard to the application."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from fastapi import FastAPI
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

import dashboard
from event_store.log_reader import LogReader
from queries.case_commands import CaseCommands
from queries.ended_sessions import EndedSessions
from queries.export_jobs.runner import ExportJobs
from queries.following.feed import Feed
from queries.freshness import FreshnessWaiter
from queries.operations import Operations
from queries.read_models import ReadModels
from queries.shared_links import SharedLinks
from queries.thread_pool import Threads
from web.access import Access
from web.authentication.bearer import IssuedTokens
from web.authentication.link_tokens import LinkTokens
from web.authentication.rates import Rates
from web.authentication.sessions import Sessions
from web.dashboard.alerts import AlertPages
from web.dashboard.case_commands import CommandForms
from web.dashboard.cases import CasePages
from web.dashboard.edge import PageEdge
from web.dashboard.events import EventPages
from web.dashboard.explorer import ExplorerPages
from web.dashboard.exports import ExportPages
from web.dashboard.host import Host
from web.dashboard.links import Links, Sharing
from web.dashboard.operations import OperationsPages
from web.dashboard.overview import OverviewPage
from web.dashboard.own_questions import OwnQuestionPages
from web.dashboard.reviews import ReviewPages
from web.dashboard.rules import RulePages
from web.dashboard.saved_views import SavedViewPages
from web.dashboard.shared import SharedPages
from web.dashboard.subjects import SubjectPages
from web.http.page_paths import ASSETS, is_page
from web.probes import Probes
from web.read_audit.access_record import AccessRecorder
from web.rest.publishing import EventPublisher
from web.settings import WebSettings
from web.sign_in.middleware import SessionMiddleware
from web.sign_in.provider import Provider
from web.sign_in.record import SignInRecord
from web.sign_in.routes import SignInRoutes

_FILES = Path(dashboard.__file__).with_name("static")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """What the sign-in needs. `routes` are those of a development issuer, under `/development-issuer/`."""

    provider: Provider
    tokens: IssuedTokens
    sessions: Sessions
    routes: list[BaseRoute] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the pages share with the API. `jobs` are the exports, None where there are none; `recorder` is for tests."""

    models: ReadModels
    access: Access
    log: LogReader
    probes: Probes
    reading: Threads
    publisher: EventPublisher
    publishing: Threads
    rates: Rates
    recorder: AccessRecorder | None
    feed: Feed
    jobs: ExportJobs | None
    operations: Operations
    commands: CaseCommands
    waiting: FreshnessWaiter
    settings: WebSettings


class Dashboard:
    """The pages and the sign-in of one application. It runs the exports while it is entered."""

    def __init__(self, sign_in: SignIn, parts: Parts) -> None:
        self._sign_in = sign_in
        self._parts = parts
        self._prefix = parts.settings.path_prefix
        recorder = parts.recorder
        self._record = SignInRecord(recorder)
        self._host = Host(parts.access, parts.reading, parts.publisher, parts.publishing, parts.settings)
        self._exports = (
            None if parts.jobs is None else ExportPages(self._host, parts.jobs, recorder, parts.settings)
        )

    def add_routes(self, app: FastAPI) -> None:
        """Add the routes, after those of the API."""
        app.router.routes += [
            *SignInRoutes(
                self._sign_in.provider,
                self._sign_in.tokens,
                self._sign_in.sessions,
                self._record,
                self._host.notice,
                self._prefix,
                self._parts.rates,
            ).routes(),
            *self._sign_in.routes,
            *self._page_routes(),
            Mount(ASSETS.rstrip("/"), StaticFiles(directory=_FILES)),
        ]

    def _page_routes(self) -> list[Route]:
        parts, host = self._parts, self._host
        recording = None if parts.recorder is None else parts.recorder.recording
        operating = OperationsPages(
            host, parts.operations, parts.log, parts.probes, recording, parts.settings.systems
        )
        sharing = Sharing(host, LinkTokens(self._sign_in.sessions), SharedLinks(parts.models), parts.settings)
        forms = CommandForms(host, parts.commands, parts.waiting)
        return [
            *OverviewPage(host, parts.log, operating).routes(),
            *ExplorerPages(host, parts.log, parts.feed, parts.settings).routes(),
            *EventPages(host).routes(),
            *SubjectPages(host).routes(),
            *SavedViewPages(host).routes(),
            *([] if self._exports is None else self._exports.routes()),
            *operating.routes(),
            *AlertPages(host, forms).routes(),
            *CasePages(host, forms).routes(),
            *OwnQuestionPages(host, forms).routes(),
            *RulePages(host, forms).routes(),
            *ReviewPages(host, forms).routes(),
            *Links(sharing).routes(),
            *SharedPages(sharing, parts.log, parts.rates, parts.recorder).routes(),
        ]

    async def __aenter__(self) -> Self:
        """Begin what runs beside the requests."""
        if self._exports is not None:
            self._exports.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        if self._exports is not None:
            await self._exports.close()

    def add_sessions(self, app: FastAPI) -> None:
        """Add the middleware of sessions: outside of authentication."""
        app.add_middleware(
            SessionMiddleware,
            sessions=self._sign_in.sessions,
            is_page=is_page,
            prefix=self._prefix,
            record=self._record,
            denied=(lambda *_: None) if self._parts.recorder is None else self._parts.recorder.denied,
            ended=EndedSessions(self._parts.models),
            threads=self._parts.reading,
        )

    def add_edge(self, app: FastAPI) -> None:
        """Add the middleware around all that may refuse a request."""
        app.add_middleware(PageEdge, page=self._host.notice)
