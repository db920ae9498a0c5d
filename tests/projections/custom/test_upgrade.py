"""Databases of before migration 0008, in which analysts' roles own their tables: converted, or refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest

from domain.errors import ConfigurationError
from event_store.migrations import migrate, migrations
from projections.custom.access import begin_custom, open_custom
from projections.custom.removal import remove
from projections.custom.source_file import CustomProjector, load_custom
from projections.fingerprints import code_digest, definition_digest
from projections.registry import READY
from projections.runner import Runner
from projections.tables import create_indexes, create_table
from tests.projections.custom.analyst import HEAD, PYTHON, project, rebuild_custom, write
from tests.servers import postgres_server
from tests.trail import Trail, an_event

CUSTOM = "0008_custom_projection_rights"


@pytest.fixture
def projector(tmp_path: Path) -> CustomProjector:
    # Roles are the server's, so each test has a name of its own.
    return load_custom(write(tmp_path, HEAD + PYTHON, name=f"old_{uuid4().hex[:8]}"))


@pytest.fixture
def old_url(database_url: str, projector: CustomProjector) -> Iterator[str]:
    """A database of the release before, with one build of an analyst's projection."""
    make_old(database_url, projector)
    yield database_url
    attack(database_url, f"DROP OWNED BY audit_trail_own_{projector.name} CASCADE")
    attack(database_url, f"DROP ROLE audit_trail_own_{projector.name}")


def make_old(url: str, projector: CustomProjector) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE SCHEMA audit_trail; CREATE TABLE audit_trail.migration"
            " (name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        for each in migrations():
            if each.name < CUSTOM:
                cursor.execute(each.sql)
                cursor.execute(
                    "INSERT INTO audit_trail.migration (name, sha256) VALUES (%s, %s)",
                    (each.name, each.sha256),
                )
        name, schema = projector.name, f"{projector.name}_v1"
        cursor.execute("SELECT audit_trail.own_projection(%s)", (name,))
        cursor.execute("SELECT audit_trail.make_own_schema(%s, %s)", (name, schema))
        cursor.execute(f"SET ROLE audit_trail_own_{name}; SET search_path = {schema}")
        for table in projector.tables:
            cursor.execute(create_table(table))
            for index in create_indexes(table):
                cursor.execute(index)
        cursor.execute(f"GRANT USAGE ON SCHEMA {schema} TO audit_trail_reader")
        cursor.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO audit_trail_reader")
        cursor.execute(
            "INSERT INTO audit_trail.projection"
            " (name, build, version, schema_name, live, state, definition, code_digest)"
            " VALUES (%s, 1, 1, %s, true, %s, %s, %s)",
            (name, schema, READY, definition_digest(projector.tables), code_digest(projector)),
        )


def test_an_owner_who_is_no_superuser_converts_it_too(
    server_folder: Path, projector: CustomProjector
) -> None:
    with postgres_server(server_folder / "postgres") as server:
        attack(server.url_for("postgres"), "CREATE ROLE owner LOGIN CREATEROLE PASSWORD 'p'")
        with closing(psycopg2.connect(server.url_for("postgres"))) as admin, admin.cursor() as cursor:
            admin.autocommit = True
            cursor.execute("CREATE DATABASE trail OWNER owner")
        url = server.url_for("trail")
        owner = psycopg2.extensions.make_dsn(url, user="owner", password="p")
        make_old(owner, projector)
        assert migrate(owner)[0] == CUSTOM
        attack(url, "CREATE ROLE ada LOGIN PASSWORD 'p' IN ROLE audit_trail_analyst")
        attack(url, f"GRANT audit_trail_own_{projector.name} TO ada")
        with closing(Trail(url)) as trail:
            trail.append(an_event())
            ada = psycopg2.extensions.make_dsn(url, user="ada", password="p")
            begin_custom(ada, projector)
            with closing(open_custom(ada, projector.name, 4)) as database:
                Runner(database, [projector]).catch_up()
            table = f"{projector.name}_v1.{projector.name}"
            assert trail.rows(f"SELECT actor_id, events FROM {table}") == [("dr-smith", 1)]
        assert remove(owner, projector.name, by="o", reason="r", publish=lambda _: None, wait_seconds=5)


