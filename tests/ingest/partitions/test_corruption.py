"""Batches that are damaged on the broker's disk stop their own partition, and nothing is skipped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from audit_trail.embedded.broker import Broker
from audit_trail.embedded.kafka import ApacheKafka
from domain.errors import ConfigurationError, LogInconsistentError
from domain.recording_gap import Decision
from event_store.database import INGEST, READER, Database
from event_store.gaps import Move
from event_store.verify.run import verify
from ingest.own_source import own_source
from ingest.partitions.offsets import LossSelection, OffsetDesk
from ingest.partitions.starting_offsets import Acceptance, RecordsLostError
from ingest.settings import IngestSettings
from tests.ingest.client_restarts import restarts
from tests.ingest.conftest import accepting
from tests.signing import signer

Query = Callable[..., list[tuple[Any, ...]]]
Call = Callable[..., Any]

pytestmark = [pytest.mark.needs_kafka, pytest.mark.usefixtures("intact")]

OFFSETS = "SELECT partition, next_offset FROM audit_trail.kafka_stream ORDER BY partition"
EVENTS = "SELECT count(*), count(DISTINCT event_id) FROM audit_trail.event WHERE type <> 'recording.gap'"
HEADER = 61
"""Bytes of a batch in front of its records."""
BASE_OFFSET, LENGTH, LEADER_EPOCH, MAGIC, CRC, LAST_OFFSET_DELTA = 0, 8, 12, 16, 17, 23
"""Where a batch has these fields."""


class Damage:
    """A topic whose partitions have batches of two records each, on the disk of the broker of all tests."""

    def __init__(self, broker: ApacheKafka, topic: str, message: Call) -> None:
        self.topic = topic
        self._broker = broker
        self._message = message

    def fill(self, partitions: int, batches: int) -> None:
        """Publish `batches` batches to each partition."""
        servers = self._broker.bootstrap_servers
        with closing(KafkaProducer(bootstrap_servers=servers, linger_ms=2000)) as producer:
            for _ in range(batches):
                for partition in range(partitions):
                    for _ in range(2):
                        producer.send(self.topic, self._message(), partition=partition)
                producer.flush()

    def flip(self, partition: int, batch: int, at: int) -> None:
        """Flip one byte of a batch in its segment, as a failing disk does. Flipped again, it is as it was."""
        segment = self._broker.data_dir / "data" / f"{self.topic}-{partition}" / f"{0:020d}.log"
        with segment.open("r+b") as file:
            data = file.read()
            start = 0
            for _ in range(batch):
                start += 12 + int.from_bytes(data[start + LENGTH : start + LENGTH + 4], "big")
            file.seek(start + at)
            file.write(bytes([data[start + at] ^ 0xFF]))


@pytest.fixture
def intact(migrated_url: str) -> Iterator[None]:
    """Whatever a test does, `verify` finds nothing wrong afterwards."""
    yield
    assert verify(migrated_url, READER, []).findings == ()


@pytest.fixture
def damage(broker: Broker, make_topic: Call, message: Call) -> Damage:
    assert isinstance(broker, ApacheKafka)
    return Damage(broker, make_topic(4), message)


@pytest.fixture
def mine(settings: IngestSettings, damage: Damage) -> IngestSettings:
    return msgspec.structs.replace(settings, topics=(damage.topic,), watch_seconds=0.5)


def stopped(run: Any) -> list[str]:
    """What readiness says of the partitions that stand."""
    return [problem for problem in run.ingest.problems() if "is stopped at offset" in problem]


@pytest.mark.parametrize(
    ("assignment", "batch", "at"), [("static", 0, CRC), ("group", 2, HEADER + 20)], ids=["first", "third"]
)
def test_a_damaged_batch_stops_its_partition_and_the_others_go_on(
    assignment: str,
    batch: int,
    at: int,
    damage: Damage,
    mine: IngestSettings,
    running: Call,
    query: Query,
) -> None:
    damage.fill(4, 4)
    damage.flip(1, batch, at)
    with running(msgspec.structs.replace(mine, assignment=assignment)) as run:
        run.until(lambda: query(OFFSETS) == [(0, 8), (1, 2 * batch), (2, 8), (3, 8)], seconds=60)
        run.until(lambda: stopped(run), seconds=60)
        assert f"{damage.topic}-1 is stopped at offset {2 * batch} " in stopped(run)[0]
        labels = {"topic": damage.topic, "partition": "1"}
        assert run.registry.get_sample_value("audit_trail_ingest_partition_stopped", labels) == 2 * batch
        # What comes while a partition stands is read: several tries of the damaged one pass meanwhile.
        for _ in range(5):
            damage.fill(4, 1)
            time.sleep(0.5)
        run.until(lambda: query(OFFSETS) == [(0, 18), (1, 2 * batch), (2, 18), (3, 18)], seconds=60)
        assert restarts(run.registry) == 0
    assert query("SELECT count(*) FROM audit_trail.event") == [(54 + 2 * batch,)]


def test_a_batch_that_was_restored_is_read_and_nothing_is_skipped(
    damage: Damage, mine: IngestSettings, running: Call, query: Query
) -> None:
    damage.fill(4, 3)
    damage.flip(0, 1, HEADER + 20)
    with running(mine) as run:
        run.until(lambda: query(OFFSETS) == [(0, 2), (1, 6), (2, 6), (3, 6)], seconds=60)
        run.until(lambda: stopped(run), seconds=60)
        damage.flip(0, 1, HEADER + 20)
        run.until(lambda: query(OFFSETS) == [(0, 6), (1, 6), (2, 6), (3, 6)], seconds=90)
        run.until(lambda: run.ingest.problems() == [], seconds=60)
        labels = {"topic": damage.topic, "partition": "0"}
        assert run.registry.get_sample_value("audit_trail_ingest_partition_stopped", labels) is None
    assert query("SELECT count(*), count(DISTINCT event_id) FROM audit_trail.event") == [(24, 24)]


def test_a_damaged_batch_that_is_deleted_in_kafka_is_a_loss_that_an_operator_accepts(
    damage: Damage, mine: IngestSettings, running: Call, stopping: Call, query: Query
) -> None:
    """The way on that `docs/how-to/operate.md` and the log line name, where there is no good replica."""
    damage.fill(4, 3)
    damage.flip(1, 1, HEADER + 20)
    with stopping(mine, RecordsLostError, "partition 1: offsets 2 to 3 were deleted") as run:
        run.until(lambda: query(OFFSETS) == [(0, 6), (1, 2), (2, 6), (3, 6)] and stopped(run), seconds=60)
        with closing(KafkaAdminClient(bootstrap_servers=list(mine.bootstrap_servers))) as admin:
            admin.delete_records({TopicPartition(damage.topic, 1): 4})
    with running(accepting(mine)) as run:
        run.until(lambda: query(OFFSETS) == [(0, 6), (1, 6), (2, 6), (3, 6)], seconds=60)
    gaps = "SELECT count(*) FROM audit_trail.event WHERE type = 'recording.gap'"
    assert query(gaps) == [(1,)]


@pytest.mark.thorough
def test_several_damaged_partitions_each_stand_where_they_are_damaged(
    damage: Damage, mine: IngestSettings, running: Call, query: Query
) -> None:
    """Of one partition the length of a batch is damaged, which the client takes for an incomplete batch."""
    damage.fill(4, 3)
    for place in ((0, 0, HEADER + 5), (1, 1, CRC + 1), (3, 2, LENGTH + 3)):
        damage.flip(*place)
    with running(mine) as run:
        run.until(lambda: query(OFFSETS) == [(0, 0), (1, 2), (2, 6), (3, 4)], seconds=60)
        run.until(lambda: len(stopped(run)) == 3, seconds=60)
        time.sleep(3)
        assert query(OFFSETS) == [(0, 0), (1, 2), (2, 6), (3, 4)]
        assert restarts(run.registry) == 0


@pytest.fixture
def desk(mine: IngestSettings, migrated_url: str) -> Iterator[OffsetDesk]:
    with OffsetDesk(mine, Database(migrated_url, INGEST)) as desk:
        yield desk


def accept(desk: OffsetDesk, *partition: int) -> list[tuple[Any, ...]]:
    """What an operator sees and accepts: partition, cause, first and last offset, and where ingest goes on."""
    acceptance = Acceptance(Decision.of("n.operator", "the disk is broken"), own_source(), signer())
    topic = desk.losses()[0].gap.topic
    return gaps(desk.accept(desk.losses(), LossSelection(topic, *partition), acceptance))


def gaps(moves: list[Move]) -> list[tuple[Any, ...]]:
    return [
        (gap.partition, gap.cause.value, gap.first_lost_offset, gap.last_lost_offset, gap.continued_from)
        for gap in (move.gap for move in moves)
    ]


@pytest.mark.parametrize(
    "at",
    [BASE_OFFSET + 6, BASE_OFFSET + 7, CRC, CRC + 5, LAST_OFFSET_DELTA, LAST_OFFSET_DELTA + 3, HEADER + 20],
    ids=["far ahead", "ahead", "CRC", "codec", "negative delta", "delta", "record"],
)  # fmt: skip
def test_a_damaged_batch_is_accepted_while_ingest_is_down(
    at: int, damage: Damage, mine: IngestSettings, desk: OffsetDesk, running: Call, query: Query
) -> None:
    damage.fill(4, 4)
    damage.flip(1, 1, at)
    assert desk.losses() == []
    with running(mine) as run:
        run.until(lambda: query(OFFSETS) == [(0, 8), (1, 2), (2, 8), (3, 8)], seconds=60)
        run.until(lambda: stopped(run), seconds=60)
        assert "`audit-trail offsets accept`" in stopped(run)[0]
    assert accept(desk) == [(1, "damaged", 2, 3, 4)]
    assert desk.losses() == []
    with running(mine) as run:
        run.until(lambda: query(OFFSETS) == [(number, 8) for number in range(4)], seconds=60)
        damage.fill(4, 1)
        run.until(lambda: query(OFFSETS) == [(number, 10) for number in range(4)], seconds=60)
        run.until(lambda: run.ingest.problems() == [], seconds=60)
    assert query(EVENTS) == [(38, 38)]


def test_ingest_goes_on_by_itself_when_a_damaged_batch_is_accepted(
    damage: Damage, mine: IngestSettings, desk: OffsetDesk, running: Call, query: Query
) -> None:
    """The last batch of one partition, and two in a row of another one."""
    damage.fill(4, 3)
    for partition, batch in ((0, 2), (1, 0), (1, 1)):
        damage.flip(partition, batch, CRC)
    with running(msgspec.structs.replace(mine, assignment="group")) as run:
        run.until(lambda: query(OFFSETS) == [(0, 4), (1, 0), (2, 6), (3, 6)], seconds=60)
        run.until(lambda: len(stopped(run)) == 2, seconds=60)
        assert accept(desk, 0) == [(0, "damaged", 4, None, 6)]
        run.until(lambda: len(stopped(run)) == 1, seconds=90)
        assert accept(desk, 1) == [(1, "damaged", 0, 3, 4)]
        run.until(lambda: query(OFFSETS) == [(number, 6) for number in range(4)], seconds=90)
        run.until(lambda: run.ingest.problems() == [], seconds=60)
        assert restarts(run.registry) == 0
    assert query(EVENTS) == [(18, 18)]


def test_a_decision_made_in_advance_is_none_about_damage(
    damage: Damage, mine: IngestSettings, running: Call, query: Query
) -> None:
    damage.fill(2, 3)
    damage.flip(0, 0, CRC)
    with running(accepting(mine)) as run:
        run.until(lambda: query(OFFSETS) == [(0, 0), (1, 6), (2, 0), (3, 0)], seconds=60)
        run.until(lambda: stopped(run), seconds=60)
        time.sleep(3)
        assert query(OFFSETS)[0] == (0, 0)


@pytest.mark.parametrize("at", [*range(LENGTH, LENGTH + 4), MAGIC])
@pytest.mark.thorough
def test_a_damaged_length_hides_what_follows_until_the_broker_finds_its_way_again(
    at: int, damage: Damage, mine: IngestSettings, desk: OffsetDesk, running: Call, query: Query
) -> None:
    damage.fill(2, 30)
    damage.flip(1, 1, at)
    for assignment in (
        "static",
        "group",
    ):  # the damage is met while reading, and when the partition is opened
        with running(msgspec.structs.replace(mine, assignment=assignment, stall_seconds=3.0)) as run:
            run.until(lambda: query(OFFSETS)[:2] == [(0, 60), (1, 2)], seconds=60)
            run.until(lambda: stopped(run), seconds=60)
            assert restarts(run.registry) <= 1
    [(_, cause, first, last, following)] = accept(desk)
    assert (cause, first, last) == ("damaged", 2, following - 1)
    assert following < 60
    with running(mine) as run:
        run.until(lambda: query(OFFSETS)[:2] == [(0, 60), (1, 60)], seconds=60)
    assert query(EVENTS) == [(120 - (following - 2),) * 2]


def test_a_base_offset_that_went_back_is_a_hole_that_stops(
    damage: Damage, mine: IngestSettings, desk: OffsetDesk, running: Call, stopping: Call, query: Query
) -> None:
    """For the broker the batch is no longer there."""
    damage.fill(1, 4)
    damage.flip(0, 1, BASE_OFFSET)
    with stopping(mine, LogInconsistentError, "partition 0: the records at offsets 2 to 3 are missing"):
        pass
    assert accept(desk) == [(0, "records_missing", 2, 3, 4)]
    with running(mine) as run:
        run.until(lambda: query(OFFSETS)[0] == (0, 8), seconds=60)
    assert query(EVENTS) == [(6, 6)]


def test_damage_of_what_was_read_already_and_of_a_leader_epoch_is_no_loss(
    damage: Damage, mine: IngestSettings, desk: OffsetDesk, running: Call, query: Query
) -> None:
    damage.fill(4, 4)
    damage.flip(0, 1, LEADER_EPOCH + 1)
    damage.flip(0, 3, LEADER_EPOCH)
    with running(mine) as run:
        run.until(lambda: query(OFFSETS) == [(number, 8) for number in range(4)], seconds=60)
    for partition, at in ((1, CRC), (2, HEADER + 20), (3, LENGTH + 3)):
        damage.flip(partition, 3, at)
    assert desk.losses() == []
    with running(mine) as run:
        run.until(lambda: run.ingest.problems() == [], seconds=60)
    with pytest.raises(ConfigurationError, match="nothing is lost there"):
        desk.accept(
            [], LossSelection(damage.topic), Acceptance(Decision.of("n", "r"), own_source(), signer())
        )
    assert query(EVENTS) == [(32, 32)]
