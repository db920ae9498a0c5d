"""What one analyst has or writes is bounded, so that it stops neither the built-in projections nor other readers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import pytest

from domain.errors import ConfigurationError, ConflictError, UnavailableError
from event_store.database import ANALYST, CUSTOM_ROLE_PREFIX, Connection, Database, only
from projections.custom.access import begin_custom, open_custom
from projections.custom.declaration import MAX_COLUMNS, MAX_INDEXES, MAX_TABLES
from projections.custom.removal import remove
from projections.custom.source_file import load_custom
from projections.registry import list_builds, register, skipped
from queries.export.pipeline import Exports
from queries.export.request import ExportRequest, Format
from queries.live_tables.pages import RowRequest
from tests.projections.custom.analyst import HEAD, PYTHON, project, write
from tests.trail import Trail, an_event


@pytest.fixture
def own(trail: Trail, ada: str, tmp_path: Path) -> Iterator[str]:
    """The name of a custom projection of ada's, with rows of one event."""
    name = f"own_{uuid4().hex[:8]}"
    file = write(tmp_path, HEAD + PYTHON, name=name)
    begin_custom(ada, load_custom(file))
    trail.append(an_event())
    project(trail, file)
    yield name
    remove(trail.url, name, by="op", reason="a test", publish=lambda _: None, wait_seconds=5)


