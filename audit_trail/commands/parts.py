"""`audit-trail ingest`, `project`, `guard` and `serve`: the long-running parts, each until SIGTERM."""

from __future__ import annotations

from functools import partial

from audit_trail.runtime.signals import BATCH_SECONDS, GUARD_STOP_SECONDS, on_stop, on_stop_within

METRICS_SECONDS = 60.0
"""How long `ingest` stays up after it has stopped for lost records: a scrape of its metrics every minute sees them."""


def ingest() -> None:
    """Read from Kafka and append to the event store, until SIGTERM."""
    from audit_trail.cases.working import cases_of_ingest
    from audit_trail.databases import Pool, open_database, refuse_wrong_settings
    from audit_trail.ingest_settings import ingest_settings
    from audit_trail.requests.workers import requests_of_ingest
    from audit_trail.reviews.working import reviews_of_ingest
    from audit_trail.runtime.start import long_running
    from audit_trail.runtime.tracing import tracing
    from audit_trail.trust.keys import signer
    from audit_trail.trust.log_check import check_log
    from ingest.pipeline import Ingest

    settings, monitor = long_running("ingest")
    database = open_database(settings, Pool.INGEST)
    refuse_wrong_settings(database)
    with tracing(settings, "ingest") as tracer:
        ingest = Ingest(
            ingest_settings(settings),
            database,
            signer(settings),
            check=lambda: check_log(settings, database),
            tracer=tracer,
        )
        monitor.watch(ingest.problems)
        on_stop(ingest.stop)
        with (
            requests_of_ingest(settings, database),
            cases_of_ingest(settings, database),
            reviews_of_ingest(settings, database),
        ):
            ingest.run(linger_seconds=METRICS_SECONDS if settings.metrics_port else 0)


def project() -> None:
    """Keep the read models up to date, until SIGTERM. A second process is a standby."""
    from audit_trail.databases import Pool, open_database, refuse_wrong_settings
    from audit_trail.detection.process import detecting
    from audit_trail.requests.workers import requests_of_project
    from audit_trail.runtime.start import long_running
    from audit_trail.runtime.tracing import tracing
    from detection.live.installed import installed
    from projections.metrics import RunnerMetrics
    from projections.runner import Runner

    settings, monitor = long_running("project")
    database = open_database(settings, Pool.PROJECTOR)
    refuse_wrong_settings(database)
    with tracing(settings, "project") as tracer:
        runner = Runner(
            database,
            installed(),
            batch=settings.projection_batch,
            metrics=RunnerMetrics(),
            tracer=tracer,
        )
        on_stop_within(BATCH_SECONDS, runner.stop)
        with requests_of_project(settings), detecting(settings) as detection_problems:
            monitor.watch(lambda: [*runner.health.problems(), *detection_problems()], runner.health.state)
            runner.run()


def guard() -> None:
    """Publish signed heads outside the database and verify the log again and again, until SIGTERM."""
    from audit_trail.guard.process import guard as run
    from audit_trail.runtime.start import long_running

    run(*long_running("guard"), partial(on_stop_within, GUARD_STOP_SECONDS))


def serve() -> None:
    """Answer GraphQL and REST, until SIGTERM."""
    from audit_trail.runtime import logs
    from audit_trail.serving.process import serve as run
    from audit_trail.settings import load

    settings = load()
    logs.configure(settings)
    on_stop(lambda: None)  # uvicorn has its own handlers, and raises the signal again once it has stopped
    run(settings)
