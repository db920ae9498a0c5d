"""Debezium sends what is in the outbox, set up as the page says: every committed event once, and no other."""

from __future__ import annotations

import base64
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from audit_trail.embedded.broker import Broker, free_ports
from audit_trail.embedded.java import fetch_jars
from audit_trail.embedded.postgres import EmbeddedPostgres
from audit_trail_publisher import Publisher
from audit_trail_publisher.errors import InvalidEventError
from audit_trail_publisher.outbox.outbox import postgresql_tables
from audit_trail_publisher.outbox.rows import ConnectionWriter, OutboxRow
from domain.errors import AuditTrailError
from tests.databases import MIGRATED, Databases
from tests.docs.pages import ROOT, fences
from tests.publisher.conftest import Make
from tests.publisher.connect import Connect
from tests.publisher.real_trail import RealTrail
from tests.servers import FAST, postgres_server
from tests.waiting import eventually

pytestmark = [pytest.mark.thorough, pytest.mark.needs_kafka]

POM = Path(__file__).with_name("debezium_pom.xml")
NOWHERE = "http://127.0.0.1:9"
_PAGE = {info: text for _, info, text in fences(ROOT / "docs" / "how-to" / "publish-from-python.md")}
SETUP = _PAGE["sql"]
PROPERTIES = dict(line.split("=", 1) for line in _PAGE["properties"].splitlines())


class Writer(ConnectionWriter):
    """Remembers what it wrote since the last commit."""

    def __init__(self, connection: Any, *, delete: bool = False) -> None:
        super().__init__(connection, delete=delete)
        self.rows: list[OutboxRow] = []

    def write(self, row: OutboxRow) -> None:
        super().write(row)
        self.rows.append(row)


