"""The settings of ingest and of the publisher, from those of the process."""

from __future__ import annotations

from typing import Any

from audit_trail.environment import PREFIX
from audit_trail.settings import Settings
from domain.errors import ConfigurationError
from ingest.records.unread import KEY_AND_HEADERS_BYTES
from ingest.settings import IngestSettings
from interop.systems import Systems


def ingest_settings(settings: Settings) -> IngestSettings:
    """The settings of ingest and of the publisher. Raises `ConfigurationError` when two of them contradict."""
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
        systems=systems(settings),
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
        client=_client_options(settings),
    )


def _client_options(settings: Settings) -> dict[str, Any]:
    """The security options of every Kafka client."""
    password = settings.kafka_sasl_password
    options = {
        "security_protocol": settings.kafka_security_protocol,
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_sasl_username,
        "sasl_plain_password": password and password.get_secret_value(),
        "ssl_cafile": settings.kafka_ssl_cafile and str(settings.kafka_ssl_cafile),
        "ssl_certfile": settings.kafka_ssl_certfile and str(settings.kafka_ssl_certfile),
        "ssl_keyfile": settings.kafka_ssl_keyfile and str(settings.kafka_ssl_keyfile),
    }
    return {name: value for name, value in options.items() if value is not None}


def systems(settings: Settings) -> Systems:
    """Which namespaces of ids are the same. Raises `ConfigurationError` for a wrong entry."""
    setting = f"{PREFIX}PATIENT_SYSTEMS"
    entries = [entry.rpartition("=") for entry in settings.patient_systems]
    if not all(equals for _, equals, _ in entries):
        raise ConfigurationError(f"{setting}: write each entry as SYSTEM=NAME, or SYSTEM= for your own ids")
    try:
        return Systems((system.strip(), name.strip()) for system, _, name in entries)
    except ValueError as exc:
        raise ConfigurationError(f"{setting}: {exc}") from exc
