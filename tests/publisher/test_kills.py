"""Nothing is lost, doubled or out of order while the service is killed at random and the trail is away for a while."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from audit_trail.embedded.broker import Broker
from audit_trail.embedded.kafka import ApacheKafka
from tests.databases import MIGRATED, Databases
from tests.publisher import service_process
from tests.publisher.real_trail import RealTrail
from tests.tokens import token
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
_MORE = 20
"""Events that it may record beyond those that are waited for: a kill comes at any of them."""


class Service:
    """A service that records `count` events, and is started again whenever it is killed.

    It records no more than it is allowed to: so a kill always hits a service that has begun and does not end.
    """

    def __init__(self, folder: Path, real: RealTrail, count: int) -> None:
        self.journal = folder / "journal"
        self.spool = folder / "spool"
        self.count = count
        self._allowed = folder / "allowed"
        self._allow(0)
        paths = os.pathsep.join([str(ROOT), str(ROOT / "publisher"), os.environ.get("PYTHONPATH", "")])
        self._environment = os.environ | {
            "PYTHONPATH": paths,
            "PUBLISHER_TOKEN": token("publisher"),
            "JOURNAL": str(self.journal),
            "COUNT": str(count),
            "ALLOWED": str(self._allowed),
        }
        self._command = [sys.executable, "-m", service_process.__name__, "load", str(self.spool), real.url]
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        self._began = self.progress()
        return subprocess.Popen(self._command, cwd=ROOT, env=self._environment)

    def progress(self) -> int:
        """How many calls have returned, about."""
        return len(service_process.read_journal(self.journal)[1])

    def until(self, done: int) -> None:
        """Let it record so many events, or some more: one at least since its start, and not all."""
        done = min(max(done, self._began + 1), self.count - 1)
        self._allow(min(done + _MORE, self.count - 1))
        while self.progress() < done:
            assert self.process.poll() in {None, 0}, "it ended by itself"
            time.sleep(0.01)

    def to_its_end(self) -> int:
        """Let it record everything. Its exit code."""
        self._allow(self.count)
        return self.process.wait(300)

    def _allow(self, count: int) -> None:
        new = self._allowed.with_suffix(".new")
        new.write_text(str(count))
        new.replace(self._allowed)

    def kill(self) -> None:
        """Kill it, wherever it is, and start it again."""
        self.process.kill()
        self.process.wait()
        self.process = self.start()


@contextmanager
def running(folder: Path, real: RealTrail, count: int) -> Iterator[Service]:
    service = Service(folder, real, count)
    try:
        yield service
    finally:
        service.process.kill()
        service.process.wait()


def check(service: Service, real: RealTrail, kills: int) -> None:
    """The service ends by itself, and the trail has exactly its events, each patient's in order."""
    assert service.to_its_end() == 0
    wanted, done = service_process.read_journal(service.journal)
    assert len(done) == service.count
    ids = [wanted[at].partition(" ")[0] for at in range(service.count)]
    eventually(lambda: _count(real) >= service.count, seconds=120)
    events = [event for event in real.recorded() if event["source"]["service"] == "patient-service"]
    reads = [event["event_id"] for event in events if event["type"] == "record.read"]
    assert len(reads) == service.count
    assert sorted(reads) == sorted(ids)
    for patient in range(16):
        mine = set(ids[patient::16])
        assert [each for each in reads if each in mine] == ids[patient::16]
    lifecycle = [event["type"] for event in events if event["type"].startswith("service.")]
    assert lifecycle.count("service.restarted") == kills
    assert lifecycle[0] == "service.started"
    assert lifecycle[-1] == "service.stopped"


def _count(real: RealTrail) -> int:
    return sum(1 for event in real.recorded() if event["type"] == "record.read")


def test_kills_of_the_service_and_outages_of_the_trail_lose_and_double_nothing(
    databases: Databases, broker: Broker, server_folder: Path
) -> None:
    chance = random.Random(5)
    with (
        databases.copy(MIGRATED) as url,
        RealTrail(url, broker) as real,
        running(server_folder, real, 600) as service,
    ):
        service.until(50 + chance.randrange(50))
        service.kill()
        real.stop_api()
        service.until(service.progress() + 100)
        service.kill()
        real.start_api()
        real.stop_ingest()
        service.until(service.progress() + 100 + chance.randrange(50))
        service.kill()
        real.start_ingest()
        check(service, real, kills=3)


@pytest.mark.thorough
@pytest.mark.needs_kafka
def test_many_kills_and_outages_under_load(databases: Databases, server_folder: Path) -> None:
    """100,000 events, 20 kills at random, Kafka and the API away for ten seconds each."""
    chance = random.Random()
    count = 100_000
    with (
        ApacheKafka(server_folder / "kafka") as kafka,
        databases.copy(MIGRATED) as url,
        RealTrail(url, kafka) as real,
        running(server_folder, real, count) as service,
    ):
        points = sorted(chance.randrange(count) for _ in range(20))
        for number, point in enumerate(points):
            service.until(point)
            if number == 5:
                kafka.stop()
            if number == 12:
                real.stop_api()
            service.kill()
            if number in {5, 12}:
                time.sleep(10)
                if number == 5:
                    kafka.start()
                else:
                    real.start_api()
        check(service, real, kills=20)
