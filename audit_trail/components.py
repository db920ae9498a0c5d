"""The parts of Audit Trail, built from the settings. Nothing else reads settings, and nothing is built elsewhere."""

from __future__ import annotations

import gc

from audit_trail.settings import PREFIX, Settings
from domain.errors import ConfigurationError
from event_store.database import GUARD, INGEST, PROJECTOR, READER, Database
from ingest.records.unread import KEY_AND_HEADERS_BYTES
from ingest.settings import IngestSettings


def ingest_settings(settings: Settings) -> IngestSettings:
    """What ingest and the publisher have to be told."""
    least = settings.max_message_bytes + KEY_AND_HEADERS_BYTES
    if settings.kafka_max_batch_bytes < least:
        raise ConfigurationError(
            f"{PREFIX}KAFKA_MAX_BATCH_BYTES is less than one message of {PREFIX}MAX_MESSAGE_BYTES needs:"
            f" set it to {least} or more"
        )
    return IngestSettings(
        bootstrap_servers=settings.require_bootstrap_servers(),
        topics=settings.kafka_topics,
        group_id=settings.kafka_group_id,
        group_instance_id=settings.kafka_group_instance_id,
        assignment=settings.kafka_assignment,
        max_poll_records=settings.kafka_max_poll_records,
        max_message_bytes=settings.max_message_bytes,
        max_batch_bytes=settings.kafka_max_batch_bytes,
        max_poll_bytes=settings.kafka_max_poll_bytes,
        max_fetch_bytes=settings.kafka_max_fetch_bytes,
        max_letter_bytes=settings.dead_letter_max_bytes or 2 * settings.max_message_bytes,
        on_offset_loss=settings.kafka_on_offset_loss,
        offset_loss_accepted_by=settings.kafka_offset_loss_accepted_by,
        offset_loss_reason=settings.kafka_offset_loss_reason,
        create_topics=settings.kafka_create_topics,
        partitions=settings.kafka_partitions,
        publish_timeout_seconds=settings.publish_timeout_seconds,
        client=settings.kafka_client_options(),
    )


def ingest_database(settings: Settings) -> Database:
    """For what appends."""
    return Database(
        settings.require_database_url(),
        INGEST,
        size=4,
        application_name="audit-trail-ingest",
        silence_seconds=settings.database_silence_seconds,
        long_statements=False,
    )


def guard_database(settings: Settings) -> Database:
    """For what publishes heads and verifies."""
    return Database(
        settings.require_database_url(),
        GUARD,
        size=4,
        application_name="audit-trail-guard",
        silence_seconds=settings.database_silence_seconds,
        long_statements=False,
    )


def projector_database(settings: Settings, *, long_statements: bool = True) -> Database:
    """For what keeps the read models. A rebuild has long statements, and batches of the live projection have none."""
    return Database(
        settings.require_database_url(),
        PROJECTOR,
        size=settings.database_pool_size,
        application_name="audit-trail-project",
        silence_seconds=settings.database_silence_seconds,
        long_statements=long_statements,
    )


def reader_database(settings: Settings) -> Database:
    """For what answers: read only, with a statement time-out, and on the replica when there is one."""
    replica = settings.read_database_url
    return Database(
        replica.get_secret_value() if replica else settings.require_database_url(),
        READER,
        size=settings.database_pool_size,
        application_name="audit-trail-serve",
        statement_timeout_ms=settings.statement_timeout_ms,
        silence_seconds=settings.database_silence_seconds,
        long_statements=not settings.statement_timeout_ms,
    )


def listening_database(settings: Settings) -> Database:
    """For what is woken by appends: a standby can't be listened to, so it is never the replica."""
    return Database(
        settings.require_database_url(),
        READER,
        size=1,
        application_name="audit-trail-serve-listen",
        silence_seconds=settings.database_silence_seconds,
        long_statements=False,
    )


def export_database(settings: Settings) -> Database:
    """For exports, which take as long as they take: no statement time-out, and a pool of their own."""
    replica = settings.read_database_url
    return Database(
        replica.get_secret_value() if replica else settings.require_database_url(),
        READER,
        size=settings.max_exports,
        application_name="audit-trail-export",
        silence_seconds=settings.database_silence_seconds,
    )


def spare_the_collector(young: int = 100_000) -> None:
    """For processes that handle batches of thousands of objects, all of which are gone after the batch.

    With Python's own thresholds the cycle collector walks each batch several times over and finds nothing: measured at
    a tenth of ingest's time. The modules' own objects, loaded by now, are left out for good.

    `young`: how many new objects are looked at together. What is answered meanwhile waits for that: `ANSWERING`.
    """
    gc.freeze()
    gc.set_threshold(young, 20, 100)


ANSWERING = 10_000
"""Looked at in some milliseconds; a hundred thousand took 0.1 to 0.2 s. A page of 100 events has about a thousand."""
