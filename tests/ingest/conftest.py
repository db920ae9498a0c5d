"""Ingest as it runs in production: a real broker, a real database, and the loop in a thread of its own."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from audit_trail.embedded.broker import Broker
from event_store.database import INGEST, Database
from ingest.dead_letters import DeadLetterDesk
from ingest.pipeline import Ingest
from ingest.publisher import Message, Publisher
from ingest.settings import IngestSettings
from tests.ingest.large_messages import LARGE, Call
from tests.signing import TEXT, signer


@pytest.fixture
def settings(broker: Broker, topic: str) -> IngestSettings:
    """Static assignment, since a group join takes long on the embedded broker."""
    return IngestSettings(
        bootstrap_servers=(broker.bootstrap_servers,),
        topics=(topic,),
        group_id=f"test-{uuid4().hex}",
        assignment="static",
        refresh_seconds=0.5,
    )


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    with closing(Database(migrated_url, INGEST)) as database:
        yield database


@pytest.fixture
def query(database: Database) -> Callable[..., list[tuple[Any, ...]]]:
    """`query(sql, *parameters)`: all rows."""

    def run(statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        with database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()

    return run


@pytest.fixture
def publish(settings: IngestSettings, topic: str) -> Iterator[Callable[..., None]]:
    """`publish(values, topic=..., key=..., headers=...)` returns when the broker has all."""
    with closing(Publisher(settings)) as publisher:

        def run(
            values: Sequence[bytes | None],
            *,
            topic: str = topic,
            key: bytes | None = None,
            headers: Sequence[tuple[str, bytes]] = (),
        ) -> None:
            publisher.publish([Message(topic, key, value, headers) for value in values])

        yield run


class Running:
    """An ingest that runs in a thread. `error` is what ended it, if that was not `stop`."""

    def __init__(self, settings: IngestSettings, database: Database) -> None:
        self.registry = CollectorRegistry()
        self.ingest = Ingest(settings, database, signer(), registry=self.registry)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.ingest.run()
        except Exception as exc:  # noqa: BLE001 - the test's thread raises it
            self.error = exc

    def until(self, condition: Callable[[], object], seconds: float = 30) -> None:
        """Wait until `condition` is true; fail at once when ingest has ended."""
        end = time.monotonic() + seconds
        while not condition():
            assert self._thread.is_alive(), f"ingest ended: {self.error!r}"
            assert time.monotonic() < end, f"waited in vain; {self.ingest.counters}; {self.ingest.problems()}"
            time.sleep(0.02)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._thread.is_alive()

    def join(self, seconds: float = 30) -> None:
        """Wait for its end."""
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "ingest did not end"

    def stop(self) -> None:
        """Stop it as SIGTERM would."""
        self.ingest.stop()
        self.join()


@pytest.fixture
def running(database: Database) -> Callable[..., Any]:
    """A context manager that runs an ingest with given settings, and stops it at the end and raises its error."""

    @contextmanager
    def run(settings: IngestSettings, database: Database = database) -> Iterator[Running]:
        it = Running(settings, database)
        try:
            yield it
        finally:
            it.stop()
            if it.error is not None:
                raise it.error

    return run


@pytest.fixture
def stopping(database: Database) -> Callable[..., Any]:
    """A context manager that runs an ingest, which has to end by itself with an error that matches."""

    @contextmanager
    def run(settings: IngestSettings, error: type[Exception], match: str) -> Iterator[Running]:
        it = Running(settings, database)
        try:
            yield it
            it.join(60)
        finally:
            it.stop()
        assert isinstance(it.error, error), it.error
        assert re.search(match, str(it.error)), it.error

    return run


def accepting(settings: IngestSettings) -> IngestSettings:
    """The same settings, with an operator's decision to go on behind lost records."""
    return msgspec.structs.replace(
        settings,
        on_offset_loss="continue",
        offset_loss_accepted_by="n.operator",
        offset_loss_reason="the records are gone",
    )


@pytest.fixture
def message() -> Callable[..., bytes]:
    """`message(event_id=..., session=...)`: a valid native message."""
    return native


def native(event_id: object = None, session: str = "s-1") -> bytes:
    """A valid native message with a new id."""
    return (
        b'{"event_id":"%s","type":"user.logged_in","occurred_at":"2026-11-24T10:00:00Z",'
        b'"source":{"service":"authentication"},"actor":{"id":"u-1"},"session":"%s"}'
        % (str(event_id or uuid4()).encode(), session.encode())
    )


@pytest.fixture
def large_topic(make_topic: Call) -> str:
    """A topic of one partition that takes batches of 64 MiB."""
    name: str = make_topic(1, LARGE)
    return name


@pytest.fixture
def desk(migrated_url: str, database: Database) -> Iterator[DeadLetterDesk]:
    with closing(DeadLetterDesk(database, migrated_url, TEXT)) as desk:
        yield desk
