"""The process of the API: read models, publishers and the web application, from the settings."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta

from audit_trail.databases import Pool, open_database, refuse_wrong_settings
from audit_trail.environment import PREFIX
from audit_trail.ingest_settings import ingest_settings
from audit_trail.read_audit import recording_publisher
from audit_trail.runtime import stop_deadline
from audit_trail.runtime.garbage_collection import ANSWERS, spare_the_collector
from audit_trail.runtime.tracing import tracing
from audit_trail.serving.authentication import authentication, issued_tokens
from audit_trail.serving.export_jobs import export_jobs
from audit_trail.serving.sign_in import sign_in
from audit_trail.settings import Settings
from audit_trail.trust.keys import witness_policy
from domain.errors import ConfigurationError
from event_store.log_reader import LogReader
from graphql_api.execution.trusted_documents import TrustedDocuments, load
from ingest.own_source import own_source
from ingest.publisher import Publisher
from projections.wakeup import WakeUp
from queries.case_commands import CaseCommands
from queries.export.pipeline import Exports
from queries.limits import QueryLimits
from queries.operations import Operations
from queries.read_models import ReadModels
from web.app import create_app
from web.http import server
from web.metrics import WebMetrics
from web.probes import StoreProbes
from web.read_audit.access_record import AccessRecorder
from web.read_audit.metrics import RecordingMetrics
from web.read_audit.publication import Otherwise, Recording, RecordingSettings, When
from web.settings import WebSettings


def serve(settings: Settings) -> None:
    """Serve until SIGTERM; requests in flight are answered."""
    database = open_database(settings, Pool.READER)
    exporting = open_database(settings, Pool.EXPORTS)
    requests = open_database(settings, Pool.REQUESTS)
    ingest = ingest_settings(settings)
    publisher = Publisher(ingest)
    recording = recording_publisher(settings)
    refuse_wrong_settings(database)
    publisher.refuse_wrong_settings()
    metrics = WebMetrics()
    web = WebSettings(
        topic=settings.kafka_topics[0],
        limits=QueryLimits(
            max_page=settings.max_page_size,
            max_cost=settings.max_cost,
            max_batch=settings.max_batch,
            max_unindexed_days=settings.max_unindexed_days,
            introspection=settings.introspection,
        ),
        reading_threads=settings.database_pool_size,
        max_message_bytes=settings.max_message_bytes,
        systems=ingest.systems,
        link_days=settings.dashboard_link_days,
        pages=settings.pages,
        path_prefix=settings.http_root_path,
        queries_via_get=settings.queries_via_get,
        public_log=settings.public_log,
        requests_per_minute=settings.requests_per_minute,
        requests_at_once=settings.requests_at_once,
        trusted=_trusted(settings),
        allowed_origins=settings.allowed_origins,
        max_client_subscriptions=settings.max_subscriptions_per_principal,
        max_exports=settings.max_exports,
        max_subscriptions=settings.max_subscriptions,
    )
    issued = issued_tokens(settings)
    opened = ExitStack()
    tracer = opened.enter_context(tracing(settings, "serve"))
    app = create_app(
        ReadModels(database, timedelta(seconds=settings.sequence_lateness_seconds)),
        LogReader(database, witness_policy(settings)),
        publisher,
        StoreProbes(database),
        web,
        exports=Exports(exporting),
        jobs=export_jobs(settings, opened),
        wake=WakeUp(open_database(settings, Pool.LISTENER)),
        authentication=authentication(settings, issued),
        sign_in=sign_in(settings, issued),
        operations=Operations(requests, database, ingest.systems),
        commands=CaseCommands(requests),
        metrics=metrics,
        tracer=tracer,
        recorder=AccessRecorder(
            Recording(recording, _recording_settings(settings), RecordingMetrics(metrics.registry)),
            own_source(),
        ),
    )
    spare_the_collector(ANSWERS)
    try:
        server.run(
            app,
            settings.http_host,
            settings.http_port,
            trusted_proxies=settings.trusted_proxies,
            keep_alive_seconds=settings.http_keep_alive_seconds,
            on_signal=stop_deadline.start,
            setting=f"{PREFIX}HTTP_PORT",
        )
    finally:
        publisher.close()
        recording.close()
        database.close()
        exporting.close()
        opened.close()
        requests.close()


def _recording_settings(settings: Settings) -> RecordingSettings:
    return RecordingSettings(
        topic=settings.kafka_topics[0],
        when=When(settings.reads_recorded),
        otherwise=Otherwise(settings.reads_unrecorded),
        seconds=settings.reads_record_seconds,
        max_waiting=settings.reads_waiting,
        max_bytes=settings.max_message_bytes,
    )


def _trusted(settings: Settings) -> TrustedDocuments:
    """Raise `ConfigurationError` when the documents can't be read, or when only they may run and there are none."""
    source, only = settings.trusted_documents, settings.trusted_documents_only
    if only and source is None:
        raise ConfigurationError(
            f"{PREFIX}TRUSTED_DOCUMENTS is not set, and no others may be executed: give a file or a folder"
        )
    return TrustedDocuments(() if source is None else load(source), only=only)
