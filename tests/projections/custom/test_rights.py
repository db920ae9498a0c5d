"""What each login of a deployment may not do: every attempt is refused by the database, with its SQLSTATE."""

from __future__ import annotations

from contextlib import closing

import psycopg2
import pytest

from tests.projections.custom.deployment import (
    ANALYSTS,
    DENIED,
    EVERYBODY,
    LOGINS,
    OWN,
    attempt,
)

F = "LANGUAGE sql AS 'SELECT 1'"
ROW = "INSERT INTO audit_trail.projection (name, build, version, schema_name) VALUES "


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
        *((who, "SELECT count(*) FROM user_v3.user_action", DENIED) for who in ANALYSTS),
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
        "audit_trail_watcher", "audit_trail_batch", "audit_trail_custom_owner", "audit_trail_own_bens", "postgres",
        "pg_read_server_files",
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
