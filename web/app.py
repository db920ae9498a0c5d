"""The application: all routes and middleware, and what is closed at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace

from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.event import RecordedEvent
from event_store.log_reader import LogReader
from event_store.tracing import OFF, Tracer
from projections.wakeup import WakeUp
from queries.case_commands import CaseCommands
from queries.detection.results import (
    AlertView,
    CaseDetail,
    ExplainedAccesses,
    RuleList,
    RuleText,
)
from queries.detection.review_results import ReviewDetail, ReviewItemDetail
from queries.export.pipeline import Exports
from queries.export_jobs.runner import ExportJobs
from queries.freshness import FreshnessWaiter
from queries.limits import QueryLimits
from queries.operations import Operations
from queries.read_models import GapList, ReadModels
from queries.thread_pool import Threads
from web.access import Access
from web.authentication.combined import Authentication
from web.authentication.middleware import AuthenticationMiddleware, is_open
from web.authentication.rates import Rates
from web.dashboard.addresses import filter_of_query
from web.dashboard.install import Dashboard, Parts, SignIn
from web.graphql.subscriptions import SubscribingEndpoint, make_feed
from web.health import Health, health_routes
from web.http import problems
from web.http.any_origin import AnyOrigin
from web.http.correlation import Correlation
from web.http.every_route import Basics
from web.http.hidden_tokens import HiddenTokens
from web.http.page_paths import ASSETS, OPEN
from web.http.path_prefix import PathPrefix
from web.http.request_bodies import BodyLimit
from web.http.static_pages import STATIC, swagger_ui
from web.http.tracing import Traced
from web.metrics import MetricsMiddleware, WebMetrics, metrics_routes
from web.openapi import bodies
from web.probes import Probes
from web.read_audit.access_record import AccessRecorder
from web.read_audit.middleware import Recorded
from web.rest.alerts import AlertEvents, AlertList, alert_routes
from web.rest.case_commands import case_command_routes
from web.rest.cases import CaseList, QuestionList, case_routes
from web.rest.commands import Commands, CommandStatus
from web.rest.detection import ActivationList, SuppressionList, detection_routes
from web.rest.device_configuration import ConfigurationValueList, configuration_routes
from web.rest.event_counts import EventCountList, count_routes
from web.rest.event_intake import Accepted, publishing_routes
from web.rest.events import EventList, event_routes
from web.rest.export import export_routes
from web.rest.followers import FollowerList, follower_routes
from web.rest.monitor_intake import INTAKE, Taken, monitor_routes
from web.rest.projection_tables import ProjectionDescription, RowList, projection_routes
from web.rest.publishing import EventPublisher, Publishing
from web.rest.review_commands import review_command_routes
from web.rest.reviews import ReviewItemList, ReviewList, review_routes
from web.rest.saved_views import SavedViewList, saved_view_routes
from web.rest.sequence_gaps import sequence_gap_routes
from web.rest.staff_disclosures import Decided, StaffDisclosure, staff_disclosure_routes
from web.rest.summaries import KINDS, ChangeList, activity_routes
from web.rest.transparency_log import log_routes, proof_routes
from web.rest.watched_targets import WatchedTargetList, watched_target_routes
from web.settings import WebSettings

_DESCRIPTION = (
    "The tamper-evident record of who did what to which patient, device and service. "
    "GraphQL is at `/graphql`."
)


_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""FastAPI's own spans and logs have paths, queries and the texts of exceptions, which name patients."""
_ALLOWED_HEADERS = [
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "traceparent",
    "X-Request-Id",
]
_EXPOSED_HEADERS = ["Audit-Recorded", "Content-Disposition", "ETag", "Link", "Location", "Retry-After"]


