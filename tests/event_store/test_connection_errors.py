"""A database that is away is waited for; a wrong setting stops: each error as the real server gives it."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import make_dsn, parse_dsn

from audit_trail.embedded.broker import LOOPBACK, free_ports
from audit_trail.embedded.postgres import EmbeddedPostgres
from domain.errors import ConfigurationError, UnavailableError
from event_store.connection_errors import connection_error
from event_store.database import INGEST, READER, Connection, Database
from event_store.migrations import migrate
from event_store.refusal_codes import refusal_code
from tests.foreign_server import tls_of_127_0_0_1
from tests.servers import FAST, postgres_server
from tests.waiting import eventually

RULES = """\
local all postgres trust
local all peer peer
local all rejected reject
local all all scram-sha-256
host all tcp 127.0.0.1/32 trust
"""
ROLES = """
CREATE ROLE ada LOGIN PASSWORD 'right';
CREATE ROLE few LOGIN PASSWORD 'right' CONNECTION LIMIT 0;
CREATE ROLE bob PASSWORD 'right';
CREATE ROLE peer LOGIN;
CREATE ROLE rejected LOGIN;
"""
MAINTENANCE = "database_for_maintenance"


class Server:
    """A server that asks for passwords on its Unix socket, and trusts the login `tcp` on TCP.

    The embedded server is built without TLS, so TLS ends in front of it, on the port `tls`.
    """

    def __init__(self, postgres: EmbeddedPostgres, port: int, tls: TlsEnd) -> None:
        self.postgres = postgres
        self.places = {
            "tcp": {"host": LOOPBACK, "port": port, "user": "tcp"},
            "tls": {"host": LOOPBACK, "port": tls.port, "sslrootcert": tls.ca, "sslmode": "verify-full"},
        }

    def dsn(self, place: str = "", **changes: Any) -> str:
        login = {"user": "ada", "password": "right"}
        return str(make_dsn(self.postgres.url, **login | self.places.get(place, {}) | changes))

    def admin(self) -> Connection:
        connection = psycopg2.connect(self.postgres.url_for("postgres"))
        connection.autocommit = True
        return connection


class TlsEnd:
    """Takes PostgreSQL's request for TLS, and passes what follows to the server's Unix socket."""

    def __init__(self, folder: Path, server: str) -> None:
        self._context, self.ca = tls_of_127_0_0_1(folder)
        self._server = server
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError), plain:
            plain.recv(8)
            plain.sendall(b"S")
            with (
                self._context.wrap_socket(plain, server_side=True) as client,
                socket.socket(socket.AF_UNIX) as server,
            ):
                server.connect(self._server)
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def server(session_folder: Path) -> Iterator[Server]:
    folder = session_folder / "strict"
    folder.mkdir(mode=0o711)
    (port,) = free_ports(1)
    settings = FAST | {"listen_addresses": LOOPBACK, "port": str(port), "max_connections": "20"}
    with postgres_server(folder / "postgres", settings=settings) as postgres:
        with closing(psycopg2.connect(postgres.url)) as admin, admin.cursor() as cursor:
            cursor.execute(f"{ROLES}CREATE ROLE tcp LOGIN")
            admin.commit()
            admin.autocommit = True
            cursor.execute(f"CREATE DATABASE {MAINTENANCE} ALLOW_CONNECTIONS false")
            cursor.execute("CREATE DATABASE private")
            cursor.execute("REVOKE CONNECT ON DATABASE private FROM PUBLIC")
            (postgres.data_dir / "pg_hba.conf").write_text(RULES)
            cursor.execute("SELECT pg_reload_conf()")
            socket_folder = parse_dsn(postgres.url)["host"]
        with closing(TlsEnd(folder, f"{socket_folder}/.s.PGSQL.{port}")) as tls:
            server = Server(postgres, port, tls)
            eventually(lambda: is_refused(server.dsn(password="wrong")))
            yield server


def is_refused(dsn: str) -> bool:
    try:
        psycopg2.connect(dsn).close()
    except psycopg2.OperationalError:
        return True
    return False


@pytest.mark.parametrize("place", ["", "tcp", "tls"])
def test_the_right_settings_connect(server: Server, place: str) -> None:
    Database(server.dsn(place), None).connect().close()


@pytest.mark.parametrize(
    ("place", "changes", "says"),
    [
        ("", {"password": "wrong"}, 'password authentication failed for user "ada"'),
        ("", {"user": "nobody"}, 'password authentication failed for user "nobody"'),
        ("", {"user": "nobody", "password": ""}, "no password supplied"),
        ("", {"user": "bob"}, "is not permitted to log in"),
        ("", {"user": "peer"}, "authentication failed"),
        ("", {"user": "rejected"}, "pg_hba.conf"),
        ("", {"dbname": "nowhere"}, 'database "nowhere" does not exist'),
        ("", {"dbname": "private"}, "permission denied for database"),
        ("", {"options": "-c no_such_setting=1"}, "options"),
        ("", {"options": "-c work_mem=many"}, "options"),
        ("tcp", {"user": "nobody"}, "pg_hba.conf"),
        ("tcp", {"sslmode": "require"}, "does not support SSL"),
        ("tls", {"sslrootcert": "/missing/ca.pem"}, '"/missing/ca.pem" does not exist'),
        ("tls", {"sslrootcert": __file__}, "sslmode and the certificate files"),
        ("tls", {"sslcert": __file__, "sslkey": __file__}, "the certificate files"),
        ("tls", {"sslrootcert": "other"}, "certificate verify failed"),
        ("tls", {"host": "localhost"}, "does not match host name"),
        ("tls", {"sslmode": "maybe"}, "sslmode"),
        ("", {"port": "hidden-word"}, "it is invalid: check the database URL"),
        ("", {"port": "70000"}, "it is invalid: check the database URL"),
    ],
)
def test_what_an_operator_must_correct_stops(
    server: Server, tmp_path: Path, place: str, changes: dict[str, Any], says: str
) -> None:
    if changes.get("sslrootcert") == "other":
        changes = changes | {"sslrootcert": tls_of_127_0_0_1(tmp_path)[1]}
    with pytest.raises(ConfigurationError, match="can't connect to the database") as refused:
        Database(server.dsn(place, **changes), None).connect()
    assert says in str(refused.value)
    assert "hidden-word" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"user": "few"}, "no connection left"),
        ({"dbname": MAINTENANCE}, "not currently accepting connections"),
        ({"host": "nowhere.invalid"}, "the name of its host can't be resolved"),
        ({"host": LOOPBACK, "port": 1}, "refused"),
        ({"host": "/missing"}, "No such file"),
        ({"target_session_attrs": "standby"}, "hot standby"),
    ],
)
def test_what_may_pass_is_waited_for(server: Server, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UnavailableError) as away:
        Database(server.dsn(**changes), None).connect()
    assert says in str(away.value)


@pytest.mark.parametrize(
    ("place", "changes", "code"),
    [
        ("", {}, None),
        ("", {"password": "wrong"}, "28P01"),
        ("", {"user": "bob"}, "28000"),
        ("", {"user": "rejected"}, "28000"),
        ("", {"dbname": "nowhere"}, "3D000"),
        ("", {"dbname": "private"}, "42501"),
        ("", {"user": "few"}, "53300"),
        ("", {"options": "-c no_such_setting=1"}, "42704"),
        ("", {"options": "-c work_mem=many"}, "22023"),
        ("tcp", {"port": 1}, None),
        ("tls", {"password": "wrong"}, "28P01"),
    ],
)
def test_the_servers_code_is_found_without_its_words(
    server: Server, place: str, changes: dict[str, Any], code: str | None
) -> None:
    assert refusal_code(server.dsn(place, **changes)) == code


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"password": "wrong"}, ConfigurationError),
        ({"dbname": "nowhere"}, ConfigurationError),
        ({"dbname": "private"}, ConfigurationError),
        ({"user": "bob"}, ConfigurationError),
        ({"user": "few"}, UnavailableError),
        ({}, UnavailableError),
    ],
)
def test_a_server_that_writes_another_language_is_understood(
    server: Server, changes: dict[str, Any], error: type[Exception]
) -> None:
    """The code is the real server's. Its text is German, as lc_messages = de_DE gives it."""
    text = 'connection to server on socket "/s" failed: FATAL:  Passwort-Authentifizierung gescheitert\n'
    found = connection_error(text, lambda: refusal_code(server.dsn(**changes)))
    assert type(found) is error
    assert "Passwort-Authentifizierung gescheitert" in str(found) or changes == {"user": "few"}


