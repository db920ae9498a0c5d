"""The process that forwards: followers, database and Kafka, from the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

from prometheus_client import CollectorRegistry

from audit_trail.databases import Pool, open_database, refuse_wrong_settings
from audit_trail.forwarding.followers import Made, followers
from audit_trail.ingest_settings import ingest_settings
from audit_trail.runtime.metrics_server import Monitor
from audit_trail.settings import Settings
from detection.context.addresses import StaffAddresses
from domain.errors import ConfigurationError
from domain.event import AuditEvent
from domain.validation import encode_event
from event_store.database import Database
from event_store.heads import newest_head
from forwarding.alerts import at_least
from forwarding.follower import PAUSES, FollowerThread
from forwarding.forwarder import Forwarder, Report
from forwarding.metrics import ForwarderMetrics
from forwarding.probe import probe
from forwarding.receivers.kafka import Publish
from ingest.publisher import Message, Publisher


def forward(settings: Settings, monitor: Monitor, on_stop: Callable[[Callable[[], None]], None]) -> None:
    """Run the followers until `on_stop` calls its `stop`."""
    with (
        closing(open_database(settings, Pool.FORWARDER)) as database,
        closing(Publisher(ingest_settings(settings))) as publisher,
    ):
        found = followers(settings, _publishing(publisher), StaffAddresses(database))
        refuse_wrong_settings(database)
        publisher.refuse_wrong_settings()
        forwarder = make_forwarder(found, database, reporting(settings, publisher))
        monitor.watch(forwarder.problems, forwarder.state)
        on_stop(forwarder.stop)
        forwarder.run()


def make_forwarder(
    found: Sequence[Made],
    database: Database,
    report: Report,
    *,
    registry: CollectorRegistry | None = None,
    pauses: tuple[float, float] = PAUSES,
) -> Forwarder:
    """The forwarder of these followers. `pauses`: the first and the longest one, in seconds, after a failure."""
    metrics = ForwarderMetrics([each.configured.name for each in found], registry)
    threads = [
        FollowerThread(
            each.configured,
            each.receiver,
            at_least(each.selection, each.settings.least_level),
            database,
            metrics,
            batch=each.settings.most,
            whole=each.selection.is_whole,
            keeps=each.settings.on_refusal == "keep",
            pauses=pauses,
        )
        for each in found
    ]
    return Forwarder(database, [each.configured for each in found], threads, report, metrics)


def _publishing(publisher: Publisher) -> Publish:
    def publish(topic: str, key: bytes, values: Sequence[bytes]) -> None:
        publisher.publish(Message(topic, key, value) for value in values)

    return publish


def reporting(settings: Settings, publisher: Publisher) -> Report:
    """Publishes a decision about a follower, as ingest reads it."""
    topic = settings.kafka_topics[0]

    def report(event: AuditEvent) -> None:
        publisher.publish([Message(topic, event.source.service.encode(), encode_event(event))])

    return report


@contextmanager
def reported(settings: Settings) -> Iterator[Report]:
    """The same for a command."""
    with closing(Publisher(ingest_settings(settings))) as publisher:
        yield reporting(settings, publisher)


def send_probe(settings: Settings, name: str) -> str:
    """Send one test message to the receiver of a follower, and say what happened, in a few words.

    Raises the errors of `Receiver.send`.
    """
    with closing(Publisher(ingest_settings(settings))) as publisher:
        found = {each.configured.name: each for each in followers(settings, _publishing(publisher))}
        if name not in found:
            raise ConfigurationError(f"the file has no follower {name}: it has {', '.join(found) or 'none'}")
        with (
            closing(open_database(settings, Pool.FORWARDER)) as database,
            database.transaction(read_only=True) as connection,
        ):
            head = newest_head(connection)
        origin = "" if head is None else head.note.split(b"\n", 1)[0].decode()
        receiver = found[name].receiver
        encoded = receiver.encode(probe(name, origin))
        said = receiver.send([encoded])
        return f"{receiver.where} has the test message of {len(encoded.data)} bytes: {said}"