def as_custom(url: str, name: str, statement: str) -> None:
    """Run in the projection's role, with the login of the URL, and commit."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {CUSTOM_ROLE_PREFIX}{name}")
        cursor.execute(statement)


TIMES = ("20000-01-01", "0044-01-01 BC", "infinity", "-infinity")


@pytest.mark.parametrize(
    "change",
    [
        *(
            f"{column} = '{time}'"
            for column in ("updated_at", "switched_at", "attested_at")
            for time in TIMES
        ),
        "failure = repeat('x', 10001)",
        "definition = repeat('x', 201)",
        "code_digest = repeat('x', 201)",
        "attestation = convert_to(repeat('x', 1000001), 'UTF8')",
        "position = 9223372036854775807",
    ],
)
def test_a_row_that_no_program_can_read_does_not_get_into_the_registry(
    trail: Trail, ada: str, own: str, change: str
) -> None:
    with pytest.raises(psycopg2.errors.CheckViolation):
        as_custom(ada, own, f"UPDATE audit_trail.projection SET {change} WHERE name = '{own}'")
    assert trail.given(an_event()) == [1]
    with trail.reader.transaction(read_only=True) as connection:
        assert own in {build.name for build in list_builds(connection)}


def test_decisions_of_others_are_not_read(trail: Trail, ada: str, own: str) -> None:
    as_custom(
        ada,
        own,
        "INSERT INTO audit_trail.projection_skip (name, position, event_id, failure, reason, decided_by, applied)"
        f" SELECT '{own}', n, gen_random_uuid(), 'x', 'x', 'x', true FROM generate_series(1, 10) AS n",
    )
    with trail.projector.transaction(read_only=True) as connection:
        assert skipped(connection, ["patient"]) == {}
        assert len(skipped(connection, [own])[own]) == 10


def test_the_limits_of_the_database_are_those_of_the_program(trail: Trail) -> None:
    with closing(psycopg2.connect(trail.url)) as connection, connection.cursor() as cursor:
        limits = {}
        for what in ("projections", "builds", "tables", "columns", "indexes"):
            cursor.execute("SELECT audit_trail.projection_limit(%s)", (what,))
            limits[what] = only(cursor)
    assert limits == {
        "projections": 50,
        "builds": 30,
        "tables": MAX_TABLES,
        "columns": MAX_COLUMNS,
        "indexes": MAX_INDEXES,
    }


def test_a_login_begins_so_many_projections(ada: str) -> None:
    """And goes on with those that it has."""
    with closing(Database(ada, ANALYST, size=1)) as database:
        with (
            pytest.raises(ConfigurationError, match="has begun 50 projections, which is the most: remove"),
            database.transaction() as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT audit_trail.own_projection('many_' || n) FROM generate_series(1, 51) AS n")
        with closing(psycopg2.connect(ada)) as connection, connection.cursor() as cursor:
            connection.set_session(isolation_level="REPEATABLE READ")
            with pytest.raises(psycopg2.errors.ActiveSqlTransaction, match="READ COMMITTED"):
                cursor.execute("SELECT audit_trail.own_projection('many_1')")


def test_a_projection_has_so_many_builds(trail: Trail, ada: str, own: str) -> None:
    with closing(psycopg2.connect(ada)) as connection, connection.cursor() as cursor:
        with pytest.raises(
            psycopg2.Error, match="has 30 builds, which is the most: drop the old ones"
        ) as refused:
            cursor.execute(
                "SELECT audit_trail.make_own_schema(%s, %s || n) FROM generate_series(2, 40) AS n",
                (own, f"{own}_v1_b"),
            )
        assert refused.value.pgcode == "AT001"
    with pytest.raises(psycopg2.Error, match="has 30 builds"):
        as_custom(
            ada,
            own,
            "INSERT INTO audit_trail.projection (name, build, version, schema_name, live)"
            f" SELECT '{own}', n, 1, '{own}_v1_b' || n, false FROM generate_series(100, 140) AS n",
        )
    assert trail.given(an_event()) == [1]


TABLE: dict[str, Any] = {
    "name": "t",
    "merged": True,
    "key": ["a"],
    "carried": [],
    "columns": [{"name": "a", "kind": "text", "nullable": False}],
    "indexes": [],
}
MANY: list[Any] = [{"name": f"c{n}", "kind": "text", "nullable": False} for n in range(101)]


CHANGES: tuple[dict[str, Any], ...] = (
    {"columns": None},
    {"columns": MANY},
    {"key": []},
    {"key": None},
    {"key": [f"c{n}" for n in range(33)], "columns": MANY[:40]},
    {"carried": [f"c{n}" for n in range(32)], "columns": [*TABLE["columns"], *MANY[:40]]},
    {"indexes": None},
    {
        "indexes": [{"columns": [f"c{n}"], "where": None} for n in range(21)],
        "columns": MANY[:40],
        "key": ["c0"],
    },
    {"indexes": [{"columns": [], "where": None}]},
    {"indexes": [{"columns": ["a"] * 33, "where": None}]},
)


@pytest.mark.parametrize(
    "tables",
    [
        None,
        {},
        [TABLE | {"name": f"t{n}"} for n in range(21)],
        *([TABLE | change] for change in CHANGES),
        *(
            [{key: value for key, value in TABLE.items() if key != left_out}]
            for left_out in ("key", "columns", "indexes")
        ),
    ],
)
def test_a_description_beyond_the_limits_is_refused(ada: str, own: str, tables: object) -> None:
    with closing(psycopg2.connect(ada)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT audit_trail.make_own_schema(%s, %s)", (own, f"{own}_v9"))
        with pytest.raises(psycopg2.errors.InvalidParameterValue):
            cursor.execute(
                "SELECT audit_trail.make_custom_tables(%s, %s, %s, false)",
                (own, f"{own}_v9", json.dumps(tables)),
            )


def test_a_build_gets_no_tables_without_end(ada: str, own: str) -> None:
    with closing(psycopg2.connect(ada)) as connection, connection.cursor() as cursor:
        with pytest.raises(psycopg2.Error, match="a build may have 20 tables") as refused:
            cursor.execute(
                "SELECT audit_trail.make_custom_tables(%s, %s,"
                " jsonb_build_array(%s::jsonb || jsonb_build_object('name', 't' || n)), false)"
                " FROM generate_series(1, 50) AS n",
                (own, f"{own}_v1", json.dumps(TABLE)),
            )
        assert refused.value.pgcode == "AT001"


@pytest.mark.parametrize("mode", ["SHARE UPDATE EXCLUSIVE", "SHARE", "EXCLUSIVE", "ACCESS EXCLUSIVE"])
def test_an_analyst_does_not_lock_an_own_table(ada: str, own: str, mode: str) -> None:
    """And still updates each of its rows."""
    for table in (f"{own}_v1.{own}", f"{own}_v1.{own}_log"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            as_custom(ada, own, f"LOCK TABLE {table} IN {mode} MODE")
    as_custom(ada, own, f"UPDATE {own}_v1.{own} SET events = events, last_at = last_at WHERE true")


@pytest.mark.thorough  # test_locks.py has an analyst who locks a projection in each run
def test_what_an_analysts_session_keeps_locked_is_waited_for_some_seconds(
    trail: Trail, ada: str, own: str, tmp_path: Path
) -> None:
    projector = load_custom(write(tmp_path, HEAD + PYTHON, name=own))
    with closing(psycopg2.connect(ada)) as analyst, analyst.cursor() as cursor:
        cursor.execute(f"SET ROLE {CUSTOM_ROLE_PREFIX}{own}")
        cursor.execute("SELECT name FROM audit_trail.projection_lock WHERE name = %s FOR UPDATE", (own,))
        with (
            closing(open_custom(trail.url, own, 1)) as database,
            pytest.raises(UnavailableError, match="another session holds a lock"),
        ):
            register(database, projector)
        analyst.rollback()
        cursor.execute(f"SET ROLE {CUSTOM_ROLE_PREFIX}{own}")
        cursor.execute(f"LOCK TABLE {own}_v1.{own} IN ROW EXCLUSIVE MODE")
        described = TABLE | {
            "name": own,
            "key": ["actor_id"],
            "indexes": [{"columns": ["last_at"], "where": None}],
        }
        with (
            closing(open_custom(trail.url, own, 1)) as database,
            pytest.raises(UnavailableError, match="another session holds a lock"),
            database.transaction() as connection,
        ):
            call(connection, own, f"{own}_v1", described)


def call(connection: Connection, name: str, schema: str, table: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT audit_trail.index_custom_table(%s, %s, %s, 1)", (name, schema, json.dumps(table))
        )


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("last_at", "'20000-01-01'"),
        ("last_at", "'0044-01-01 BC'"),
        ("place", "(repeat('[', 5000) || repeat(']', 5000))::jsonb"),
        ("place", "repeat('9', 10000)::jsonb"),
    ],
)
def test_a_value_that_python_lacks_is_an_error_with_the_tables_name(
    trail: Trail, ada: str, own: str, column: str, value: str
) -> None:
    table = own if column == "last_at" else f"{own}_log"
    as_custom(ada, own, f"UPDATE {own}_v1.{table} SET {column} = {value}")
    with pytest.raises(ConflictError, match=f"table {table} has a value that can't be shown"):
        trail.read.table_rows(RowRequest(projection=own, table=table, first=1))
    with Exports(trail.reader).open(ExportRequest(format=Format.CSV, table=table)) as opened:
        if column == "last_at":
            with pytest.raises(ConflictError, match=f"table {table} has a value that can't be shown"):
                list(opened.batches())
        else:  # JSON is exported as the text that PostgreSQL has
            assert [len(each.rows) for each in opened.batches()] == [1]


def test_a_names_failure_is_kept_short(trail: Trail, ada: str, tmp_path: Path) -> None:
    """An exception may have any name."""
    name = f"long_{uuid4().hex[:8]}"
    text = HEAD + "\ndef rows(events):\n    raise type('E' * 1_000_000, (Exception,), {{}})\n"
    file = write(tmp_path, text, name=name)
    begin_custom(ada, load_custom(file))
    trail.append(an_event())
    project(trail, file)
    with trail.reader.transaction(read_only=True) as connection:
        [build] = [each for each in list_builds(connection) if each.name == name]
    assert build.failure is not None
    assert len(build.failure) == 2000
    remove(trail.url, name, by="op", reason="a test", publish=lambda _: None, wait_seconds=5)
