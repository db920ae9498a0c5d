"""What an analyst's file may not do: its SQL is confined by the database, and its role by grants and policies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import errors, sql

from domain.errors import ConfigurationError
from event_store.database import Database
from projections.custom.access import begin_custom, bind_custom
from projections.custom.source_file import CustomProjector, load_custom
from projections.errors import CodeError
from projections.registry import register
from tests.databases import MIGRATED, Databases
from tests.projections.custom.analyst import HEAD, PYTHON, bound, custom_database, execute, project, write
from tests.trail import Trail, an_event

ONE = """
from projections.authoring import *
name = "mine"
version = 1
tables = (Table("mine", ("id",), (Column("id", Kind.TEXT), Column("events", Kind.BIGINT, SUM))),)
sql = {{"mine": '''
{query}
'''}}
"""


@pytest.fixture(scope="module")
def trail(databases: Databases) -> Iterator[Trail]:
    """One trail for all: what is tried here changes nothing."""
    with databases.copy(MIGRATED) as url:
        trail = Trail(url)
        trail.given(an_event())
        yield trail
        trail.close()


@pytest.fixture(scope="module")
def own(trail: Trail, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The database as the Python of a file can have it at most, when its process has the documented login."""
    project(trail, write(tmp_path_factory.mktemp("own"), HEAD + PYTHON))
    with closing(custom_database(trail)) as database:
        yield database


def written(folder: Path, query: str) -> Path:
    file = folder / "mine.py"
    file.write_text(ONE.format(query=query), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (
            "SELECT type AS id, 1::bigint AS events FROM batch; DROP TABLE audit_trail.event",
            "one SELECT per table",
        ),
        ("RESET ROLE", "this is no SELECT"),
        ("SET ROLE postgres", "this is no SELECT"),
        ("COPY (SELECT 1) TO PROGRAM 'id'", "this is no SELECT"),
        ("DELETE FROM user_v3.user_action RETURNING *", "this is no SELECT"),
        (
            "SELECT 'x' AS id, 1::bigint AS events FROM audit_trail.event",
            "permission denied for schema audit_trail",
        ),
        ("SELECT user_id AS id, events FROM user_v3.user_action", "permission denied for schema user_v3"),
        (
            "WITH gone AS (DELETE FROM batch RETURNING 1) SELECT 'x' AS id, 1::bigint AS events",
            'relation "batch" does not exist',
        ),
        ("SELECT pg_read_file('/etc/passwd') AS id, 1::bigint AS events", "pg_read_file is not allowed"),
        (
            "SELECT set_config('role', 'postgres', false) AS id, 1::bigint AS events",
            "set_config is not allowed",
        ),
        (
            "SELECT query_to_xml('SELECT 1', true, true, '')::text AS id, 1::bigint AS events",
            "query_to_xml is not",
        ),
        ("SELECT pg_sleep(1)::text AS id, 1::bigint AS events", "pg_sleep is not allowed"),
        (
            "SELECT pg_advisory_lock(7021799)::text AS id, 1::bigint AS events",
            "pg_advisory_lock is not allowed",
        ),
        ('SELECT "pg_sleep"(1)::text AS id, 1::bigint AS events', "pg_sleep is not allowed"),
        ('SELECT U&"pg\\\\005fsleep"(1)::text AS id, 1::bigint AS events', "Unicode escapes"),
        ("SELECT random()::text AS id, 1::bigint AS events FROM batch", "random is not allowed"),
        ("SELECT now()::text AS id, 1::bigint AS events FROM batch", "now is not allowed"),
        ("SELECT current_date::text AS id, 1::bigint AS events FROM batch", "current_date is not allowed"),
        (
            "SELECT dblink('x', 'y') AS id, 1::bigint AS events FROM batch",
            "function dblink(unknown, unknown) does not",
        ),
        ("SELECT type AS id, 1::bigint AS events FROM batch) AS a, (SELECT 1", "closes nothing"),
        ("SELECT type AS id, (1::bigint AS events FROM batch", "not closed"),
        ("SELECT 'type AS id, 1::bigint AS events FROM batch", "this quote is not closed"),
        ("SELECT type AS id, 1::bigint AS events FROM batch /* and", "this comment is not closed"),
        ("SELECT $1::text AS id, 1::bigint AS events FROM batch", "takes no parameters"),
        (
            "SELECT type AS id, 1 AS events FROM batch",
            "column events is of type integer: cast it with ::bigint",
        ),
        (
            "SELECT query AS id, 1::bigint AS events FROM pg_stat_get_activity(NULL)",
            "pg_stat_get_activity is not",
        ),
        ("SELECT rolname::text AS id, 1::bigint AS events FROM pg_roles", "pg_roles is not allowed"),
        ("SELECT usename::text AS id, 1::bigint AS events FROM pg_stat_activity", "pg_stat_activity is not"),
        ('SELECT x AS id, 1::bigint AS events FROM "pg_catalog"."pg_class"', "pg_catalog is not allowed"),
        ("SELECT x AS id, 1::bigint AS events FROM Information_Schema.tables", "information_schema is not"),
        ("SELECT type AS id FROM batch", "gives no column events"),
        (
            "SELECT type AS id, 1::bigint AS events, 2 AS more FROM batch",
            "gives a column 'more', which is not declared",
        ),
        ("SELECT\n typ AS id, 1::bigint AS events FROM batch", 'column "typ" does not exist'),
        ("SELECT type AS id, 1::bigint AS events\nFORM batch", "syntax error"),
    ],
)
def test_a_select_that_is_none_or_not_pure_is_refused_with_its_line(
    trail: Trail, tmp_path: Path, query: str, error: str
) -> None:
    with pytest.raises(CodeError, match=r"^mine.py:\d+: ") as caught:
        bound(trail, written(tmp_path, query))
    assert error in str(caught.value)