class Service:
    """A database of a service, with the outbox and what the page says, and a trail that writes to it."""

    def __init__(self, server: EmbeddedPostgres, port: int, trail: Publisher) -> None:
        self.url = server.url
        self._trail = trail
        self._place = {"database.hostname": "127.0.0.1", "database.port": str(port)}
        self._place["database.dbname"] = server.database
        self.committed: list[bytes] = []
        with (server.data_dir / "pg_hba.conf").open("a") as file:
            file.write("host all debezium 127.0.0.1/32 scram-sha-256\n")
        self.query("SELECT pg_reload_conf()")
        self.query(postgresql_tables())
        for statement in filter(None, SETUP.split(";\n")):  # each in a transaction of its own, as psql does
            self.query(statement)

    def query(self, statement: str) -> Any:
        """The first value of the answer, if there is one."""
        with closing(psycopg2.connect(self.url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return next(iter(cursor), (None,))[0] if cursor.description else None

    def properties(self, topic: str, **others: str) -> dict[str, str]:
        """Those of the page, for this database and this topic."""
        route = {"transforms.outbox.route.topic.replacement": topic}
        return PROPERTIES | self._place | route | others

    def record(self, *reasons: str, delete: bool = False, commit: bool = True) -> None:
        """One transaction with an event for each reason."""
        with closing(psycopg2.connect(self.url)) as connection:
            writer = Writer(connection, delete=delete)
            for reason in reasons:
                self._trail.within(writer).record.read(
                    resource=("Observation", "o-1"),
                    patient="17",
                    actor="dr-smith",
                    attributes={"why": reason},
                )
            if commit:
                connection.commit()
                self.committed += [row.payload.encode() for row in writer.rows]

    def record_largest(self) -> None:
        """An event that is as large as the client accepts, and that hardly compresses."""
        size = 1 << 20
        noise = base64.b64encode(random.Random(7).randbytes(size)).decode()
        for less in range(0, 2000, 8):
            with suppress(InvalidEventError):
                return self.record(noise[: size - less])
        raise AssertionError("no event was accepted")


@pytest.fixture(scope="module")
def jars() -> Path:
    try:
        return fetch_jars(POM)
    except AuditTrailError as exc:
        pytest.skip(f"Kafka Connect and Debezium can't be fetched: {exc}")


@pytest.fixture
def service(server_folder: Path, make: Make) -> Iterator[Service]:
    (port,) = free_ports(1)
    settings = FAST | {"wal_level": "logical", "listen_addresses": "127.0.0.1", "port": str(port)}
    with postgres_server(server_folder / "postgres", settings) as server:
        yield Service(server, port, make(url=NOWHERE))


@pytest.fixture
def real(databases: Databases, broker: Broker) -> Iterator[RealTrail]:
    with databases.copy(MIGRATED) as url, RealTrail(url, broker) as trail:
        yield trail


@pytest.fixture
def connector(jars: Path, service: Service, real: RealTrail, server_folder: Path) -> Callable[..., Connect]:
    """`connector(**properties)`: Connect with the page's connector."""

    def connect(**others: str) -> Connect:
        properties = service.properties(real.topic, **others)
        return Connect(server_folder / properties["name"], jars, real.bootstrap_servers, properties)

    return connect


def await_events(real: RealTrail, count: int) -> None:
    eventually(lambda: len(real.bodies()) >= count, seconds=60)


def has_all(real: RealTrail, service: Service) -> None:
    """The trail has exactly what was committed, byte for byte, and in this order."""
    await_events(real, len(service.committed))
    assert real.bodies() == service.committed
    counters = real.ingest.ingest.counters
    assert (counters.rejected, counters.conflicts) == ({}, 0)


def test_committed_events_arrive_byte_for_byte(
    service: Service, real: RealTrail, connector: Callable[..., Connect]
) -> None:
    """From before the connector's start and from after it, deleted at once or not, and the largest."""
    service.record("earlier", 'quotes " and \\', "line\nand \u2028, \u00e9, \U0001f600")
    with connector():
        has_all(real, service)
        service.record("later", "the same transaction")
        service.record("rolled back", commit=False)
        service.record("deleted at once", delete=True)
        service.record_largest()
        service.record("behind the largest")
        service.query("DELETE FROM audit_outbox")
        service.record("behind what was deleted")
        has_all(real, service)


@contextmanager
def load(service: Service, *, delete: bool) -> Iterator[None]:
    """A thread that records, and rolls back every fourth transaction, until the end of the block."""
    stop = threading.Event()

    def run() -> None:
        at = 0
        while not stop.wait(0.005):
            at += 1
            service.record(f"{at}", f"{at}, second", delete=delete, commit=at % 4 != 0)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("delete", [False, True])
def test_kills_of_connect_lose_and_double_nothing(
    service: Service, real: RealTrail, connector: Callable[..., Connect], delete: bool
) -> None:
    service.record("first")
    with connector() as connect:
        has_all(real, service)
        with load(service, delete=delete):
            for _ in range(3):
                await_events(real, len(real.bodies()) + 50)
                connect.kill()
        has_all(real, service)


def test_other_tables_of_the_service_are_left_alone(
    service: Service, real: RealTrail, connector: Callable[..., Connect]
) -> None:
    """The publication that Debezium makes by itself refuses an UPDATE of one without a primary key."""
    service.query("CREATE TABLE visit (number integer)")
    service.query("INSERT INTO visit VALUES (1)")
    service.record("first")
    with connector():
        has_all(real, service)
        service.query("UPDATE visit SET number = 2")
    assert service.query("SELECT number FROM visit") == 2


def test_without_the_slot_another_connector_sends_the_rows_again(
    service: Service, real: RealTrail, connector: Callable[..., Connect]
) -> None:
    service.record("sent")
    with connector():
        has_all(real, service)
    service.record("not sent")
    service.query("SELECT pg_drop_replication_slot('audit_outbox')")
    service.record("after the slot")
    with connector(**{"name": "second", "slot.name": "second", "snapshot.mode": "initial"}):
        has_all(real, service)
    assert real.ingest.ingest.counters.duplicates == 1
