"""The publisher of access records."""

from __future__ import annotations

from msgspec.structs import replace

from audit_trail.ingest_settings import ingest_settings
from audit_trail.settings import Settings
from ingest.publisher import Publisher


def recording_publisher(settings: Settings) -> Publisher:
    """A publisher with a connection of its own, which batches nothing and gives up sooner."""
    seconds = min(settings.publish_timeout_seconds, settings.reads_record_seconds)
    return Publisher(replace(ingest_settings(settings), publish_timeout_seconds=seconds), linger_ms=0)
