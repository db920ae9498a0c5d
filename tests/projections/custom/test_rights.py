"""What each login of a deployment may not do: every attempt is refused by the database, with its SQLSTATE."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import sql

from audit_trail.embedded.postgres import EmbeddedPostgres
from event_store.migrations import migrate
from projections.custom.access import begin_own, bind_own, open_own
from projections.custom.source_file import load_own
from projections.custom_tables import describe
from projections.runner import Runner
from tests.projections.custom.analyst import HEAD, PYTHON, write
from tests.trail import Trail, an_event

LOGINS = {
    "ingester": "ingest",
    "operator": "projector",
    "asker": "reader",
    "watcher": "guard",
    "ada": "analyst",
    "ben": "analyst",
}
OWN = "audit_trail_own_mine"
EVERYBODY = (*LOGINS, OWN)
ANALYSTS = ("ada", "ben", OWN)

DENIED = "42501"
"""insufficient_privilege; also the refusal to act on what belongs to another role."""
NO_NAME = "42602"
TAKEN = "42710"


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory, session_folder: Path) -> Iterator[dict[str, str]]:
    """By login, a URL to a trail that has an owner who is no superuser, and projections of two analysts."""
    with EmbeddedPostgres(session_folder / "rights") as server:
        admin = server.url_for("postgres")
        run(admin, "CREATE ROLE owner LOGIN CREATEROLE PASSWORD 'p'")
        run(admin, "CREATE DATABASE trail OWNER owner")
        url = server.url_for("trail")
        migrate(as_login(url, "owner"))
        migrate(url)  # takes away what only a superuser can
        for login, role in LOGINS.items():
            run(admin, f"CREATE ROLE {login} LOGIN PASSWORD 'p' IN ROLE audit_trail_{role}")
        urls = {login: as_login(url, login) for login in (*LOGINS, "owner")} | {"admin": url}
        folder = tmp_path_factory.mktemp("files")
        with closing(Trail(url)) as trail:
            trail.given(an_event())
            for login, name in (("ada", "mine"), ("ben", "bens")):
                own_project(urls[login], write(folder, HEAD + PYTHON, name=name))
        yield urls


def own_project(url: str, file: Path) -> None:
    projector = load_own(file)
    begin_own(url, projector)
    bind_own(url, projector)
    with closing(open_own(url, projector.name, 4)) as database:
        Runner(database, [projector]).catch_up()


def as_login(url: str, login: str) -> str:
    return psycopg2.extensions.make_dsn(url, user=login, password="p")


def run(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


def attempt(urls: dict[str, str], who: str, *statements: str) -> str:
    """The SQLSTATE of the last statement; empty when it was let through. Nothing is kept."""
    login, role = ("ada", who) if who.startswith("audit_trail_") else (who, "")
    with closing(psycopg2.connect(urls[login])) as connection, connection.cursor() as cursor:
        connection.autocommit = statements[-1].startswith("ALTER SYSTEM")  # is for no transaction
        if role:
            cursor.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        for statement in statements[:-1]:
            cursor.execute(statement)
        try:
            cursor.execute(statements[-1])
        except psycopg2.Error as exc:
            return exc.pgcode or "lost"
        return ""


TRAIL_TABLES = (
    "event", "event_identity", "aggregate_version", "kafka_stream", "tile", "log_state", "dead_letter", "log_key",
    "tree_head", "cosignature", "stream_reset", "migration", "projection_number", "own_projection",
)  # fmt: skip


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize("table", TRAIL_TABLES)
def test_nobody_changes_what_the_trail_is_made_of(urls: dict[str, str], who: str, table: str) -> None:
    for statement in ("DELETE FROM", "TRUNCATE", "LOCK TABLE"):
        assert attempt(urls, who, f"{statement} audit_trail.{table}") == DENIED, statement
    columns = (
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND attidentity = ''"
        " ORDER BY attnum"
    )
    with closing(psycopg2.connect(urls["admin"])) as connection, connection.cursor() as cursor:
        cursor.execute(columns, (f"audit_trail.{table}",))
        column = cursor.fetchall()[0][0]
    assert attempt(urls, who, f"UPDATE audit_trail.{table} SET {column} = {column}") == DENIED
    assert attempt(urls, who, f"ALTER TABLE audit_trail.{table} ADD COLUMN more int") == DENIED
    assert attempt(urls, who, f"DROP TABLE audit_trail.{table}") == DENIED


F = "LANGUAGE sql AS 'SELECT 1'"


@pytest.mark.parametrize("who", [each for each in EVERYBODY if each != "operator"])
@pytest.mark.parametrize(
    "statement",
    [
        f"CREATE FUNCTION public.f() RETURNS int {F}",
        f"CREATE FUNCTION audit_trail.f() RETURNS int {F}",
        f"CREATE FUNCTION pg_temp.f() RETURNS int {F}",
        f"CREATE FUNCTION mine_v1.f() RETURNS int {F}",
        "CREATE TABLE public.t (id int)",
        "CREATE TABLE mine_v1.t (id int)",
        "CREATE TEMPORARY TABLE t (id int)",
        "CREATE TEMPORARY VIEW v AS SELECT 1",
        "CREATE VIEW mine_v1.v AS SELECT 1",
        "CREATE SCHEMA s",
        "CREATE SCHEMA mine_v2",
        "CREATE EXTENSION pgcrypto",
        "CREATE EXTENSION dblink",
        "CREATE OPERATOR public.<<< (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl)",
        "CREATE TYPE public.ty AS (id int)",
        "CREATE DOMAIN mine_v1.d AS int",
        "CREATE COLLATION mine_v1.c FROM \"C\"",
        "CREATE EVENT TRIGGER et ON ddl_command_start EXECUTE FUNCTION audit_trail.refuse_change()",
        "CREATE PUBLICATION p FOR ALL TABLES",
        "CREATE ROLE mallory",
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "COPY (SELECT 1) TO '/var/x'",
        "SELECT lo_create(0)",
        "SELECT lo_creat(-1)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('.')",
        "ALTER SYSTEM SET work_mem = '1GB'",
        "SET session_replication_role = replica",
        "ALTER DATABASE trail SET search_path = evil",
    ],
)  # fmt: skip
def test_nobody_makes_objects_or_leaves_the_database(urls: dict[str, str], who: str, statement: str) -> None:
    code = attempt(urls, who, statement)
    # Of an extension that is not installed, PostgreSQL says that first.
    assert code == DENIED or (code in {"0A000", "58P01"} and "EXTENSION" in statement), code


@pytest.mark.parametrize("who", ANALYSTS)
@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE mine_v1.mine ADD COLUMN x int DEFAULT 1",
        "ALTER TABLE mine_v1.mine ALTER COLUMN events TYPE text USING events::text",
        "ALTER TABLE mine_v1.mine ALTER COLUMN events SET DEFAULT 1",
        "ALTER TABLE mine_v1.mine ADD CONSTRAINT c CHECK (events > 0)",
        "ALTER TABLE mine_v1.mine ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE mine_v1.mine INHERIT mine_v1.mine_log",
        f"ALTER TABLE mine_v1.mine OWNER TO {OWN}",
        "ALTER TABLE mine_v1.mine SET TABLESPACE pg_default",
        "ALTER TABLE mine_v1.mine SET SCHEMA public",
        "ALTER TABLE mine_v1.mine RENAME TO yours",
        "ALTER SCHEMA mine_v1 RENAME TO patient_v9",
        f"ALTER SCHEMA mine_v1 OWNER TO {OWN}",
        "CREATE INDEX i ON mine_v1.mine ((events + 1))",
        "CREATE INDEX i ON mine_v1.mine (events) WHERE events > 1",
        "CREATE STATISTICS st ON (events + 1) FROM mine_v1.mine",
        "CREATE TRIGGER t BEFORE INSERT ON mine_v1.mine FOR EACH ROW EXECUTE FUNCTION audit_trail.refuse_change()",
        "CREATE RULE r AS ON INSERT TO mine_v1.mine DO ALSO SELECT 1",
        "CREATE POLICY p ON mine_v1.mine USING (true)",
        "TRUNCATE mine_v1.mine",
        "DROP TABLE mine_v1.mine",
        "DROP SCHEMA mine_v1 CASCADE",
        "REINDEX TABLE mine_v1.mine",
        "COMMENT ON TABLE mine_v1.mine IS 'x'",
    ],
)
def test_an_analyst_changes_no_table_not_even_an_own_one(
    urls: dict[str, str], who: str, statement: str
) -> None:
    assert attempt(urls, who, statement) == DENIED


ROW = "INSERT INTO audit_trail.projection (name, build, version, schema_name) VALUES "


@pytest.mark.parametrize("who", ["ada", OWN])
def test_an_analyst_gives_no_rights_on_its_tables_to_others(urls: dict[str, str], who: str) -> None:
    with closing(psycopg2.connect(urls["ada"])) as connection, connection.cursor() as cursor:
        if who == OWN:
            cursor.execute(f"SET ROLE {OWN}")
        for statement in ("TRIGGER ON mine_v1.mine", "SELECT ON mine_v1.mine", "USAGE ON SCHEMA mine_v1"):
            cursor.execute(f"GRANT {statement} TO ben")
            assert "no privileges were granted" in connection.notices[-1]


@pytest.mark.parametrize(
    ("who", "statement", "code"),
    [
        *((who, "SELECT count(*) FROM audit_trail.dead_letter", DENIED) for who in ANALYSTS),
        *((who, "SELECT count(*) FROM bens_v1.bens", DENIED) for who in ("ada", OWN)),
        *((who, "SELECT count(*) FROM user_v2.user_action", DENIED) for who in ANALYSTS),
        *((who, "INSERT INTO mine_v1.mine VALUES ('x', 1, now(), '{}')", DENIED) for who in ("ben", "asker")),
        *(
            (who, f"INSERT INTO audit_trail.projection (name, build, version, schema_name) VALUES {row}", DENIED)
            for who in ANALYSTS
            for row in ("('patient', 9, 9, 'patient_v9_b9')", "('bens', 9, 9, 'bens_v9_b9')")
        ),
        (
            OWN,
            ROW + "('mine', 9, 9, 'bens_v9_b9')",
            "23514",
        ),
        (
            "operator",
            ROW + "('mine', 9, 9, 'audit_trail')",
            "23514",
        ),
        (OWN, "INSERT INTO audit_trail.own_projection (name, created_by) VALUES ('x', 'x')", DENIED),
        (OWN, "INSERT INTO audit_trail.projection_lock VALUES ('patient')", DENIED),
        (OWN, "INSERT INTO audit_trail.projection_holder (name, work, host, pid) VALUES ('user', '', '', 1)", DENIED),
    ],
)  # fmt: skip
def test_an_analyst_has_one_projection_and_no_other(
    urls: dict[str, str], who: str, statement: str, code: str
) -> None:
    assert attempt(urls, who, statement) == code


@pytest.mark.parametrize("who", ["ingester", "asker", "watcher", *ANALYSTS])
@pytest.mark.parametrize(
    "table",
    ["projection", "projection_range", "projection_skip", "projection_holder", "projection_lock", "tracking"],
)
@pytest.mark.parametrize("mode", ["SHARE UPDATE EXCLUSIVE", "SHARE", "EXCLUSIVE", "ACCESS EXCLUSIVE"])
def test_nobody_but_the_projector_locks_the_registry(
    urls: dict[str, str], who: str, table: str, mode: str
) -> None:
    if (who, table) != ("ingester", "tracking"):
        assert attempt(urls, who, f"LOCK TABLE audit_trail.{table} IN {mode} MODE NOWAIT") == DENIED
        assert attempt(urls, who, f"DELETE FROM audit_trail.{table}") == DENIED


@pytest.mark.parametrize("who", ANALYSTS)
def test_the_checkpoints_and_locks_of_others_are_out_of_reach(urls: dict[str, str], who: str) -> None:
    login, role = ("ada", who) if who == OWN else (who, "")
    with closing(psycopg2.connect(urls[login])) as connection, connection.cursor() as cursor:
        if role:
            cursor.execute(f"SET ROLE {role}")
        for statement in (
            "UPDATE audit_trail.projection SET position = 7 WHERE name = 'user'",
            "UPDATE audit_trail.projection_lock SET name = name WHERE name = 'user'",
            "UPDATE audit_trail.projection_holder SET mark = 1 WHERE name = 'user'",
        ):
            cursor.execute(statement)
            assert cursor.rowcount == 0, statement
        for table in ("projection", "projection_lock", "projection_holder"):
            cursor.execute(f"SELECT name FROM audit_trail.{table} WHERE name = 'user' FOR UPDATE")
            assert cursor.rowcount == 0, table


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize(
    "role",
    [
        "owner", "ada", "audit_trail_ingest", "audit_trail_projector", "audit_trail_reader", "audit_trail_guard",
        "audit_trail_batch", "audit_trail_custom_owner", "audit_trail_own_bens", "postgres", "pg_read_server_files",
    ],
)  # fmt: skip
def test_nobody_takes_the_role_of_another(urls: dict[str, str], who: str, role: str) -> None:
    login = "ada" if who == OWN else who
    mine = f"audit_trail_{LOGINS[login]}"
    if role in {mine, login} or (role == "audit_trail_own_bens" and login in {"ben", "operator"}):
        assert attempt(urls, login, f"SET ROLE {role}") == ""
        return
    assert attempt(urls, login, f"SET ROLE {role}") == DENIED
    assert attempt(urls, login, f"SET SESSION AUTHORIZATION {role}") == DENIED
    assert attempt(urls, who, f"GRANT {role} TO {login}") == DENIED


@pytest.mark.parametrize("who", ["ada", OWN])
@pytest.mark.parametrize(
    "statement",
    [
        f"GRANT {OWN} TO ben",
        f"GRANT {OWN} TO audit_trail_reader",
        f"REVOKE {OWN} FROM audit_trail_projector",
        f"ALTER ROLE {OWN} LOGIN",
        f"DROP ROLE {OWN}",
        "ALTER ROLE audit_trail_reader SET search_path = evil",
        "ALTER ROLE ben SET statement_timeout = 1",
    ],
)
def test_an_analyst_does_not_administer_its_own_role(urls: dict[str, str], who: str, statement: str) -> None:
    assert attempt(urls, who, statement) == DENIED


TABLE = {
    "name": "t",
    "merged": True,
    "key": ["a"],
    "carried": [],
    "columns": [{"name": "a", "kind": "text", "nullable": False}],
    "indexes": [],
}


def call(name: str, *arguments: object) -> str:
    quoted = (
        f"$q${json.dumps(each)}$q$::jsonb"
        if isinstance(each, dict | list)
        else "NULL"
        if each is None
        else str(each).lower()
        if isinstance(each, bool | int)
        else f"$q${each}$q$"
        for each in arguments
    )
    return f"SELECT audit_trail.{name}({', '.join(quoted)})"


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        (call("own_projection", None), NO_NAME),
        (call("own_projection", "pg_x"), NO_NAME),
        (call("own_projection", "X"), NO_NAME),
        (call("own_projection", "x; DROP SCHEMA audit_trail"), NO_NAME),
        (call("own_projection", "x\n"), NO_NAME),
        *((call("own_projection", name), TAKEN) for name in
          ("patient", "user", "activity", "device", "service", "patient_v2", "patient_v2_b1", "user_b1", "bens")),
        *((call("make_own_schema", *each), DENIED) for each in (
            ("mine", "user_v9"), ("user", "user_v9"), ("bens", "bens_v9"), ("mine", "audit_trail"), ("mine", None),
            (None, "mine_v9"), ("mine", "mine_v9; DROP SCHEMA user_v2"), ("mine", "mine_v9\n"), ("m.*", "mine_v9"),
        )),
        *((call("drop_custom_schema", *each), DENIED) for each in (
            ("mine", "user_v2"), ("user", "user_v2"), ("bens", "bens_v1"), ("mine", "audit_trail"), ("mine", None),
        )),
        (call("drop_custom_schema", "mine", "mine_v1"), "55006"),
        (call("remove_own_projection", "bens"), DENIED),
        (call("remove_own_projection", "user"), DENIED),
        (call("remove_own_projection", None), DENIED),
        (call("remove_own_projection", "mine"), "55006"),
        (call("make_custom_tables", "bens", "bens_v1", [TABLE], True), DENIED),
        (call("make_custom_tables", "mine", "user_v2", [TABLE], True), DENIED),
        (call("make_custom_tables", "mine", "mine_v1", [], True), "22023"),
        *((call("make_custom_tables", "mine", "mine_v1", [TABLE | change], False), code) for change, code in (
            ({"name": "t (id int); --"}, NO_NAME),
            ({"name": "partial_t"}, NO_NAME),
            ({"name": None}, NO_NAME),
            ({"columns": []}, "22023"),
            ({"columns": [{"name": "a", "kind": "text DEFAULT f()", "nullable": True}]}, "22023"),
            ({"columns": [{"name": "a", "kind": "mine_v1.d", "nullable": True}]}, "22023"),
            ({"columns": [{"name": "a DEFAULT 1", "kind": "text", "nullable": True}]}, NO_NAME),
            ({"key": ["lower(a)"]}, NO_NAME),
            ({"carried": ["a) WHERE (true"]}, NO_NAME),
            ({"indexes": [{"columns": ["lower(a)"], "where": None}]}, NO_NAME),
            ({"indexes": [{"columns": ["a"], "where": {"column": "f()", "op": "IS TRUE"}}]}, NO_NAME),
            ({"indexes": [{"columns": ["a"], "where": {"column": "a", "op": "=", "number": "1 OR f()"}}]}, "22023"),
            ({"indexes": [{"columns": ["a"], "where": {"column": "a", "op": "=", "number": "1\n"}}]}, "22023"),
            ({"indexes": [{"columns": ["a"], "where": {"column": "a", "op": "= f() OR a =", "text": "x"}}]}, "22023"),
        )),
        (call("index_custom_table", "bens", "bens_v1", TABLE, 0), DENIED),
        (call("index_custom_table", "mine", "mine_v1", TABLE, -1), "22023"),
        (call("index_custom_table", "mine", "mine_v1", TABLE, 1), "22023"),
        (call("finish_custom_table", "mine", "bens_v1", "bens"), DENIED),
        (call("finish_custom_table", "mine", "mine_v1", "mine; DROP TABLE x"), NO_NAME),
        (call("drop_custom_partial", "bens", "bens_v1", "bens"), DENIED),
        (call("drop_custom_partial", "mine", "mine_v1", "x; --"), NO_NAME),
        (call("delete_custom_build", "bens", 1), DENIED),
        (call("delete_custom_build", "user", 1), DENIED),
        (call("forget_custom_ranges", "bens", 1), DENIED),
        (call("forget_custom_ranges", None, 1), DENIED),
        (call("stage_custom_table", "bens", "bens_v1", "bens"), DENIED),
        (call("stage_custom_table", "mine", "mine_v1", "pg_x"), NO_NAME),
        (call("grant_custom_build", "mine", "mine_v1"), DENIED),
        (call("custom_type", "text"), DENIED),
        (call("add_partitions", 2), DENIED),
        (call("count_build"), DENIED),
        (call("event_records", None), DENIED),
        (call("live_builds"), DENIED),
    ],
)  # fmt: skip
@pytest.mark.parametrize("who", ["ada", OWN])
def test_the_functions_of_the_trail_take_no_hostile_arguments(
    urls: dict[str, str], who: str, statement: str, code: str
) -> None:
    assert attempt(urls, who, statement) == code


@pytest.mark.parametrize("who", ["ingester", "asker", "watcher"])
def test_who_owns_no_projection_calls_none_of_these_functions(urls: dict[str, str], who: str) -> None:
    for statement in (
        call("own_projection", "x"),
        call("make_own_schema", "mine", "mine_v9"),
        call("make_custom_tables", "mine", "mine_v1", [TABLE], True),
        call("drop_custom_schema", "mine", "mine_v1"),
        call("remove_own_projection", "mine"),
        call("batch_rows", "SELECT 1", [], 1),
    ):
        assert attempt(urls, who, statement) == DENIED


def test_an_index_condition_is_data(urls: dict[str, str]) -> None:
    """A quote in a value stays in the value."""
    where = {"column": "a", "op": "=", "text": "x' OR audit_trail.f() = '"}
    table = TABLE | {"indexes": [{"columns": ["a"], "where": where}]}
    with closing(psycopg2.connect(urls["ada"])) as connection, connection.cursor() as cursor:
        cursor.execute(call("make_custom_tables", "mine", "mine_v1", [table], False))
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 't_by_a'")
        [(definition,)] = cursor.fetchall()
        connection.rollback()
    assert definition.endswith("WHERE (a = 'x'' OR audit_trail.f() = '''::text)")


@pytest.mark.parametrize("who", EVERYBODY)
def test_nobody_ends_or_cancels_the_sessions_of_others(urls: dict[str, str], who: str) -> None:
    with closing(psycopg2.connect(urls["owner"])) as other:
        for function in ("pg_terminate_backend", "pg_cancel_backend"):
            assert attempt(urls, who, f"SELECT {function}({other.get_backend_pid()})") == DENIED


def test_every_object_of_a_custom_projection_is_the_trails(urls: dict[str, str]) -> None:
    with closing(psycopg2.connect(urls["admin"])) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace::regnamespace::text"
            " IN ('mine_v1', 'bens_v1')"
        )
        assert cursor.fetchall() == [("audit_trail_custom_owner",)]
        cursor.execute(
            "SELECT count(*) FROM pg_shdepend JOIN pg_roles ON refobjid = pg_roles.oid"
            " WHERE deptype = 'o' AND rolname LIKE 'audit_trail_own_%'"
        )
        assert cursor.fetchall() == [(0,)]


def test_no_login_but_the_owner_is_a_member_of_the_role_that_owns_them(urls: dict[str, str]) -> None:
    with closing(psycopg2.connect(urls["admin"])) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT member::regrole::text FROM pg_auth_members"
            " WHERE roleid = 'audit_trail_custom_owner'::regrole"
        )
        assert cursor.fetchall() == [("owner",)]


def test_the_declared_tables_of_a_file_are_described_and_made_as_declared(
    urls: dict[str, str], tmp_path: Path
) -> None:
    [mine, log] = load_own(write(tmp_path, HEAD + PYTHON)).tables
    assert describe(mine)["indexes"] == [{"columns": ("events",), "where": None}]
    assert describe(log)["merged"] is False
    with closing(psycopg2.connect(urls["admin"])) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'mine_v1' ORDER BY 1")
        assert [name for (name,) in cursor.fetchall()] == ["mine_by_events", "mine_log_pkey", "mine_pkey"]
