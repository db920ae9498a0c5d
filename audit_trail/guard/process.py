"""The process of the guard: destinations, trusted keys and publisher, from the settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing

from audit_trail.databases import Pool, open_database, refuse_wrong_settings
from audit_trail.guard import Guard, Intervals
from audit_trail.ingest_settings import ingest_settings
from audit_trail.runtime.metrics_server import Monitor
from audit_trail.settings import Settings
from audit_trail.trust.destinations import destinations
from audit_trail.trust.keys import trusted_keys
from domain.event import AuditEvent
from domain.validation import encode_event
from ingest.publisher import Message, Publisher

_NICENESS = 10
"""Ingest and queries have priority over verification."""


def guard(settings: Settings, monitor: Monitor, on_stop: Callable[[Callable[[], None]], None]) -> None:
    """Run the guard until `on_stop` calls its `stop`."""
    os.nice(_NICENESS)
    keys, _ = trusted_keys(settings)
    topic = settings.kafka_topics[0]
    with (
        closing(open_database(settings, Pool.GUARD)) as database,
        closing(Publisher(ingest_settings(settings))) as publisher,
    ):
        refuse_wrong_settings(database)
        publisher.refuse_wrong_settings()

        def report(event: AuditEvent) -> None:
            publisher.publish([Message(topic, event.source.service.encode(), encode_event(event))])

        guard = Guard(
            database,
            settings.require_database_url(),
            destinations(settings, database, publisher),
            keys,
            Intervals(
                settings.heads_interval_seconds,
                settings.verify_interval_seconds,
                settings.verify_all_hours * 3600,
            ),
            report,
        )
        monitor.watch(guard.problems)
        on_stop(guard.stop)
        guard.run()
