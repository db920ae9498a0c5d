"""The pool: it waits, it survives the server, and the driver's errors come out as ours."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import psycopg2
import pytest

from domain.errors import ConfigurationError, TooSlowError, UnavailableError
from event_store.database import READER, Database, only, translated
from event_store.statement_errors import StatementError
from tests.servers import postgres_server
from tests.waiting import eventually


def ask(database: Database) -> int:
    with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 17")
        return int(only(cursor))


def test_a_caller_waits_for_a_connection_and_gets_one(migrated_url: str) -> None:
    database = Database(migrated_url, READER, size=1)
    answers: list[int] = []
    with database.transaction():
        waiting = threading.Thread(target=lambda: answers.append(ask(database)))
        waiting.start()
        time.sleep(0.2)
        assert answers == []
    waiting.join(10)
    assert answers == [17]
    database.close()


def test_after_a_restart_of_the_server_a_rested_pool_answers_at_once(server_folder: Path) -> None:
    with postgres_server(server_folder / "postgres") as server:
        database = Database(server.url, None)
        assert ask(database) == 17
        server.stop()
        with pytest.raises(UnavailableError):
            ask(database)
        server.start()
        assert ask(database) == 17
        server.stop()
        server.start()
        time.sleep(1.1)
        assert ask(database) == 17
        database.close()


def kill_under(database: Database, statement: str) -> None:
    """Kill the server process of a connection, before or within a statement."""
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        killer = threading.Timer(0.1, os.kill, (only(cursor), signal.SIGKILL))
        killer.start()
        if "sleep" not in statement:
            killer.join()
        cursor.execute(statement)


def test_a_server_process_that_is_killed_is_a_database_that_is_away(server_folder: Path) -> None:
    with postgres_server(server_folder / "postgres") as server:
        database = Database(server.url, None)
        for statement in ("SELECT 1", "SELECT pg_sleep(9)", "SELECT 1"):
            with pytest.raises(UnavailableError, match="away"):
                kill_under(database, statement)
            eventually(partial(_answers, database))  # the server ends all its processes, and begins anew
        database.close()


def _answers(database: Database) -> bool:
    try:
        return ask(database) == 17
    except UnavailableError:
        return False


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        (psycopg2.DatabaseError("server closed the connection unexpectedly"), True),
        (psycopg2.InterfaceError("connection already closed"), True),
        (psycopg2.DataError("a value"), False),
    ],
)
def test_the_driver_tells_of_a_lost_connection_in_several_classes(error: psycopg2.Error, gone: bool) -> None:
    with pytest.raises(UnavailableError if gone else StatementError), translated():
        raise error


def test_a_query_that_takes_too_long_is_ended_and_the_connection_stays(migrated_url: str) -> None:
    database = Database(migrated_url, READER, statement_timeout_ms=100)
    with (
        pytest.raises(TooSlowError, match="took longer"),
        database.transaction() as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT pg_sleep(5)")
    assert ask(database) == 17
    database.close()


def test_what_ends_a_snapshot_of_one_call_ends_no_more_than_that(migrated_url: str) -> None:
    database = Database(migrated_url, READER, size=1, statement_timeout_ms=100)

    def ask_at_once(statement: str = "SELECT 17", *, ended: bool = False) -> int:
        with database.snapshots() as connection, connection.cursor() as cursor:
            if ended:
                _terminate(migrated_url, connection.info.backend_pid)
            cursor.execute(statement)
            return int(only(cursor))

    with pytest.raises(TooSlowError):
        ask_at_once("SELECT pg_sleep(5)")
    assert (ask_at_once(), ask(database)) == (17, 17)
    with pytest.raises(UnavailableError, match="away"):
        ask_at_once(ended=True)
    assert (ask_at_once(), ask(database)) == (17, 17)
    database.close()


def _terminate(url: str, pid: int) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        assert only(cursor)


def test_a_role_that_is_missing_says_what_to_do(migrated_url: str) -> None:
    with pytest.raises(ConfigurationError, match="audit-trail migrate"):
        ask(Database(migrated_url, "audit_trail_nobody"))