def test_the_line_is_that_of_the_fault(trail: Trail, tmp_path: Path) -> None:
    with pytest.raises(CodeError, match=r'^mine.py:9: table mine: column "typ" does not exist'):
        bound(trail, written(tmp_path, "SELECT -- what\n 1::bigint AS events,\n typ AS id FROM batch"))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT set_config('role', 'none', false)",
        "SELECT set_config('session_authorization', 'postgres', false)",
        "SELECT 'x' FROM audit_trail.event",
        "SELECT 'x' FROM user_v3.user_action",
        "SELECT 'x' FROM mine_v1.mine",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT lo_import('/etc/passwd')::text",
        "SELECT pg_ls_dir('.')",
        "SELECT 'x'; SELECT 'y'",
        "RESET ROLE",
        "DROP TABLE user_v3.user_action",
        "INSERT INTO audit_trail.own_projection (name, created_by) VALUES ('x', 'x') RETURNING 'x'",
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "CREATE TABLE public.mine (id int)",
        "DO $$ BEGIN PERFORM 1; END $$",
        "WITH x AS (INSERT INTO mine_v1.mine_log VALUES (1, 'x', NULL) RETURNING 1) SELECT 'x'",
        "SELECT query_to_xml('SELECT * FROM audit_trail.event', true, true, '')::text",
        "SELECT lo_creat(-1)::text",
    ],
)
@pytest.mark.parametrize("read_only", [True, False])
def test_the_function_that_runs_selects_is_safe_without_any_reading_before(
    own: Database, query: str, read_only: bool
) -> None:
    with (
        own.transaction(read_only=read_only) as connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.Error) as caught,
    ):
        cursor.execute("SELECT * FROM audit_trail.batch_rows(%s, '[]', 10) AS found (a text)", (query,))
    assert not isinstance(caught.value, errors.DatatypeMismatch), "it ran"


def test_a_select_without_end_is_stopped(trail: Trail, tmp_path: Path) -> None:
    endless = "SELECT count(*)::text AS id, 1::bigint AS events FROM generate_series(1, 1000000000) AS n"
    projector = load_custom(written(tmp_path, endless))
    begin_custom(trail.url, projector)
    with (
        closing(custom_database_with_limit(trail, 300)) as database,
        pytest.raises(CodeError, match="the SELECT took longer than 30 s"),
    ):
        projector.bind(database)


def test_a_select_that_fills_the_disk_is_stopped(trail: Trail, tmp_path: Path) -> None:
    sorted_rows = "SELECT max(n.t) AS id, 1::bigint AS events FROM (SELECT repeat(i::text, 60) AS t FROM"
    endless = f"{sorted_rows} generate_series(1, 100000000) AS i ORDER BY 1 OFFSET 1) AS n"
    with pytest.raises(CodeError, match="the SELECT took more disk than temp_file_limit"):
        bound(trail, written(tmp_path, endless))


def test_a_select_that_the_server_finds_too_deep_is_the_files_fault_and_not_the_servers(
    trail: Trail, tmp_path: Path
) -> None:
    deep = "SELECT " + "(" * 20_000 + "'x'" + ")" * 20_000 + " AS id, 1::bigint AS events"
    with pytest.raises(CodeError, match=r"StatementTooComplex|memory exhausted"):
        bound(trail, written(tmp_path, deep))


