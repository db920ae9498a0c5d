"""`/metrics`: requests, the log, the projections and the dead letters, for Prometheus."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import structlog
from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.access.grants import Operation
from domain.errors import AuditTrailError
from event_store.silence.metrics import SilenceCollector
from queries.read_models import ReadModels, SequenceCounts
from queries.thread_pool import Threads
from web.access import Access
from web.http.routes import METHODS, route_of
from web.openapi.bodies import content, problems
from web.probes import ANSWER_SECONDS, Probes

log = structlog.get_logger(__name__)

_MEDIA_TYPE = "text/plain"
_EXAMPLE = "# TYPE audit_trail_log_size gauge\naudit_trail_log_size 1045.0\n"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
MOST_SERVICES = 50
"""Services with labels of their own: a sender could invent any number of them."""
MOST_CHARACTERS = 100
OTHERS = "(others)"


class WebMetrics:
    """The metrics of one application, in a registry of its own: two applications in a process do not collide."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.registry.register(SilenceCollector())
        self.requests = Counter(
            "audit_trail_http_requests",
            "HTTP requests.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "audit_trail_http_request_seconds",
            "Time from a request's head to its answer's end.",
            ("method", "route"),
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self.database = Gauge(
            "audit_trail_database_up", "1 when the database answered this scrape.", registry=self.registry
        )
        self.log_size = Gauge("audit_trail_log_size", "Positions in the log.", registry=self.registry)
        self.position = Gauge(
            "audit_trail_projection_position",
            "The checkpoint of a projection.",
            ("projection", "version"),
            registry=self.registry,
        )
        self.lag = Gauge(
            "audit_trail_projection_lag",
            "Positions that a projection has not applied yet.",
            ("projection", "version"),
            registry=self.registry,
        )
        self.failed = Gauge(
            "audit_trail_projection_failed",
            "1 when a poison event stopped the projection.",
            ("projection", "version"),
            registry=self.registry,
        )
        self.misfit = Gauge(
            "audit_trail_projection_misfit",
            "1 when the tables do not fit this program: the projection needs a rebuild, or a newer program.",
            ("projection", "version"),
            registry=self.registry,
        )
        self.dead_letters = Gauge(
            "audit_trail_dead_letters", "Dead letters, by reason.", ("reason",), registry=self.registry
        )
        self.recording_gaps = Gauge(
            "audit_trail_recording_gaps",
            "Losses of Kafka's records that were accepted, since ever.",
            registry=self.registry,
        )

        self.sequence_gaps = Gauge(
            "audit_trail_sequence_gaps",
            "Gaps in the numbers of a service's events.",
            ("service",),
            registry=self.registry,
        )
        self.sequence_gaps_late = Gauge(
            "audit_trail_sequence_gaps_late",
            "Gaps whose events can no longer be on their way.",
            ("service",),
            registry=self.registry,
        )
        self.sequence_conflicts = Gauge(
            "audit_trail_sequence_conflicts",
            "Runs of numbers that more than one event of a service has.",
            ("service",),
            registry=self.registry,
        )

    def refresh(self, models: ReadModels, probes: Probes) -> None:
        """Read the store; blocks. While the database is away, gauges keep their last values."""
        try:
            self.log_size.set(probes.log_size())
            statuses = models.projections()
            letters = probes.dead_letters()
            self.recording_gaps.set(probes.recording_gaps())
            sequences = models.sequence_counts()
        except AuditTrailError as exc:
            log.warning("metrics_incomplete", error=type(exc).__name__)
            self.database.set(0)
            return
        self.database.set(1)
        # Only live versions: those that a rebuild has replaced must disappear from the answer.
        for gauge in (self.position, self.lag, self.failed, self.misfit):
            gauge.clear()
        for each in filter(lambda status: status.live, statuses):
            labels = (each.name, str(each.version))
            self.position.labels(*labels).set(each.position)
            self.lag.labels(*labels).set(each.lag)
            self.failed.labels(*labels).set(each.failed_position is not None)
            self.misfit.labels(*labels).set(each.misfit is not None)
        for reason, count in letters.items():
            self.dead_letters.labels(reason).set(count)
        self.set_sequences(sequences)

    def set_sequences(self, counts: Mapping[str, SequenceCounts]) -> None:
        """Set the metrics of the services with most late gaps; the others share a label."""
        gauges = (self.sequence_gaps, self.sequence_gaps_late, self.sequence_conflicts)
        for gauge in gauges:
            gauge.clear()
        worst = sorted(counts, key=lambda service: (-counts[service].late, service))
        for at, service in enumerate(worst):
            label = service[:MOST_CHARACTERS] if at < MOST_SERVICES else OTHERS
            for gauge, count in zip(gauges, counts[service], strict=True):
                gauge.labels(label).inc(count)


class MetricsMiddleware:
    """ASGI middleware that counts requests and their time, by route and never by path: a path holds ids."""

    def __init__(self, app: ASGIApp, metrics: WebMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and measure it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        began = time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = route_of(scope)
            self._metrics.requests.labels(method, route, str(status)).inc()
            self._metrics.seconds.labels(method, route).observe(time.perf_counter() - began)


def metrics_routes(
    metrics: WebMetrics, models: ReadModels, access: Access, probes: Probes, threads: Threads
) -> APIRouter:
    """The route that Prometheus scrapes."""
    router = APIRouter(tags=["health"])

    @router.get(
        "/metrics",
        operation_id="getMetrics",
        summary="Metrics for Prometheus",
        response_class=Response,
        responses={**content(_MEDIA_TYPE, _EXAMPLE), **problems(403)},
    )
    async def scrape(request: Request) -> Response:
        await access.require(request, Operation.READ_METRICS)
        try:
            await asyncio.wait_for(threads.run(metrics.refresh, models, probes), ANSWER_SECONDS)
        except TimeoutError:
            log.warning("metrics_incomplete", error="the database does not answer")
            metrics.database.set(0)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