def attack(url: str, *statements: str, role: str = "") -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        if role:
            cursor.execute(f"SET ROLE {role}")
        for statement in statements:
            cursor.execute(statement)


def test_a_build_of_before_goes_on_and_belongs_to_the_trail(old_url: str, projector: CustomProjector) -> None:
    name, schema = projector.name, f"{projector.name}_v1"
    attack(
        old_url,
        f"GRANT TRIGGER, UPDATE ON {schema}.{name} TO PUBLIC WITH GRANT OPTION".replace(
            " WITH GRANT OPTION", ""
        ),
        f"GRANT CREATE ON SCHEMA {schema} TO PUBLIC",
        f"GRANT UPDATE (events) ON {schema}.{name} TO audit_trail_analyst",
        f"CREATE INDEX partial ON {schema}.{name} (events) WHERE events > 5",
        role=f"audit_trail_own_{name}",
    )
    assert migrate(old_url)[0] == CUSTOM
    with closing(Trail(old_url)) as trail:
        assert trail.rows(
            f"SELECT DISTINCT nspowner::regrole::text FROM pg_namespace WHERE nspname = '{schema}'"
        ) == [("audit_trail_custom_owner",)]
        assert trail.rows(
            "SELECT DISTINCT relowner::regrole::text, grantee::regrole::text,"
            " string_agg(privilege_type, ' ' ORDER BY privilege_type)"
            " FROM pg_class, aclexplode(relacl)"
            f" WHERE relnamespace::regnamespace::text = '{schema}' AND relkind = 'r' AND grantee <> relowner"
            " GROUP BY pg_class.oid, relowner, grantee ORDER BY 2"
        ) == [
            ("audit_trail_custom_owner", f"audit_trail_own_{name}", "INSERT SELECT"),
            ("audit_trail_custom_owner", "audit_trail_reader", "SELECT"),
        ]
        assert trail.rows(
            "SELECT DISTINCT grantee::regrole::text, privilege_type"
            " FROM pg_class INNER JOIN pg_attribute ON pg_class.oid = attrelid, aclexplode(attacl)"
            f" WHERE relnamespace::regnamespace::text = '{schema}'"
        ) == [(f"audit_trail_own_{name}", "UPDATE")]
        trail.append(an_event(), an_event())
        project(trail, projector.file)
        assert trail.rows(f"SELECT actor_id, events FROM {schema}.{name}") == [("dr-smith", 2)]
        assert rebuild_custom(trail, projector.file).failure == ""
        assert trail.rows(f"SELECT actor_id, events FROM {schema}_b2.{name}") == [("dr-smith", 2)]
        remove(old_url, name, by="ada", reason="done", publish=lambda _: None, wait_seconds=5)
        assert trail.rows(f"SELECT nspname FROM pg_namespace WHERE nspname LIKE '{name}%'") == []
        # So that there is a role to remove after the test.
        attack(old_url, f"CREATE ROLE audit_trail_own_{name}")


FUNCTION = "CREATE FUNCTION {schema}.f(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT $1'"


