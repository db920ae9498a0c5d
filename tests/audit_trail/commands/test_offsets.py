"""`audit-trail offsets`: an operator looks at lost records, and accepts exactly those that were shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from kafka import KafkaAdminClient, TopicPartition

from audit_trail.embedded.broker import Broker
from domain.errors import ConfigurationError, FencedError
from domain.recording_gap import Decision
from event_store.database import INGEST, Database
from ingest.own_source import own_source
from ingest.partitions.offsets import LossSelection, OffsetDesk
from ingest.partitions.starting_offsets import Acceptance
from ingest.publisher import Message, Publisher
from ingest.settings import IngestSettings
from tests.audit_trail.programs import run
from tests.ingest.conftest import native
from tests.signing import signer

pytestmark = pytest.mark.needs_kafka

DECISION = ("--by", "n.operator", "--reason", "the broker's disk is gone")


@pytest.fixture
def lost(broker: Broker, make_topic: Callable[..., str]) -> str:
    """A topic of two partitions, never read, whose first records are gone: three of one, one of the other."""
    name = make_topic(2)
    settings = IngestSettings(bootstrap_servers=(broker.bootstrap_servers,))
    with closing(Publisher(settings)) as publisher:
        publisher.publish(
            [Message(name, key, native()) for key in (b"a", b"b", b"c", b"d", b"e", b"f") for _ in range(4)]
        )
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)) as admin:
        admin.delete_records({TopicPartition(name, 0): 3, TopicPartition(name, 1): 1})
    return name


@pytest.fixture
def settings(migrated_url: str, broker: Broker, lost: str) -> dict[str, str]:
    return {
        "database_url": migrated_url,
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "kafka_topics": lost,
        "heads_topic": "",
    }


@pytest.fixture
def desk(migrated_url: str, broker: Broker, lost: str) -> Iterator[OffsetDesk]:
    settings = IngestSettings(bootstrap_servers=(broker.bootstrap_servers,), topics=(lost,))
    with OffsetDesk(settings, Database(migrated_url, INGEST)) as desk:
        yield desk


def _rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def _gaps(url: str) -> list[tuple[Any, ...]]:
    return _rows(
        url,
        "SELECT (gap -> 'attributes' ->> 'partition')::int, gap -> 'actor' ->> 'id', gap ->> 'reason'"
        " FROM (SELECT convert_from(body, 'utf8')::jsonb AS gap FROM audit_trail.event"
        " WHERE type = 'recording.gap' ORDER BY position) AS gaps",
    )


def test_losses_are_listed_and_accepted_with_a_name_and_a_reason(
    settings: dict[str, str], lost: str, migrated_url: str
) -> None:
    stopped = run("ingest", settings=settings)
    assert stopped.returncode == 3
    assert f"topic {lost}, partition 0: offsets 0 to 2" in stopped.stderr
    assert f"topic {lost}, partition 1: offsets 0 to 0" in stopped.stderr
    listed = run("offsets", "list", settings=settings)
    assert [line.split()[:6] for line in listed.stdout.splitlines()[1:]] == [
        [f"{lost}/0", "partition_started_late", "0", "2", "3", "3"],
        [f"{lost}/1", "partition_started_late", "0", "0", "1", "1"],
    ]
    assert _gaps(migrated_url) == []
    one = run("offsets", "accept", "--topic", lost, "--partition", "1", *DECISION, settings=settings)
    assert one.returncode == 0, one.stderr
    assert _gaps(migrated_url) == [(1, "n.operator", "the broker's disk is gone")]
    assert f"{lost}/1" not in run("offsets", "list", settings=settings).stdout
    rest = run("offsets", "accept", "--all", *DECISION, settings=settings)
    assert "accepted: 1, each" in rest.stdout
    assert "no records are lost" in run("offsets", "list", settings=settings).stdout
    assert _rows(migrated_url, "SELECT partition, next_offset FROM audit_trail.kafka_stream ORDER BY 1") == [
        (0, 3),
        (1, 1),
    ]
    assert run("verify", settings=settings).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "say what to accept"),
        (("--all", "--topic", "t"), "say what to accept"),
        (("--partition", "0"), "say what to accept"),
        (("--topic", "another"), "nothing is lost there"),
    ],
)
def test_accepting_says_what_and_never_more(
    arguments: tuple[str, ...], says: str, settings: dict[str, str], migrated_url: str
) -> None:
    refused = run("offsets", "accept", *arguments, *DECISION, settings=settings)
    assert refused.returncode == 2
    assert says in refused.stderr
    assert _gaps(migrated_url) == []


@pytest.mark.parametrize("empty", [("--by", " ", "--reason", "why"), ("--by", "who", "--reason", "")])
def test_a_decision_needs_a_name_and_a_reason(empty: tuple[str, ...], settings: dict[str, str]) -> None:
    refused = run("offsets", "accept", "--all", *empty, settings=settings)
    assert refused.returncode == 2
    assert "is empty" in refused.stderr


def test_more_that_was_lost_since_it_was_shown_is_not_accepted(
    desk: OffsetDesk, broker: Broker, lost: str, migrated_url: str
) -> None:
    acceptance = Acceptance(Decision("n.operator", "gone"), own_source(), signer())
    shown = desk.losses()
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)) as admin:
        admin.delete_records({TopicPartition(lost, 0): 4})
    with pytest.raises(FencedError, match="nothing was accepted"):
        desk.accept(shown, LossSelection(), acceptance)
    assert _gaps(migrated_url) == []
    # The other partition is as it was shown.
    assert len(desk.accept(shown, LossSelection(lost, 1), acceptance)) == 1
    with pytest.raises(ConfigurationError, match="nothing is lost there"):
        desk.accept(desk.losses(), LossSelection(lost, 1), acceptance)