def create_app(
    models: ReadModels,
    log: LogReader,
    publisher: EventPublisher,
    probes: Probes,
    settings: WebSettings | None = None,
    *,
    metrics: WebMetrics | None = None,
    exports: Exports | None = None,
    jobs: ExportJobs | None = None,
    wake: WakeUp | None = None,
    authentication: Authentication | None = None,
    recorder: AccessRecorder | None = None,
    sign_in: SignIn | None = None,
    operations: Operations | None = None,
    commands: CaseCommands | None = None,
    tracer: Tracer = OFF,
    version: str = "0.1.0",
) -> FastAPI:
    """The ASGI application. It closes its own threads at the end; the caller closes the arguments.

    Without `authentication` every request is refused except health checks, and without `sign_in` there is no dashboard,
    which also needs `operations` and `commands`. Without `commands`, those about cases and reviews are refused.
    `recorder` records reads and denied
    attempts; without it, which is for tests only, nothing is recorded. `wake` notifies subscriptions of appends;
    without it they poll once a second. `jobs` are the exports of the dashboard. A server that shuts down stops
    `app.state.feed`, which ends streams.
    """
    settings = settings or WebSettings()
    if sign_in is not None:
        settings = replace(settings, open_paths=OPEN)
    metrics = metrics or WebMetrics()
    reading = Threads(settings.reading_threads, "reading")
    publishing = Threads(settings.publishing_threads, "publishing")
    waiting = FreshnessWaiter(models, reading)
    access = Access(models, reading)
    # Health checks must answer while slow queries occupy all reading threads.
    checking = Threads(1, "checking")
    # Two threads for each export: one to read, one to cancel the reading.
    exporting = Threads(2 * settings.max_exports, "exporting")

    feed = make_feed(models, wake or WakeUp(None), settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if recorder is not None:
            recorder.recording.start()
        try:
            async with dashboard or nullcontext():
                yield
            await feed.close()
            if recorder is not None:
                await recorder.close()
        finally:
            for threads in (reading, publishing, checking, exporting):
                threads.close()

    app = FastAPI(
        title="Audit Trail",
        description=_DESCRIPTION,
        version=version,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
        telemetry=_NO_TELEMETRY,
    )
    problems.install(app, settings.retry_after)
    routers = [
        event_routes(access, reading, waiting, settings.limits),
        count_routes(access, reading, waiting, settings.limits),
        configuration_routes(access, reading, waiting, settings.limits),
        activity_routes(access, reading, waiting, settings.limits),
        sequence_gap_routes(access, reading, waiting, settings.limits),
        saved_view_routes(access, reading, waiting, settings.limits, filter_of_query),
        projection_routes(access, reading, waiting, settings.limits.max_page),
        watched_target_routes(access, reading, settings.limits),
        follower_routes(access, reading),
        alert_routes(access, reading, waiting, settings.limits),
        case_routes(access, reading, waiting, settings.limits),
        detection_routes(access, reading, waiting, settings.limits),
        review_routes(access, reading, waiting, settings.limits),
        *_command_routes(Commands(commands, reading)),
        proof_routes(log, access, reading),
        log_routes(log, access, reading, public=settings.public_log),
        *_routes_that_publish(Publishing(publisher, access, publishing, settings), models),
        staff_disclosure_routes(publisher, access, publishing, settings),
        health_routes(models, probes, checking, None if recorder is None else recorder.recording),
        metrics_routes(metrics, models, access, probes, checking),
    ]
    if exports is not None:
        routers.append(export_routes(exports, access, exporting, settings))
    for router in routers:
        app.include_router(router)
    endpoint = SubscribingEndpoint(access, log, reading, settings, waiting, feed)
    # The first routes: FastAPI tries all routes in order, which takes a fifth of a small query's time.
    app.router.routes[:0] = [Route("/graphql", endpoint), WebSocketRoute("/graphql", endpoint)]
    app.state.feed = feed
    if settings.pages:
        app.mount("/static", StaticFiles(directory=STATIC))
        app.add_api_route("/docs", swagger_ui, include_in_schema=False)
    bodies.install(
        app,
        [
            RecordedEvent,
            EventList,
            RowList,
            ProjectionDescription,
            FollowerList,
            Accepted,
            Taken,
            Health,
            EventCountList,
            ChangeList,
            ConfigurationValueList,
            SavedViewList,
            WatchedTargetList,
            StaffDisclosure,
            Decided,
            GapList,
            AlertView,
            AlertList,
            AlertEvents,
            CaseList,
            CaseDetail,
            QuestionList,
            CommandStatus,
            ReviewList,
            ReviewDetail,
            ReviewItemList,
            ReviewItemDetail,
            RuleList,
            RuleText,
            ActivationList,
            SuppressionList,
            ExplainedAccesses,
            *KINDS,
        ],
        is_open=lambda path: is_open(path, settings),
        prefix=settings.path_prefix,
        most=lambda path, name: _maximum(settings.limits, path, name),
    )

    authentication = authentication or Authentication()
    rates = Rates.of(settings)
    endpoint.authentication, endpoint.rates = authentication, rates
    if recorder is not None:
        endpoint.recorder, endpoint.denied = recorder, recorder.denied
    dashboard = None
    if sign_in is not None:
        assert operations is not None
        assert commands is not None
        dashboard = Dashboard(
            sign_in,
            Parts(
                models=models,
                access=access,
                log=log,
                probes=probes,
                reading=reading,
                publisher=publisher,
                publishing=publishing,
                rates=rates,
                recorder=recorder,
                feed=feed,
                jobs=jobs,
                operations=operations,
                commands=commands,
                waiting=waiting,
                settings=settings,
            ),
        )
        dashboard.add_routes(app)
    _add_middleware(app, settings, authentication, rates, recorder, dashboard)
    _add_outermost(app, settings, metrics, tracer)
    return app


def _routes_that_publish(publishing: Publishing, models: ReadModels) -> list[APIRouter]:
    return [publishing_routes(publishing), monitor_routes(publishing, models)]


def _command_routes(commands: Commands) -> list[APIRouter]:
    return [case_command_routes(commands), review_command_routes(commands)]


def _add_middleware(
    app: FastAPI,
    settings: WebSettings,
    authentication: Authentication,
    rates: Rates,
    recorder: AccessRecorder | None,
    dashboard: Dashboard | None,
) -> None:
    """The middleware that refuses and records requests; the last one added runs first."""

    def body_limit(path: str) -> int:
        publishes = path == "/v1/events" or path.startswith(INTAKE)
        return settings.max_publish_bytes if publishes else settings.max_query_bytes

    app.add_middleware(Basics)
    if recorder is not None:
        app.add_middleware(Recorded, recorder=recorder, retry_after=settings.retry_after)
    app.add_middleware(BodyLimit, limit=body_limit, timeout=settings.body_timeout)
    # Before the body: no body is read without authentication.
    app.add_middleware(
        AuthenticationMiddleware,
        authentication=authentication,
        settings=settings,
        rates=rates,
        denied=None if recorder is None else recorder.denied,
    )
    if dashboard is not None:
        dashboard.add_sessions(app)
    app.add_middleware(problems.LastResort)
    if dashboard is not None:
        dashboard.add_edge(app)
    app.add_middleware(SafeHeaders)


def _add_outermost(app: FastAPI, settings: WebSettings, metrics: WebMetrics, tracer: Tracer) -> None:
    """The middleware around all others; the last one added runs first."""
    _allow_origins(app, settings)
    app.add_middleware(MetricsMiddleware, metrics=metrics)
    app.add_middleware(Correlation)
    if tracer.on:
        app.add_middleware(Traced, tracer=tracer)
    app.add_middleware(HiddenTokens)
    app.state.path_prefix = settings.path_prefix
    if settings.path_prefix:
        app.add_middleware(PathPrefix, prefix=settings.path_prefix)


def _allow_origins(app: FastAPI, settings: WebSettings) -> None:
    """Let pages of these origins read answers. A page gets no answer that its token would not get elsewhere."""
    if settings.allowed_origins:
        # A preflight carries no credentials by design (Fetch, section 3.2.5): it is answered before authentication.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=_ALLOWED_HEADERS,
            expose_headers=_EXPOSED_HEADERS,
            max_age=600,
        )
    if settings.public_log:
        app.add_middleware(AnyOrigin)


def _maximum(limits: QueryLimits, path: str, name: str) -> int | None:
    """The largest value of a number parameter, if a limit sets one."""
    if name == "limit" or (name == "first" and path == "/v1/event-counts"):
        return limits.max_list
    return limits.max_page if name in {"first", "last"} else None


class SafeHeaders:
    """ASGI middleware: answers hold personal data, so no cache may keep them, and no browser may guess their type."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers that the answer lacks."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "no-referrer")
                if not scope["path"].startswith(("/static/", ASSETS)):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers)
