"""The process of the watcher: its file, checks and publisher, from the settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

from audit_trail.databases import Pool, open_database, refuse_wrong_settings
from audit_trail.environment import PREFIX
from audit_trail.ingest_settings import ingest_settings
from audit_trail.runtime.metrics_server import Monitor
from audit_trail.settings import Settings
from domain.catalogue import TRAIL_SERVICE
from domain.errors import ConfigurationError
from ingest.broker.reachability import reach_topics
from ingest.publisher import Message, Publisher
from watcher.examination import Examiner
from watcher.store import Undelivered
from watcher.target_file import read_targets
from watcher.targets import TargetFile
from watcher.watch import Watcher

SETTING = f"{PREFIX}WATCH_FILE"


def watched(settings: Settings) -> TargetFile:
    """The targets in the file that the settings name. Raises `ConfigurationError`."""
    if settings.watch_file is None:
        raise ConfigurationError(f"{SETTING} is not set: name the file of what to watch")
    try:
        return read_targets(settings.watch_file)
    except ConfigurationError as exc:
        raise ConfigurationError(f"{SETTING}: {exc}") from exc


def examiner(settings: Settings) -> Examiner:
    """What checks targets. The trail's own Kafka and database are those of the settings."""
    own_url = settings.database_url

    def reach_kafka(
        servers: Sequence[str], options: Mapping[str, str], topics: Sequence[str], seconds: float
    ) -> dict[str, str]:
        foreign = {"bootstrap_servers": list(servers), "client_id": TRAIL_SERVICE, **options}
        return reach_topics(
            foreign if servers else ingest_settings(settings).client_options(), topics, seconds
        )

    return Examiner(own_url.get_secret_value() if own_url else "", reach_kafka)


def watch(settings: Settings, monitor: Monitor, on_stop: Callable[[Callable[[], None]], None]) -> None:
    """Run the watcher until `on_stop` calls its `stop`."""
    file = watched(settings)
    topic = settings.kafka_topics[0]
    with (
        closing(open_database(settings, Pool.WATCHER)) as database,
        closing(Publisher(ingest_settings(settings))) as publisher,
    ):
        refuse_wrong_settings(database)
        publisher.refuse_wrong_settings()

        def publish(events: Sequence[Undelivered]) -> None:
            publisher.publish([Message(topic, each.service.encode(), each.body) for each in events])

        watcher = Watcher(file, database, examiner(settings), publish, threads=settings.watch_checks_at_once)
        on_stop(watcher.stop)
        monitor.watch(watcher.problems, watcher.state)
        watcher.run()
