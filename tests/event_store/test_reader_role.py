"""What `serve` reads with: behind the rules of access stands a role of the database that can't write anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from psycopg2 import errors, sql

from event_store.database import READER, Cursor
from tests.hospital import hospital

_OURS = "nspname !~ '^pg_' AND nspname <> 'information_schema'"


@pytest.fixture
def reader(hospital_url: str) -> Iterator[Cursor]:
    """A cursor of the role, on a trail with all read models."""
    with closing(psycopg2.connect(hospital_url)) as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(READER)))
        yield cursor


def test_it_reads_and_has_no_right_to_write_any_table(reader: Cursor) -> None:
    reader.execute(
        f"""
        SELECT format('%I.%I', nspname, relname),
               has_table_privilege(pg_class.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER, REFERENCES')
                   OR has_any_column_privilege(pg_class.oid, 'INSERT, UPDATE')
          FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
         WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND {_OURS}
        """
    )
    tables = dict(reader.fetchall())
    assert {"audit_trail.event", "activity_v5.activity", "patient_v4.patient_access"} <= tables.keys()
    assert [name for name, writes in tables.items() if writes] == []
    reader.execute("SELECT count(*) FROM audit_trail.event")
    assert reader.fetchone() == (len(hospital()),)


def test_it_makes_nothing_moves_no_sequence_and_runs_two_things_with_the_rights_of_others(
    reader: Cursor,
) -> None:
    reader.execute(f"SELECT nspname FROM pg_namespace WHERE has_schema_privilege(oid, 'CREATE') AND {_OURS}")
    assert reader.fetchall() == []
    reader.execute("SELECT has_database_privilege(current_database(), 'CREATE')")
    assert reader.fetchone() == (False,)
    reader.execute("SELECT oid::regclass FROM pg_class WHERE relkind = 'S'")
    sequences = [name for (name,) in reader.fetchall()]
    for name in sequences:
        reader.execute("SELECT has_sequence_privilege(%s, 'USAGE, UPDATE')", (name,))
        assert reader.fetchone() == (False,), name
    reader.execute(
        f"""
        SELECT pg_proc.oid::regprocedure FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
         WHERE prosecdef AND has_function_privilege(pg_proc.oid, 'EXECUTE') AND {_OURS}
        """
    )
    asks = "audit_trail.request_operation(text,text,text,text,text,text,text[],text)"
    gives = "audit_trail.submit_case_command(uuid,uuid,text,jsonb,text,text,text,text[],text[],text)"
    # See tests/event_store/test_operation_requests.py and test_case_commands.py.
    assert sorted(name for (name,) in reader.fetchall()) == sorted([asks, gives])


def test_it_is_no_superuser_and_a_member_of_no_other_role(reader: Cursor) -> None:
    reader.execute(
        """
        SELECT rolsuper, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls,
               (SELECT count(*) FROM pg_auth_members WHERE member = pg_roles.oid)
          FROM pg_roles WHERE rolname = %s
        """,
        (READER,),
    )
    assert reader.fetchone() == (False, False, False, False, False, False, 0)


def test_what_it_tries_to_write_is_refused(reader: Cursor) -> None:
    for statement in (
        "UPDATE activity_v5.activity SET actor_id = 'nobody'",
        "DELETE FROM patient_v4.patient_access",
        "CREATE TABLE audit_trail.mine (id integer)",
        "CREATE TEMPORARY TABLE mine (id integer)",
        "CREATE FUNCTION pg_temp.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "INSERT INTO audit_trail.event_identity VALUES (gen_random_uuid(), 1)",
    ):
        reader.execute("SAVEPOINT before")
        with pytest.raises(errors.InsufficientPrivilege):
            reader.execute(statement)
        reader.execute("ROLLBACK TO before")
