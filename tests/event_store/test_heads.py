"""Signed heads: one with every batch, and never one for a state that this log's keys did not sign."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest

from domain.errors import ConfigurationError, LogInconsistentError
from event_store.append import Appended, append
from event_store.database import INGEST, Database
from event_store.first_signature import sign_empty
from event_store.heads import head_at, newest_head, stored_keys
from event_store.merkle import EMPTY_ROOT
from event_store.signing import HeadSigner, create_key_file, new_key, read_key_file, read_signer
from event_store.stored_tree import StoredTree
from event_store.tlog.notes import SigningKey
from event_store.tlog.proofs import root_at
from event_store.tlog.tree_heads import open_head
from tests.event_store.new_events import event
from tests.signing import KEY, signer


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    with closing(Database(migrated_url, INGEST, size=8)) as database:
        yield database


def add(database: Database, count: int, by: HeadSigner, *, fail: bool = False) -> Appended:
    with database.transaction() as connection:
        appended = append(connection, [event(uuid4(), n) for n in range(count)], by)
        if fail:
            raise ZeroDivisionError
        return appended


def superuser(url: str, *statements: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        for statement in statements:
            cursor.execute(statement)


def test_every_batch_has_its_signed_head_and_so_has_the_empty_log(database: Database) -> None:
    by = signer()
    add(database, 0, by)
    for count in (1, 300, 7):
        add(database, count, by)
    with database.transaction(read_only=True) as connection:
        tree = StoredTree(connection)
        for size in (0, 1, 301, 308):
            stored = head_at(connection, size)
            assert stored is not None
            head, _ = open_head(stored.checkpoint, [KEY.verifier], "audit-trail.test/log")
            assert (head.size, head.root) == (size, root_at(size, tree.nodes))
        assert head_at(connection, 300) is None
        assert stored_keys(connection) == [KEY.verifier]
        empty = head_at(connection, 0)
        assert empty is not None
        assert empty.root == EMPTY_ROOT


def test_two_writers_sign_one_history(database: Database) -> None:
    def write() -> None:
        by = signer()
        for _ in range(20):
            add(database, 3, by)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with database.transaction(read_only=True) as connection:
        tree = StoredTree(connection)
        assert tree.size == 240
        with connection.cursor() as cursor:
            cursor.execute("SELECT size, root FROM audit_trail.tree_head ORDER BY size")
            heads = cursor.fetchall()
        assert [size for size, _ in heads] == [*range(0, 241, 3)]
        assert all(bytes(root) == root_at(size, tree.nodes) for size, root in heads)


def test_a_batch_that_is_rolled_back_leaves_no_head_and_the_next_one_goes_on(database: Database) -> None:
    by = signer()
    add(database, 1, by)
    with pytest.raises(ZeroDivisionError):
        add(database, 1, by, fail=True)
    assert add(database, 1, by).size == 2


def test_a_first_batch_that_is_rolled_back_does_not_cost_the_log_its_key(database: Database) -> None:
    by = signer()
    with pytest.raises(ZeroDivisionError):
        add(database, 0, by, fail=True)
    add(database, 1, by)
    with database.transaction(read_only=True) as connection:
        assert stored_keys(connection) == [KEY.verifier]
        assert head_at(connection, 0) is not None


def test_a_state_that_someone_without_the_key_wrote_is_never_signed(
    database: Database, migrated_url: str
) -> None:
    add(database, 3, signer())
    # One event less, and a tree that agrees with it: all that a superuser can do without the key.
    superuser(
        migrated_url,
        "DELETE FROM audit_trail.event WHERE position = 2",
        "UPDATE audit_trail.log_state SET size = 2, edge = substr(edge, 1, 64),"
        " root = sha256('\\x01'::bytea || substr(edge, 1, 64))",
    )
    with pytest.raises(LogInconsistentError, match="differs from the last signed one"):
        add(database, 1, signer())


def test_heads_that_were_deleted_stop_the_log(database: Database, migrated_url: str) -> None:
    add(database, 3, signer())
    superuser(migrated_url, "DELETE FROM audit_trail.tree_head")
    with pytest.raises(LogInconsistentError, match="3 events and no signed head"):
        add(database, 1, signer())


def test_a_writer_notices_that_the_database_under_it_became_an_older_one(
    database: Database, migrated_url: str
) -> None:
    by = signer()
    add(database, 1, by)
    add(database, 2, by)
    add(database, 3, by)  # the writer has now found the state of 3 events committed
    superuser(
        migrated_url,
        "DELETE FROM audit_trail.event WHERE position > 0",
        "DELETE FROM audit_trail.event_identity WHERE position > 0",
        "DELETE FROM audit_trail.tree_head WHERE size > 1",
        "UPDATE audit_trail.log_state SET size = 1, edge = substr(edge, 1, 32), root = substr(edge, 1, 32)",
    )
    with pytest.raises(LogInconsistentError, match="went back from 3 events to 1"):
        add(database, 1, by)


def test_another_key_may_not_go_on_with_the_log_unless_it_names_the_old_one(database: Database) -> None:
    add(database, 2, signer())
    new = SigningKey.generate("audit-trail.test/log")
    with pytest.raises(LogInconsistentError, match="not signed by a key of this log"):
        add(database, 1, HeadSigner([new]))
    both = HeadSigner([KEY, new])
    add(database, 1, both)
    after = HeadSigner([new], [KEY.verifier])
    add(database, 1, after)
    with database.transaction(read_only=True) as connection:
        head = newest_head(connection)
        assert head is not None
        assert open_head(head.checkpoint, [new.verifier])[0].size == 4
        assert stored_keys(connection) == [KEY.verifier, new.verifier]
        overlapping = head_at(connection, 3)
        assert overlapping is not None
        for key in (KEY, new):
            assert open_head(overlapping.checkpoint, [key.verifier])[0].size == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_trail.tree_head SET note = ''",
        "DELETE FROM audit_trail.tree_head",
        "DELETE FROM audit_trail.log_key",
        "TRUNCATE audit_trail.cosignature",
    ],
)
def test_heads_are_append_only_even_for_their_owner(
    statement: str, database: Database, migrated_url: str
) -> None:
    add(database, 1, signer())
    with (
        closing(psycopg2.connect(migrated_url)) as owner,
        owner.cursor() as cursor,
        pytest.raises(psycopg2.errors.RestrictViolation),
    ):
        cursor.execute(statement)


def test_a_key_file_is_its_owners_alone_and_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "log-key"
    create_key_file(file, new_key("hospital.example/audit"))
    assert file.stat().st_mode & 0o777 == 0o600
    assert read_signer(read_key_file(file)).origin == "hospital.example/audit"
    with pytest.raises(ConfigurationError, match="never overwritten"):
        create_key_file(file, new_key("hospital.example/audit"))
    file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_key_file(file)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no signing key"),
        ("PRIVATE+KEY+a+00000000+AAAA\n", "line 1"),
        (KEY.verifier.encode(), "no signing key"),
        (new_key("one.example/log") + new_key("two.example/log"), "2 logs"),
        ("# a comment\n\nnonsense", "line 3"),
    ],
    ids=["empty", "short", "public", "two", "nonsense"],
)
def test_a_key_file_that_says_something_else_is_refused_without_repeating_it(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_signer(text)
    assert not any(line in str(caught.value) for line in text.split() if len(line) > 20)


def test_an_empty_log_is_signed_once_and_goes_on_from_there(database: Database) -> None:
    by = signer()
    assert [sign_empty(database, by), sign_empty(database, signer())] == [True, False]
    with database.transaction(read_only=True) as connection:
        first = newest_head(connection)
    assert first is not None
    head, _ = open_head(first.checkpoint, [KEY.verifier], "audit-trail.test/log")
    assert (head.size, head.root) == (0, EMPTY_ROOT)
    add(database, 3, by)
    add(database, 2, signer())
    assert sign_empty(database, by) is False
    with database.transaction(read_only=True) as connection:
        newest, again = newest_head(connection), head_at(connection, 0)
        assert stored_keys(connection) == [KEY.verifier]
    assert newest is not None
    assert (newest.size, again) == (5, first)


def test_several_processes_sign_an_empty_log_once(database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        signed = list(pool.map(lambda _: sign_empty(database, signer()), range(8)))
    assert signed.count(True) == 1
