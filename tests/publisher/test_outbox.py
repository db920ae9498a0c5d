"""The outbox: an event exists if and only if its transaction commits, and the relays send each key in order."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import psycopg2
import pytest

from audit_trail_publisher import Promise, Publisher
from audit_trail_publisher.errors import ConfigurationError
from audit_trail_publisher.outbox.outbox import Outbox, postgresql_tables
from audit_trail_publisher.outbox.rows import INSERT, ConnectionWriter, OutboxRow
from audit_trail_publisher.transports.transport import Rejection
from tests.publisher.conftest import Make
from tests.publisher.scripted_api import Event, Said, ScriptedApi, accept, problem
from tests.waiting import eventually

NOWHERE = "http://127.0.0.1:9"
Connect = Callable[[], Any]


@pytest.fixture(params=[psycopg.connect, psycopg2.connect], ids=["psycopg", "psycopg2"])
def connect(request: pytest.FixtureRequest, database_url: str) -> Connect:
    """A new connection of each driver to a database with the tables."""
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        for _ in range(2):  # a migration may be run again
            cursor.execute(postgresql_tables())
    return partial(request.param, database_url)


@pytest.fixture
def connection(connect: Connect) -> Iterator[Any]:
    with closing(connect()) as connection:
        yield connection


def waiting(connection: Any) -> list[str]:
    with closing(connection.cursor()) as cursor:
        cursor.execute("SELECT id::text FROM audit_outbox ORDER BY position")
        found = [id for (id,) in cursor.fetchall()]
    connection.rollback()
    return found


def record(trail: Publisher, connection: Any, patient: str = "17", **fields: Any) -> str:
    receipt = trail.within(connection).record.read(
        resource=("Observation", "o-1"), patient=patient, actor="dr-smith", **fields
    )
    assert receipt.promise is Promise.TRANSACTIONAL
    return str(receipt.event_id)


def test_an_event_exists_if_and_only_if_its_transaction_commits(connection: Any, make: Make) -> None:
    trail = make(url=NOWHERE)
    record(trail, connection)
    connection.rollback()
    assert waiting(connection) == []
    kept = record(trail, connection, reason='it\'s "quoted" %s; DROP TABLE audit_outbox; --')
    connection.commit()
    assert waiting(connection) == [kept]
    with closing(connection.cursor()) as cursor:
        cursor.execute("SELECT aggregatetype, aggregateid, type, payload, slot FROM audit_outbox")
        kind, key, type, payload, slot = cursor.fetchone()
    assert (kind, key, type) == ("audit-event", "17", "record.read")
    assert json.loads(payload)["reason"] == 'it\'s "quoted" %s; DROP TABLE audit_outbox; --'
    assert 0 <= slot < 16
    assert trail.health().spool_events == 0


def test_the_relay_sends_committed_rows_and_deletes_them(
    connect: Connect, connection: Any, api: ScriptedApi, make: Make
) -> None:
    api.first = [problem(503)]
    trail = make(url=api.url, outbox=Outbox(connect))
    wanted = [record(trail, connection) for _ in range(5)]
    connection.commit()
    uncommitted = record(trail, connection)
    with closing(connect()) as other:
        eventually(lambda: waiting(other) == [])
    assert [event["event_id"] for event in api.accepted] == wanted
    connection.commit()
    with closing(connect()) as other:
        eventually(lambda: waiting(other) == [])
    assert [event["event_id"] for event in api.accepted] == [*wanted, uncommitted]
    assert "sequence" not in api.accepted[0]["source"]


def test_the_default_promise_can_be_transactional(connection: Any, make: Make) -> None:
    trail = make(url=NOWHERE, promise="transactional", transaction=lambda: connection)
    trail.user.logged_in(actor="dr-smith")
    connection.commit()
    assert len(waiting(connection)) == 1
    bare = make(url=NOWHERE, promise="transactional")
    with pytest.raises(ConfigurationError, match="transaction"):
        bare.user.logged_in(actor="dr-smith")


def test_another_library_writes_the_row_itself(connection: Any, make: Make) -> None:
    class Writer:
        def write(self, row: OutboxRow) -> None:
            with closing(connection.cursor()) as cursor:
                cursor.execute(INSERT, row.parameters())

    trail = make(url=NOWHERE)
    trail.within(Writer()).user.logged_in(actor="dr-smith")
    connection.commit()
    assert len(waiting(connection)) == 1


def test_an_asynchronous_connection_is_refused(database_url: str, make: Make) -> None:
    """Nobody would await its statements, so the event would be lost without a word."""

    async def write() -> None:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            make(url=NOWHERE).within(connection).user.logged_in(actor="dr-smith")

    with pytest.raises(ConfigurationError, match="asynchronous"):
        asyncio.run(write())


def test_debezium_sees_rows_that_are_deleted_at_once(connection: Any, make: Make) -> None:
    """It reads the transaction log, in which the insert stands."""
    trail = make(url=NOWHERE)
    trail.within(ConnectionWriter(connection, delete=True)).user.logged_in(actor="dr-smith")
    connection.commit()
    assert waiting(connection) == []


def backlogged(connect: Connect, count: int, make: Make) -> list[str]:
    """Rows of 64 patients, in turns: some for each slot."""
    trail = make(url=NOWHERE)
    with closing(connect()) as connection:
        ids = [record(trail, connection, patient=str(at % 64)) for at in range(count)]
        connection.commit()
    return ids


def test_relays_send_side_by_side_and_keep_the_order_of_each_key(
    connect: Connect, connection: Any, make: Make
) -> None:
    ids = backlogged(connect, 400, make)
    sent: list[tuple[int, UUID]] = []
    both = threading.Barrier(2, timeout=20)

    def relay(number: int) -> None:
        outbox = Outbox(connect)
        first = True
        while messages := outbox.head(20, 1 << 20):
            if first:
                both.wait()  # each holds keys of its own
                first = False
            sent.extend((number, message.event_id) for message in messages)
            outbox.settle(messages, frozenset(message.event_id for message in messages), {})
        outbox.release()

    threads = [threading.Thread(target=relay, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert waiting(connection) == []
    assert sorted(str(each) for _, each in sent) == sorted(ids)
    assert {number for number, _ in sent} == {0, 1}
    for patient in range(64):
        mine = ids[patient::64]
        assert [str(each) for _, each in sent if str(each) in mine] == mine


def test_a_relay_that_dies_leaves_its_rows_to_the_others(connect: Connect, make: Make) -> None:
    ids = backlogged(connect, 5, make)
    dying = Outbox(connect)
    assert len(dying.head(10, 1 << 20)) == 5
    other = Outbox(connect)
    assert other.head(10, 1 << 20) == []
    dying.release()  # the server ends the transaction of a connection that is gone
    eventually(lambda: [str(each.event_id) for each in other.head(10, 1 << 20)] == ids)
    other.release()


def test_a_batch_is_bounded_and_never_empty(connect: Connect, make: Make) -> None:
    backlogged(connect, 8, make)
    outbox = Outbox(connect)
    assert len(outbox.head(3, 1 << 20)) == 3
    assert len(outbox.head(8, 10)) == 1
    size = len(outbox.head(1, 1 << 20)[0].body)
    assert len(outbox.head(8, 2 * size + 20)) == 2
    outbox.release()


def test_rejected_rows_are_kept_and_can_be_sent_again(
    connect: Connect, connection: Any, api: ScriptedApi, make: Make
) -> None:
    def reject_all(events: Sequence[Event]) -> Said:
        items = [
            {"index": at, "reason": "invalid_field", "field": "reason", "message": "wrong"}
            for at, _ in enumerate(events)
        ]
        return Said(422, {"detail": "none is valid", "errors": items})

    api.script = reject_all
    outbox = Outbox(connect)
    outbox._counted_at = float("-inf")
    trail = make(url=api.url, outbox=outbox)
    wanted = record(trail, connection)
    connection.commit()
    eventually(lambda: len(outbox.rejected()) == 1)
    [kept] = outbox.rejected()
    assert (str(kept.event_id), kept.type, kept.reason, kept.field) == (
        wanted,
        "record.read",
        "invalid_field",
        "reason",
    )
    assert json.loads(kept.body)["event_id"] == wanted
    assert waiting(connection) == []
    outbox._counted_at = float("-inf")
    eventually(lambda: trail.metrics()["outbox_rejected_events"] == 1)
    assert "the trail rejected 1 events of the outbox" in trail.health().problems
    api.script = accept
    assert outbox.resend([kept.event_id]) == 1
    assert outbox.resend([]) == 0
    eventually(lambda: [event["event_id"] for event in api.accepted] == [wanted])


def test_a_database_that_is_away_is_connected_again(connect: Connect, api: ScriptedApi, make: Make) -> None:
    ids = backlogged(connect, 3, make)
    attempts: list[int] = []

    def flaky() -> Any:
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError("away")
        return connect()

    trail = make(url=api.url, outbox=Outbox(flaky))
    trail.start()
    eventually(lambda: [event["event_id"] for event in api.accepted] == ids)


def test_a_rejection_without_its_row_changes_nothing(connect: Connect, connection: Any, make: Make) -> None:
    """Somebody deleted the row while it was sent."""
    ids = backlogged(connect, 1, make)
    outbox = Outbox(connect)
    messages = outbox.head(1, 1 << 20)
    why = Rejection("oversized", "", "")
    outbox.settle(messages, frozenset(), {UUID(int=5): why, messages[0].event_id: why})
    assert [str(each.event_id) for each in outbox.rejected()] == ids
    outbox.release()
    assert waiting(connection) == []
