"""The desk of detection, from the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from prometheus_client import Counter

from audit_trail.databases import Pool, open_database
from audit_trail.detection.desk import DetectionDesk
from audit_trail.ingest_settings import ingest_settings
from audit_trail.requests.workers import publishing_all_to
from audit_trail.settings import Settings
from domain.errors import ConfigurationError
from ingest.publisher import Publisher

Problems = Callable[[], list[str]]

_RAISED = Counter("audit_trail_alerts_raised", "Alerts whose events were published, by level.", ["level"])


@contextmanager
def detecting(settings: Settings) -> Iterator[Problems]:
    """Activate rules and publish alerts until the end of the block. Yields the problems of that."""
    try:
        kafka = ingest_settings(settings)
    except ConfigurationError as exc:
        why = f"detection: no rules are activated and no alerts published, which needs Kafka: {exc}"
        yield lambda: [why]
        return
    with (
        closing(open_database(settings, Pool.DETECTION)) as database,
        closing(Publisher(kafka)) as publisher,
    ):
        desk = DetectionDesk(
            database,
            publishing_all_to(settings.kafka_topics[0], publisher.publish),
            settings.detection_rules,
            lambda level: _RAISED.labels(level).inc(),
        )
        desk.start()
        try:
            yield desk.problems
        finally:
            desk.stop()