@pytest.mark.parametrize(
    ("statements", "named"),
    [
        ([FUNCTION], "function {schema}.f(bigint)"),
        ([FUNCTION, "CREATE INDEX evil ON {schema}.{name} ({schema}.f(events))"], "index {schema}.evil"),
        (
            [FUNCTION, "CREATE INDEX evil ON {schema}.{name} (events) WHERE {schema}.f(events) > 1"],
            "index {schema}.evil",
        ),
        (["CREATE INDEX evil ON {schema}.{name} ((events + 1))"], "index {schema}.evil"),
        (["ALTER TABLE {schema}.{name} ADD CONSTRAINT evil CHECK (events > 0)"], "constraint evil on table"),
        (["ALTER TABLE {schema}.{name} ALTER COLUMN events SET DEFAULT 1"], "default value for column events"),
        (
            [
                "CREATE FUNCTION {schema}.t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
                "CREATE TRIGGER evil BEFORE INSERT ON {schema}.{name} FOR EACH ROW EXECUTE FUNCTION {schema}.t()",
            ],
            "trigger evil on table",
        ),
        (["CREATE RULE evil AS ON INSERT TO {schema}.{name} DO ALSO SELECT 1"], "rule evil on table"),
        (["CREATE POLICY evil ON {schema}.{name} USING (true)"], "policy evil on table"),
        (["CREATE VIEW {schema}.evil AS SELECT 1"], "view {schema}.evil"),
        (["CREATE DOMAIN {schema}.evil AS text"], "type {schema}.evil"),
        (
            ["CREATE STATISTICS {schema}.evil ON actor_id, events FROM {schema}.{name}"],
            "statistics object {schema}.evil",
        ),
        (["CREATE TABLE {schema}.evil () INHERITS ({schema}.{name})"], "table {schema}.evil"),
        (["CREATE COLLATION {schema}.evil FROM \"C\""], "collation {schema}.evil"),
        (["CREATE DOMAIN {schema}.evil AS text", "ALTER TABLE {schema}.{name} ADD COLUMN x {schema}.evil"], "evil"),
        (["SELECT lo_create(0)"], "large object"),
        (["ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO PUBLIC"], "default privileges"),
    ],
)  # fmt: skip
def test_what_an_analyst_made_beside_the_declared_tables_is_named_and_nothing_is_migrated(
    old_url: str, projector: CustomProjector, statements: list[str], named: str
) -> None:
    words = {"name": projector.name, "schema": f"{projector.name}_v1"}
    # A large object needs the function that a superuser's migration takes away from everybody.
    attack(old_url, "GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC")
    attack(old_url, *(each.format(**words) for each in statements), role=f"audit_trail_own_{projector.name}")
    with pytest.raises(ConfigurationError, match="objects that Audit Trail did not make") as caught:
        migrate(old_url)
    assert named.format(**words) in str(caught.value)
    with closing(psycopg2.connect(old_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT max(name) FROM audit_trail.migration")
        assert cursor.fetchall() == [("0007_reading_pages",)]


def test_a_build_that_is_registered_with_a_foreign_schema_is_named(old_url: str) -> None:
    attack(
        old_url,
        "INSERT INTO audit_trail.projection (name, build, version, schema_name) VALUES ('x', 1, 1, 'audit_trail')",
        role="audit_trail_projector",
    )
    with pytest.raises(ConfigurationError, match=r"schemas that are not theirs: x build 1 \(audit_trail\)"):
        migrate(old_url)


def test_a_projection_with_the_name_of_a_built_in_one_is_named(old_url: str) -> None:
    attack(old_url, "INSERT INTO audit_trail.own_projection VALUES ('patient', 'mallory')")
    with pytest.raises(ConfigurationError, match="reserved for built-in ones: patient"):
        migrate(old_url)


@pytest.mark.parametrize(
    "change", ["updated_at = 'infinity'", "switched_at = '20000-01-01'", "failure = repeat('x', 20000)"]
)
def test_a_row_of_the_registry_that_no_program_can_read_is_named(old_url: str, change: str) -> None:
    attack(
        old_url,
        "INSERT INTO audit_trail.projection (name, build, version, schema_name) VALUES ('x', 1, 1, 'x_v1')",
        f"UPDATE audit_trail.projection SET {change} WHERE name = 'x'",
        role="audit_trail_projector",
    )
    with pytest.raises(ConfigurationError, match="that no program writes: x build 1"):
        migrate(old_url)
