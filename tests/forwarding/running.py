"""A forwarder that runs in a thread of the tests' process, on a trail of the test's own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from prometheus_client import CollectorRegistry

from audit_trail.forwarding.followers import Made, followers
from audit_trail.forwarding.process import make_forwarder
from audit_trail.settings import load
from domain.errors import UnavailableError
from domain.event import AuditEvent
from event_store.database import FORWARDER, Database
from forwarding.errors import RecordsRefusedError
from forwarding.receivers.kafka import Publish
from forwarding.receivers.receiver import Receiver
from forwarding.records import Encoded, Record
from forwarding.registry import FollowerState, Registry
from tests.waiting import eventually

DECIDED = 'decided_by = "n.operator"\nreason = "the office of security wants it"\n'
PAUSES = (0.05, 0.2)


def never(*_: object) -> None:
    raise UnavailableError("there is no Kafka in this test")


def made(folder: Path, text: str, publish: Publish = never) -> list[Made]:
    """The followers of a file with this text."""
    file = folder / "forwarding.toml"
    file.write_text(text, encoding="utf-8")
    return followers(load(forwarding_file=file), publish)


class Running:
    """Forwards until `stop`. `events` are those that the trail got of decisions."""

    def __init__(self, url: str, found: Sequence[Made], *, kafka: bool = True) -> None:
        self.events: list[AuditEvent] = []
        self.kafka = kafka
        self.metrics = CollectorRegistry()
        self.database = Database(url, FORWARDER)
        self.registry = Registry(self.database)
        self._forwarder = make_forwarder(
            found, self.database, self._report, registry=self.metrics, pauses=PAUSES
        )
        self._thread = threading.Thread(target=self._forwarder.run)
        self._thread.start()

    def _report(self, event: AuditEvent) -> None:
        if not self.kafka:
            raise UnavailableError("Kafka is away")
        self.events.append(event)

    @property
    def problems(self) -> list[str]:
        return self._forwarder.problems()

    @property
    def state(self) -> str:
        return self._forwarder.state()

    def follower(self, name: str) -> FollowerState:
        """The stored state of a follower, once it has one."""
        eventually(lambda: any(each.name == name for each in self.registry.followers()))
        return next(each for each in self.registry.followers() if each.name == name)

    def number(self, metric: str, **labels: str) -> float | None:
        return self.metrics.get_sample_value(metric, labels)

    def arrives(self, name: str, position: int, seconds: float = 20) -> None:
        """Wait until the checkpoint of a follower is at `position`."""

        def arrived() -> bool:
            with suppress(UnavailableError):
                found = self.registry.followers()
                return any(each.name == name and each.position >= position for each in found)
            return False

        eventually(arrived, seconds)

    def stop(self) -> None:
        """As SIGTERM does."""
        self._forwarder.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self.database.close()


@contextmanager
def forwarding(url: str, found: Sequence[Made], *, kafka: bool = True) -> Iterator[Running]:
    running = Running(url, found, kafka=kafka)
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def registry_of(url: str) -> Iterator[Registry]:
    with closing(Database(url, FORWARDER)) as database:
        yield Registry(database)


class Shelf:
    """A receiver that keeps records, and fails as a test tells it: the lowest seam below a follower."""

    pace_seconds = 0.0
    max_bytes = 1 << 20

    def __init__(self, where: str = "shelf") -> None:
        self.where = where
        self.records: list[Record] = []
        self.requests: list[list[int]] = []
        self.errors: list[Exception] = []
        self.refuses: set[int] = set()
        self.open = threading.Event()
        self.open.set()
        self._encoded: dict[int, Record] = {}

    def encode(self, record: Record) -> Encoded:
        self._encoded[record.leaf.position] = record
        return Encoded(record.leaf.position, b"x")

    def send(self, records: Sequence[Encoded]) -> str:

        self.requests.append([each.position for each in records])
        self.open.wait(30)
        if self.errors:
            raise self.errors.pop(0)
        if self.refuses & {each.position for each in records}:
            raise RecordsRefusedError("it refuses the record")
        self.records += [self._encoded[each.position] for each in records]
        return "kept"

    def close(self) -> None:
        pass

    @property
    def positions(self) -> list[int]:
        return [each.leaf.position for each in self.records]

    @property
    def previous(self) -> list[int | None]:
        return [each.leaf.previous_position for each in self.records]


def follower(
    folder: Path,
    shelf: Receiver,
    name: str = "siem",
    *,
    extra: str = "",
    host: str = "siem.example",
    start: str = "beginning",
    roles: str = "auditor",
) -> Made:
    """A follower of the file that sends to `shelf` in the place of its server."""
    text = (
        f'[followers.{name}]\n{DECIDED}start = "{start}"\nroles = ["{roles}"]\n{extra}\n'
        f'[followers.{name}.syslog]\nhost = "{host}"\n'
    )
    return made(folder, text)[0]._replace(receiver=shelf)
