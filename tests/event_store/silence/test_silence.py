"""A PostgreSQL that neither answers nor closes: every call ends within a bound, and no long statement does."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from audit_trail.embedded.postgres import EmbeddedPostgres
from domain.errors import UnavailableError
from event_store.database import Connection, Database, only, ping
from event_store.silence import monitor
from tests.frozen import BlackHole, frozen
from tests.servers import FAST, postgres_server
from tests.waiting import eventually

SECONDS = 1.0
"""Of silence until the server is asked. What follows takes some seconds more, and a busy machine takes its time."""
BOUND = 45.0

Use = Callable[[Connection], object]


@pytest.fixture(scope="module")
def server(session_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server of this module's own, which it stops and lets go on."""
    with postgres_server(session_folder / "frozen", settings=FAST) as server:
        yield server


def database_of(url: str, *, long: bool = True, size: int = 4) -> Database:
    return Database(
        url, None, size=size, application_name="silent", silence_seconds=SECONDS, long_statements=long
    )


def ask(connection: Connection, statement: str = "SELECT 17") -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return only(cursor)


def copy_in(connection: Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE many (line text)")
        cursor.copy_expert("COPY many FROM STDIN", io.StringIO("some text\n" * 5_000_000))


def copy_out(connection: Connection) -> None:
    with connection.cursor() as cursor:
        cursor.copy_expert("COPY (SELECT generate_series(1, 20000000)) TO STDOUT", io.StringIO())


def fetch(connection: Connection) -> None:
    with connection.cursor("named") as cursor:
        cursor.execute("SELECT generate_series(1, 100000000)")
        while cursor.fetchmany(10_000):
            pass


def ask_again_and_again(connection: Connection) -> None:
    while True:
        ask(connection)


def commit(connection: Connection) -> None:
    while True:
        ask(connection)
        connection.commit()


LONGER = [
    pytest.param(use, marks=pytest.mark.thorough) for use in (copy_in, copy_out, fetch, ask_again_and_again)
]


class Using(threading.Thread):
    """A thread that uses one transaction of a database."""

    def __init__(self, database: Database, use: Use) -> None:
        super().__init__(daemon=True)
        self._database = database
        self._use = use
        self.began = threading.Event()
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            with self._database.transaction() as connection:
                self.began.set()
                self._use(connection)
        except Exception as exc:  # noqa: BLE001 - for the thread that waits for it
            self.error = exc

    def ended(self) -> BaseException | None:
        self.join(BOUND)
        assert not self.is_alive(), "the call still waits"
        return self.error


def warnings(caplog: pytest.LogCaptureFixture) -> int:
    return sum(
        record.levelno == logging.WARNING and record.getMessage().startswith("database_silent: silent has")
        for record in caplog.records
    )


@pytest.mark.parametrize("use", [commit, *LONGER], ids=lambda use: use.__name__)
def test_whatever_waits_for_a_stopped_server_ends(
    server: EmbeddedPostgres, use: Use, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(database_of(server.url)) as database:
        using = Using(database, use)
        assert using.began.wait(10)
        time.sleep(0.5)
        before = monitor.silences["silent"]
        with frozen(server.pid):
            error = using.ended()
        assert isinstance(error, UnavailableError)
        assert "the database is silent: no answer to" in str(error)
        eventually(lambda: warnings(caplog) == 1)
        assert monitor.silences["silent"] == before + 1
        with database.transaction() as connection:
            assert ask(connection) == 17


def test_nor_is_a_new_connection_waited_for(server: EmbeddedPostgres) -> None:
    database = database_of(f"{server.url}&connect_timeout=2")
    with closing(database), frozen(server.pid):
        assert isinstance(Using(database, ask).ended(), UnavailableError)


def test_rested_connections_are_tested_with_a_bound_once_for_all(server: EmbeddedPostgres) -> None:
    with closing(database_of(f"{server.url}&connect_timeout=2")) as database:
        several = [
            Using(database, lambda connection: ask(connection, "SELECT pg_sleep(0.5)")) for _ in range(3)
        ]
        assert [each.ended() for each in several] == [None, None, None]
        time.sleep(1.1)
        before = monitor.silences["silent"]
        with frozen(server.pid):
            assert isinstance(Using(database, ask).ended(), UnavailableError)
        assert monitor.silences["silent"] == before + 1


def test_a_stopped_process_of_a_server_that_answers_ends_short_statements(server: EmbeddedPostgres) -> None:
    with closing(database_of(server.url, long=False)) as database:
        pids: list[int] = []

        def use(connection: Connection) -> None:
            pids.append(ask(connection, "SELECT pg_backend_pid()"))
            ask_again_and_again(connection)

        using = Using(database, use)
        eventually(lambda: bool(pids))
        with frozen(pids[0]):
            assert isinstance(using.ended(), UnavailableError)


def test_a_long_statement_is_left_alone_and_so_is_one_that_waits_for_a_lock(server: EmbeddedPostgres) -> None:
    with closing(database_of(server.url)) as database, database.transaction() as holder:
        ask(holder, "SELECT pg_advisory_xact_lock(1) IS NULL")
        sleeping = Using(database, lambda connection: ask(connection, "SELECT pg_sleep(6)"))
        waiting = Using(database, lambda connection: ask(connection, "SELECT pg_advisory_xact_lock(1)"))
        assert sleeping.ended() is None
        holder.rollback()
        assert waiting.ended() is None


def test_a_copy_whose_other_end_is_slow_is_left_alone(server: EmbeddedPostgres) -> None:
    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            time.sleep(3 * SECONDS)
            return len(text)

    def use(connection: Connection) -> None:
        with connection.cursor() as cursor:
            cursor.copy_expert("COPY (SELECT generate_series(1, 2)) TO STDOUT", Slow())

    with closing(database_of(server.url, long=False)) as database:
        assert Using(database, use).ended() is None


def test_a_short_statement_that_is_only_slow_succeeds_in_the_end(server: EmbeddedPostgres) -> None:
    with closing(database_of(server.url, long=False)) as database:
        outcomes: list[BaseException | None] = []
        while not outcomes or (outcomes[-1] is not None and len(outcomes) < 6):
            outcomes.append(Using(database, lambda connection: ask(connection, "SELECT pg_sleep(3)")).ended())
        assert outcomes[-1] is None
        assert all(isinstance(error, UnavailableError) for error in outcomes[:-1])


@pytest.mark.parametrize("stopped", [False, True])
def test_a_request_to_cancel_ends_the_statement_and_is_no_wait_for_a_stopped_server(
    server: EmbeddedPostgres, stopped: bool
) -> None:
    with closing(Database(server.url, None, application_name="silent")) as database:
        connections: list[Connection] = []

        def use(connection: Connection) -> None:
            connections.append(connection)
            ask(connection, "SELECT pg_sleep(60)")

        using = Using(database, use)
        eventually(lambda: bool(connections))
        time.sleep(0.5)
        with frozen(server.pid) if stopped else nullcontext():
            connections[0].cancel()
            assert isinstance(using.ended(), UnavailableError)


@pytest.fixture
def hole(server: EmbeddedPostgres) -> Iterator[BlackHole]:
    parts = parse_dsn(server.url)
    hole = BlackHole(f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}")
    yield hole
    hole.close()


def through(hole: BlackHole, server: EmbeddedPostgres, **options: object) -> str:
    return str(make_dsn(server.url, host="127.0.0.1", port=hole.port, **options))


@pytest.mark.parametrize(
    "use",
    [commit, *LONGER],
    ids=lambda use: use.__name__,
)
def test_whatever_waits_behind_a_black_hole_ends(server: EmbeddedPostgres, hole: BlackHole, use: Use) -> None:
    with closing(database_of(through(hole, server))) as database:
        using = Using(database, use)
        assert using.began.wait(10)
        time.sleep(0.5)
        with hole.silent():
            assert isinstance(using.ended(), UnavailableError)


def test_a_connection_that_the_server_has_forgotten_is_ended_although_the_server_answers(
    server: EmbeddedPostgres, hole: BlackHole
) -> None:
    """A firewall drops what belongs to old connections, and lets new ones in."""
    with closing(database_of(through(hole, server))) as database:
        with database.transaction() as connection:
            pid = ask(connection, "SELECT pg_backend_pid()")
        using = Using(database, ask_again_and_again)
        assert using.began.wait(10)
        database._watch.dsn = server.url  # the way around the hole
        with hole.silent():
            assert isinstance(using.ended(), UnavailableError)
        assert pid


def test_a_connection_that_sleeps_is_tested_with_a_bound(server: EmbeddedPostgres) -> None:
    with closing(database_of(server.url)) as database, closing(database.connect()) as connection:
        ping(connection)
        with frozen(server.pid):
            began = time.monotonic()
            with pytest.raises(UnavailableError, match="silent"):
                ping(connection)
            assert time.monotonic() - began < BOUND


def test_the_kernel_is_told_to_notice_a_host_that_is_gone_and_the_url_goes_before(migrated_url: str) -> None:
    def parameters(url: str) -> dict[str, str]:
        with (
            closing(Database(url, None, silence_seconds=8)) as database,
            database.transaction() as connection,
        ):
            return dict(connection.info.dsn_parameters)

    ours = parameters(migrated_url)
    assert (ours["keepalives"], ours["keepalives_idle"], ours["tcp_user_timeout"]) == ("1", "8", "8000")
    assert ours["connect_timeout"] == "10"
    theirs = parameters(f"{migrated_url}&keepalives_idle=99&tcp_user_timeout=7&connect_timeout=3")
    assert (theirs["keepalives_idle"], theirs["tcp_user_timeout"], theirs["connect_timeout"]) == (
        "99",
        "7",
        "3",
    )
