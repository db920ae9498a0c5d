"""The parts of Audit Trail, built from the settings. Nothing else reads settings, and nothing is built elsewhere."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

from audit_trail.settings import PREFIX, Settings
from domain.errors import ConfigurationError
from event_store.database import GUARD, INGEST, PROJECTOR, READER, Database
from event_store.signing import HeadSigner, read_key_file, read_public, read_signer
from event_store.tlog.notes import VerifierKey
from event_store.verify.run import KeptHead
from ingest.settings import IngestSettings


def ingest_settings(settings: Settings) -> IngestSettings:
    """What ingest and the publisher have to be told."""
    return IngestSettings(
        bootstrap_servers=settings.require_bootstrap_servers(),
        topics=settings.kafka_topics,
        group_id=settings.kafka_group_id,
        group_instance_id=settings.kafka_group_instance_id,
        assignment=settings.kafka_assignment,
        max_poll_records=settings.kafka_max_poll_records,
        max_message_bytes=settings.max_message_bytes,
        on_offset_loss=settings.kafka_on_offset_loss,
        create_topics=settings.kafka_create_topics,
        partitions=settings.kafka_partitions,
        publish_timeout_seconds=settings.publish_timeout_seconds,
        client=settings.kafka_client_options(),
    )


def ingest_database(settings: Settings) -> Database:
    """For what appends."""
    return Database(settings.require_database_url(), INGEST, size=4, application_name="audit-trail-ingest")


def guard_database(settings: Settings) -> Database:
    """For what publishes heads and verifies."""
    return Database(settings.require_database_url(), GUARD, size=4, application_name="audit-trail-guard")


def key_text(settings: Settings) -> str:
    """The lines of the key file. Raises `ConfigurationError` when there are none."""
    if settings.log_key is not None:
        return settings.log_key.get_secret_value()
    if settings.log_key_file is None:
        raise ConfigurationError(
            f"{PREFIX}LOG_KEY_FILE is not set: what appends signs the log's head."
            " Make a key once, with `audit-trail keys new`"
        )
    return read_key_file(settings.log_key_file)


def signer(settings: Settings) -> HeadSigner:
    """What signs tree heads."""
    return read_signer(key_text(settings))


def trusted_keys(settings: Settings, vkeys: Sequence[str] = ()) -> tuple[tuple[VerifierKey, ...], bool]:
    """The public keys that the log is verified with, and whether anyone told us: given ones, else the key file's.

    Without either the database has to name them, which proves little. Raises `ProofError` for a malformed one.
    """
    if vkeys:
        return tuple(map(VerifierKey.parse, vkeys)), True
    if settings.log_key is None and settings.log_key_file is None:
        return (), False
    return tuple(read_public(key_text(settings))), True


def kept_heads(places: Sequence[Path]) -> list[KeptHead]:
    """The signed heads in files, and in all files of folders. Raises `ConfigurationError` when one can't be read."""
    heads = []
    for place in places:
        files = sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]
        for file in files:
            try:
                heads.append(KeptHead(file.read_bytes(), str(file)))
            except OSError as exc:
                raise ConfigurationError(f"{file} can't be read: {exc.strerror}") from exc
    return heads


def projector_database(settings: Settings) -> Database:
    """For what keeps the read models."""
    return Database(
        settings.require_database_url(),
        PROJECTOR,
        size=settings.database_pool_size,
        application_name="audit-trail-project",
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
    )


def export_database(settings: Settings) -> Database:
    """For exports, which take as long as they take: no statement time-out, and a pool of their own."""
    replica = settings.read_database_url
    return Database(
        replica.get_secret_value() if replica else settings.require_database_url(),
        READER,
        size=settings.max_exports,
        application_name="audit-trail-export",
    )


def spare_the_collector() -> None:
    """For processes that handle batches of thousands of objects, all of which are gone after the batch.

    With Python's own thresholds the cycle collector walks each batch several times over and finds nothing: measured at
    a tenth of ingest's time. The modules' own objects, loaded by now, are left out for good.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