def test_a_failure_of_the_network_is_not_asked_for_a_code() -> None:
    text = 'connection to server at "::1", port 5432 failed: Verbindungsaufbau abgelehnt\n'
    assert isinstance(connection_error(text, lambda: "28P01"), UnavailableError)


def test_the_last_address_that_was_tried_decides() -> None:
    refused = 'connection to server at "::1", port 5432 failed: Connection refused\n'
    password = (
        'connection to server at "127.0.0.1", port 5432 failed: FATAL:  password authentication failed\n'
    )
    assert isinstance(connection_error(refused + password), ConfigurationError)
    assert isinstance(connection_error(password + refused), UnavailableError)


@pytest.mark.parametrize(
    "statements",
    [
        ["SET idle_in_transaction_session_timeout = 50", "wait", "SELECT 1"],
        pytest.param(
            ["SET LOCAL transaction_timeout = 50", "SELECT pg_sleep(1)"], marks=pytest.mark.needs_postgres(17)
        ),
        ["SELECT pg_terminate_backend(pg_backend_pid())"],
    ],
)
def test_after_the_server_ended_a_session_a_new_one_begins(server: Server, statements: list[str]) -> None:
    with closing(Database(server.postgres.url, None)) as database:
        with pytest.raises(UnavailableError, match="away"):
            execute(database, *statements)
        execute(database, "SELECT 1")


