"""The append: dense, sealed, all or nothing, and append-only for everybody."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from uuid import UUID, uuid4

import psycopg2
import pytest

from domain.body import BodyFormat
from domain.errors import FencedError, LogInconsistentError, Reason
from event_store.append import Appended, NewEvent, OffsetAdvance, append
from event_store.binary_copy import UNIX_EPOCH_US, to_us
from event_store.database import INGEST, PROJECTOR, READER, Database
from event_store.dead_letters import NewDeadLetter
from event_store.entry import encode_entry
from event_store.event_reader import find_event, log_size, read_events
from event_store.heads import insert_head
from event_store.merkle import EMPTY_ROOT, Edge, leaf_hash, node_hash
from event_store.streams import open_kafka_stream
from tests.event_store.new_events import NOW, event
from tests.scaling import peak_megabytes
from tests.signing import signer


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    database = Database(migrated_url, INGEST, size=8)
    yield database
    database.close()


def letter_of(event: NewEvent) -> NewDeadLetter:
    return NewDeadLetter(
        event.stream, "t", 0, event.stream_position, None, None, event.body, [("h\0", b"\xff")],
        Reason.CONFLICT, "event_id", "taken",
    )  # fmt: skip


def stream_of(database: Database) -> UUID:
    with database.transaction() as connection:
        return open_kafka_stream(connection, "t", uuid4(), 0).stream


def append_some(database: Database, count: int, start: int = 0, stream: UUID | None = None) -> Appended:
    stream = stream or uuid4()
    with database.transaction() as connection:
        return append(connection, [event(stream, start + n) for n in range(count)], signer())


def naive_root(hashes: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word by word."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    half = 1
    while half * 2 < len(hashes):
        half *= 2
    return node_hash(naive_root(hashes[:half]), naive_root(hashes[half:]))


def root_from_rows(database: Database) -> bytes:
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT position, event_id, recorded_at, stream, stream_position, format, body"
            " FROM audit_trail.event ORDER BY position"
        )
        return naive_root(
            [
                leaf_hash(
                    encode_entry(
                        position, id.hex, to_us(at) + UNIX_EPOCH_US, stream.hex, stream_position, format,
                        sha256(body).hexdigest(),
                    )
                )
                for position, id, at, stream, stream_position, format, body in cursor
            ]
        )  # fmt: skip


def test_an_empty_log_has_the_root_of_the_empty_tree(database: Database) -> None:
    with database.transaction() as connection:
        appended = append(connection, [], signer())
    assert (appended.size, appended.root) == (0, EMPTY_ROOT)


def test_the_stored_root_is_the_root_that_the_rows_give_at_any_split_into_batches(database: Database) -> None:
    for count in (1, 2, 253, 1, 255, 513, 7):
        appended = append_some(database, count)
        assert appended.root == root_from_rows(database)
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT level, index FROM audit_trail.tile ORDER BY 1, 2")
        assert cursor.fetchall() == [(0, 0), (0, 1), (0, 2), (0, 3)]


def test_many_writers_give_dense_positions_and_one_tree(database: Database) -> None:
    def write() -> None:
        for _ in range(5):
            append_some(database, 50)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.transaction(read_only=True) as connection:
        assert log_size(connection) == 1000
        batch = read_events(connection, -1, 2000)
        assert [recorded.position for recorded in batch.events] == list(range(1000))
        recorded_at = [recorded.recorded_at for recorded in batch.events]
        assert recorded_at == sorted(recorded_at)
    assert append_some(database, 1).root == root_from_rows(database)


def test_a_rolled_back_append_leaves_no_trace(database: Database) -> None:
    before = append_some(database, 3)
    with database.transaction() as connection:
        append(connection, [event(uuid4(), 0)], signer())
        connection.rollback()
    assert append_some(database, 1).first == before.size


def test_the_same_event_again_is_dropped_and_counted(database: Database) -> None:
    stream = uuid4()
    known = event(stream, 0)
    with database.transaction() as connection:
        append(connection, [known], signer())
    respaced = known._replace(body=known.body.replace(b",", b" , "))
    with database.transaction() as connection:
        appended = append(
            connection, [known, respaced, event(stream, 2), known._replace(stream_position=3)], signer()
        )
    assert (appended.accepted, appended.duplicates, appended.conflicts, appended.size) == (1, 3, 0, 2)


def test_the_same_id_with_other_content_becomes_a_dead_letter(database: Database) -> None:
    stream = uuid4()
    known = event(stream, 0)
    with database.transaction() as connection:
        append(connection, [known], signer())
    fresh = event(stream, 2)
    batch = [
        event(stream, 1, id=known.event_id, actor="other"),
        fresh,
        event(stream, 3, id=fresh.event_id, actor="x"),
    ]
    with database.transaction() as connection:
        appended = append(connection, batch, signer(), conflict_letter=letter_of)
    assert (appended.accepted, appended.conflicts) == (1, 2)
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute('SELECT "offset", reason, value FROM audit_trail.dead_letter ORDER BY "offset"')
        assert [(row[0], row[1], bytes(row[2])) for row in cursor] == [
            (1, "conflict", batch[0].body),
            (3, "conflict", batch[2].body),
        ]
        found = find_event(connection, known.event_id)
        assert found is not None
        assert found.event.actor.id == "u1"


def test_ids_that_a_sender_chose_with_one_hash_take_no_longer_than_others(database: Database) -> None:
    """A UUID hashes like its number. Quadratic work would be a hundred times as long for these."""
    modulus = (1 << 61) - 1

    def seconds(ids: list[UUID]) -> float:
        with database.transaction() as connection:
            events = [event(stream, number, id=id) for number, id in enumerate(ids)]
            began = time.thread_time()
            append(connection, events, signer())
            append(connection, events, signer())
            return time.thread_time() - began

    stream = uuid4()
    usual = seconds([uuid4() for _ in range(5000)])
    chosen = [UUID(int=(2 << 80) + 1 + number * modulus) for number in range(5000)]
    assert len({hash(id) for id in chosen}) == 1
    assert seconds(chosen) < 20 * usual


def test_small_events_with_the_ids_of_large_ones_need_little_memory(database: Database) -> None:
    stream = uuid4()
    large = [event(stream, n)._replace(body=bytes(1 << 20)) for n in range(48)]
    with database.transaction() as connection:
        append(connection, large, signer())
    small = [
        each._replace(format=BodyFormat.AGGREGATE, body=b"{}", stream_position=n)
        for n, each in enumerate(large, 48)
    ]
    with database.transaction() as connection:
        found: list[Appended] = []
        again = [*small, *large]
        peak = peak_megabytes(
            lambda events: found.append(append(connection, events, signer(), conflict_letter=letter_of)),
            again,
        )
    assert (found[0].accepted, found[0].conflicts, found[0].duplicates) == (0, 48, 48)
    assert peak < 30


def test_a_late_writer_fails_the_compare_and_set_and_writes_nothing(database: Database) -> None:
    stream = stream_of(database)
    with database.transaction() as connection:
        append(connection, [event(stream, 0)], signer(), offsets=[OffsetAdvance(stream, 0, 1)])
    with pytest.raises(FencedError), database.transaction() as connection:
        append(connection, [event(stream, 0)], signer(), offsets=[OffsetAdvance(stream, 0, 1)])
    with database.transaction(read_only=True) as connection:
        assert log_size(connection) == 1


def test_a_topic_made_again_is_a_new_stream(database: Database) -> None:
    assert stream_of(database) != stream_of(database)


STATEMENTS = [
    "UPDATE audit_trail.event SET type = 'x'",
    "DELETE FROM audit_trail.event",
    "TRUNCATE audit_trail.event",
    "UPDATE audit_trail.event_000000 SET type = 'x'",
    "DELETE FROM audit_trail.event_000000",
    "TRUNCATE audit_trail.event_000000",
    "DELETE FROM audit_trail.event_identity",
    "TRUNCATE audit_trail.event_identity",
    "DELETE FROM audit_trail.log_state",
    "UPDATE audit_trail.log_state SET size = 0",
    "UPDATE audit_trail.tile SET level = 9",
    "TRUNCATE audit_trail.tile",
    "DELETE FROM audit_trail.dead_letter",
    "TRUNCATE audit_trail.dead_letter",
]


@pytest.mark.parametrize("role", [INGEST, PROJECTOR, READER, None], ids=str)
@pytest.mark.parametrize("statement", STATEMENTS)
def test_nobody_changes_what_was_appended(role: str | None, statement: str, migrated_url: str) -> None:
    """Service roles fail at the grants; the owner (no role) at the trigger."""
    database = Database(migrated_url, INGEST)
    append_some(database, 256)
    stream = stream_of(database)
    with database.transaction() as connection:
        append(connection, [], signer(), dead_letters=[letter_of(event(stream, 0))])
    database.close()
    connection = psycopg2.connect(migrated_url)
    with connection.cursor() as cursor:
        if role is not None:
            cursor.execute(f"SET ROLE {role}")
        refusals = (psycopg2.errors.RestrictViolation, psycopg2.errors.InsufficientPrivilege)
        with pytest.raises(refusals):
            cursor.execute(statement)
    connection.close()


@pytest.mark.parametrize("role", [PROJECTOR, READER])
def test_only_ingest_appends(role: str, migrated_url: str) -> None:
    connection = psycopg2.connect(migrated_url)
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {role}")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("INSERT INTO audit_trail.event_identity VALUES (gen_random_uuid(), 1)")
    connection.close()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE audit_trail.log_state SET root = sha256('x')", "root hash"),
        ("UPDATE audit_trail.log_state SET edge = ''", "edge"),
        (
            "UPDATE audit_trail.log_state SET size = 1, edge = substr(edge, 1, 32), root = substr(edge, 1, 32)",
            "differs from the last signed one",
        ),
        ("DELETE FROM audit_trail.log_state", "no state row"),
    ],
)  # fmt: skip
def test_an_append_stops_on_a_log_that_contradicts_itself(
    damage: str, says: str, database: Database, migrated_url: str
) -> None:
    append_some(database, 2)
    superuser = psycopg2.connect(migrated_url)
    with superuser, superuser.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_trail.log_state DISABLE TRIGGER ALL")
        cursor.execute(damage)
    superuser.close()
    with pytest.raises(LogInconsistentError, match=says):
        append_some(database, 1)


def test_partitions_are_made_ahead_of_the_log(database: Database, migrated_url: str) -> None:
    superuser = psycopg2.connect(migrated_url)
    with superuser, superuser.cursor() as cursor:
        size = 2**24 - 2
        edge = Edge(size, bytes(32) * sum(size // 256**level % 256 for level in range(3)))
        cursor.execute(
            "UPDATE audit_trail.log_state SET size = %s, root = %s, edge = %s",
            (size, edge.root(), edge.pack()),
        )
        insert_head(cursor, size, edge.root(), NOW, signer().sign(size, edge.root()))
    superuser.close()
    appended = append_some(database, 5)
    assert appended.size == size + 5
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_trail.event WHERE position >= 16777216")
        assert cursor.fetchone() == (3,)


def test_time_never_runs_backwards_along_the_log_whatever_the_clock_does(
    database: Database, migrated_url: str
) -> None:
    first = append_some(database, 2)
    assert not first.clock_behind
    with psycopg2.connect(migrated_url) as connection, connection.cursor() as cursor:
        # As if the clock had been an hour ahead, and was set back since.
        cursor.execute("ALTER TABLE audit_trail.event DISABLE TRIGGER USER")
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE audit_trail.event SET recorded_at = recorded_at + interval '1 hour'")
    later = [append_some(database, 1, start) for start in (2, 3)]
    assert later[0].clock_behind > timedelta(minutes=59)
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT recorded_at FROM audit_trail.event ORDER BY position")
        times = [row[0] for row in cursor.fetchall()]
    assert times[0] == times[1] < times[2] < times[3]
    assert [times[2], times[3]] == [each.recorded_at for each in later]