def custom_database_with_limit(trail: Trail, milliseconds: int) -> Database:
    return Database(trail.url, "audit_trail_own_mine", size=1, statement_timeout_ms=milliseconds)


def test_more_rows_than_a_batch_can_mean_are_refused(trail: Trail, tmp_path: Path) -> None:
    many = "SELECT n::text AS id, 1::bigint AS events FROM batch RIGHT JOIN generate_series(1, 1000001) AS n ON true"
    with pytest.raises(CodeError, match="more than 1000000 rows of one batch"):
        bound(trail, written(tmp_path, many))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO user_v3.user_action SELECT * FROM user_v3.user_action",
        "DELETE FROM user_v3.user_action",
        "DROP SCHEMA user_v3 CASCADE",
        "DELETE FROM audit_trail.event",
        "INSERT INTO audit_trail.event SELECT * FROM audit_trail.event",
        "UPDATE audit_trail.log_state SET size = 0",
        "CREATE SCHEMA user_v3",
        "SELECT audit_trail.make_own_schema('mine', 'user_v3')",
        "SELECT audit_trail.make_own_schema('user', 'user_v3')",
        "SELECT audit_trail.add_partitions(2)",
        "INSERT INTO audit_trail.projection (name, build, version, schema_name) VALUES ('user', 2, 1, 'user_v3')",
        "INSERT INTO audit_trail.projection (name, build, version, schema_name) VALUES ('mine', 2, 1, 'user_v3')",
        "UPDATE audit_trail.projection SET schema_name = 'user_v4' WHERE name = 'mine'",
        "INSERT INTO audit_trail.own_projection (name, created_by) VALUES ('user', 'me')",
        "DELETE FROM audit_trail.projection_skip",
        # Whoever may delete rows may lock the table, and with it all queries.
        "DELETE FROM audit_trail.projection WHERE name = 'user'",
        "LOCK TABLE audit_trail.projection IN SHARE MODE",
        "INSERT INTO audit_trail.projection_holder (name, work, host, pid) VALUES ('user', 'x', 'x', 1)",
        "ALTER TABLE audit_trail.projection DISABLE ROW LEVEL SECURITY",
        "CREATE ROLE mallory",
        "GRANT audit_trail_projector TO audit_trail_own_mine",
        "COPY (SELECT 1) TO PROGRAM 'id'",
    ],
)
def test_the_role_of_a_projection_may_not(own: Database, statement: str) -> None:
    with own.transaction() as connection, connection.cursor() as cursor, pytest.raises(psycopg2.Error):
        cursor.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_trail.projection SET position = 100, paused = true WHERE name = 'user'",
        "UPDATE audit_trail.projection_range SET done = true WHERE name = 'user'",
    ],
)
def test_the_rows_of_other_projections_are_out_of_its_reach(own: Database, statement: str) -> None:
    with own.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        assert cursor.rowcount == 0


LOGINS = ("hostile_ada", "hostile_ben")


@pytest.fixture
def logins(trail: Trail) -> Iterator[dict[str, str]]:
    """The URLs of two analysts' logins, as the documented deployment makes them."""
    for login in LOGINS:
        role = sql.Identifier(login)
        execute(
            trail.url, sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'p' IN ROLE audit_trail_analyst").format(role)
        )
    yield {login: psycopg2.extensions.make_dsn(trail.url, user=login, password="p") for login in LOGINS}
    for statement in ("DROP OWNED BY audit_trail_own_adas CASCADE", "DROP ROLE audit_trail_own_adas"):
        execute(trail.url, statement)
    for login in LOGINS:
        execute(trail.url, sql.SQL("DROP ROLE {}").format(sql.Identifier(login)))


def test_a_login_of_an_analyst_has_its_own_projection_and_no_other(
    tmp_path: Path, logins: dict[str, str]
) -> None:
    ada, ben = logins["hostile_ada"], logins["hostile_ben"]
    projector: CustomProjector = load_custom(write(tmp_path, HEAD + PYTHON, name="adas"))
    begin_custom(ada, projector)
    bind_custom(ada, projector)
    with closing(Database(ada, "audit_trail_own_adas", size=1)) as database:
        register(database, projector)
    with pytest.raises(CodeError, match="belongs to another login"):
        begin_custom(ben, projector)
    for role in ("audit_trail_own_adas", "audit_trail_projector", "audit_trail_ingest", "audit_trail_batch"):
        with pytest.raises(ConfigurationError), Database(ben, role).transaction():
            pass
    for role in ("audit_trail_projector", "audit_trail_ingest", "audit_trail_batch"):
        with pytest.raises(ConfigurationError), Database(ada, role).transaction():
            pass