def execute(database: Database, *statements: str) -> None:
    with database.transaction() as connection, connection.cursor() as cursor:
        for statement in statements:
            if statement == "wait":
                time.sleep(0.3)
            else:
                cursor.execute(statement)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("53100", "its disk is full"),
        ("53200", "out of memory"),
        ("53300", "no connection left"),
        ("25006", "read-only"),
        ("40001", "away"),
        ("08006", "away"),
        ("57P01", "away"),
        ("57P03", "away"),
        ("58030", "away"),
    ],
)
def test_a_condition_of_the_server_that_passes_is_waited_for(server: Server, code: str, says: str) -> None:
    with (
        closing(Database(server.postgres.url, None)) as database,
        pytest.raises(UnavailableError, match=says),
    ):
        execute(database, f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{code}'; END $$")


def test_a_database_that_is_dropped_stops(server: Server) -> None:
    with (
        closing(server.admin()) as admin,
        admin.cursor() as cursor,
        closing(Database(server.dsn(dbname="going", user="postgres"), None)) as database,
    ):

        def use_while_it_is_dropped() -> None:
            with database.transaction() as connection:
                cursor.execute("DROP DATABASE going WITH (FORCE)")
                connection.cursor().execute("SELECT 1")

        cursor.execute("CREATE DATABASE going")
        with pytest.raises(UnavailableError):
            use_while_it_is_dropped()
        with pytest.raises(ConfigurationError, match='"going" does not exist'):
            execute(database, "SELECT 1")


def test_a_password_that_was_changed_stops_new_connections(server: Server) -> None:
    with closing(server.admin()) as admin, admin.cursor() as cursor:
        cursor.execute("CREATE ROLE eve LOGIN PASSWORD 'old'")
        with (
            closing(Database(server.dsn(user="eve", password="old"), None, size=2)) as database,
            database.transaction() as connection,
        ):
            cursor.execute("ALTER ROLE eve PASSWORD 'new'")
            connection.cursor().execute("SELECT 1")
            with pytest.raises(ConfigurationError, match="password authentication"):
                execute(database, "SELECT 1")


def test_a_standby_is_waited_for_until_it_is_promoted(server_folder: Path) -> None:
    folder = server_folder / "postgres"
    with postgres_server(folder, settings=FAST) as postgres:
        migrate(postgres.url)
    (folder / "cluster" / "standby.signal").touch()
    with (
        postgres_server(folder, settings=FAST) as standby,
        closing(Database(standby.url, INGEST)) as ingest,
        closing(Database(standby.url, READER)) as reader,
    ):
        with pytest.raises(UnavailableError, match="it is read-only"), ingest.transaction() as connection:
            connection.cursor().execute("UPDATE audit_trail.log_state SET size = size")
        with pytest.raises(UnavailableError, match="it is read-only"):
            migrate(standby.url)
        with reader.transaction(read_only=True) as connection:  # a read replica is one
            connection.cursor().execute("SELECT 1")
        with closing(psycopg2.connect(standby.url)) as admin, admin.cursor() as cursor:
            cursor.execute("SELECT pg_promote()")
        assert migrate(standby.url) == []


def test_a_server_that_shuts_down_is_waited_for(server_folder: Path) -> None:
    with postgres_server(server_folder / "postgres", settings=FAST) as postgres:
        with closing(psycopg2.connect(postgres.url)) as connection:
            connection.cursor().execute("SELECT 1")
            os.kill(postgres.pid, signal.SIGTERM)  # waits for the sessions to end
            eventually(lambda: "shutting down" in refusal(postgres.url))
        eventually(lambda: "No such file" in refusal(postgres.url) or "refused" in refusal(postgres.url))


def refusal(url: str) -> str:
    try:
        Database(url, None).connect().close()
    except UnavailableError as exc:
        return str(exc)
    return ""


@pytest.mark.parametrize(
    "message",
    [
        "the database system is starting up",
        "the database system is not yet accepting connections",
        "the database system is in recovery mode",
        "server closed the connection unexpectedly",
        "a text in another language",
    ],
)
def test_moments_of_a_server_that_starts_are_waited_for(message: str) -> None:
    error = connection_error(f'connection to server at "127.0.0.1", port 5432 failed: FATAL:  {message}')
    assert isinstance(error, UnavailableError)
