"""What the records of reads need: the publisher, and the source that they name."""

from __future__ import annotations

import socket

from msgspec.structs import replace

from audit_trail.ingest_settings import ingest_settings
from audit_trail.settings import Settings
from domain.event import Source
from ingest.publisher import Publisher


def recording_publisher(settings: Settings) -> Publisher:
    """A publisher with a connection of its own, which batches nothing and gives up sooner."""
    seconds = min(settings.publish_timeout_seconds, settings.reads_record_seconds)
    return Publisher(replace(ingest_settings(settings), publish_timeout_seconds=seconds), linger_ms=0)


def own_source() -> Source:
    """The source of the events that the trail itself records."""
    return Source(service="audit-trail", instance=socket.gethostname() or None)
