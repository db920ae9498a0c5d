"""What protects the log has to be there: triggers, grants, functions and tables as the migrations made them."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from event_store.database import Database
from event_store.verify import structure
from event_store.verify.structure import describe
from tests.event_store.verify.tampered_log import Log


def test_nothing_in_the_database_stands_for_what_postgresql_itself_has(log: Log, migrated_url: str) -> None:
    name = migrated_url.partition("?")[0].rpartition("/")[2]
    log.attack(
        "CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC",
        "CREATE FUNCTION evil.ne(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'select false'",
        "CREATE OPERATOR evil.<> (leftarg = text, rightarg = text, function = evil.ne)",
        "CREATE FUNCTION evil.s(bigint, bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'select 0::bigint'",
        "CREATE AGGREGATE evil.bit_xor(bigint) (sfunc = evil.s, stype = bigint, initcond = '0')",
        "GRANT UPDATE, DELETE ON audit_trail.event TO audit_trail_reader",
        "UPDATE audit_trail.event_identity SET position = 10 WHERE position = 20",
        f'ALTER DATABASE "{name}" SET search_path = evil, pg_catalog',
    )
    found = log.findings()
    assert any("right audit_trail_reader UPDATE on event" in finding for finding in found)
    assert any(finding.startswith("position 10: the id ") for finding in found)


FORGED = (
    "CREATE FUNCTION {}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN coalesce(NEW, OLD); END $$;"
)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("DROP TRIGGER event_append_only ON audit_trail.event", "trigger event.event_append_only is gone"),
        ("DROP TRIGGER event_no_truncate ON audit_trail.event_000000", "trigger event_partition.event_no_truncate is"),
        ("ALTER TABLE audit_trail.tile DISABLE TRIGGER ALL", "trigger tile.append_only is not what it was made: switch"),
        ("ALTER TABLE audit_trail.tile ENABLE REPLICA TRIGGER append_only", "trigger tile.append_only is not what"),
        ("DROP TRIGGER append_only ON audit_trail.tree_head", "trigger tree_head.append_only is gone"),
        (
            FORGED.format("audit_trail.refuse_change").replace("CREATE", "CREATE OR REPLACE"),
            "function audit_trail.refuse_change() is not what it was made",
        ),
        (
            ("DROP TRIGGER append_only ON audit_trail.tile; CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON"
            " audit_trail.tile FOR EACH ROW WHEN (false) EXECUTE FUNCTION audit_trail.refuse_change()"),
            "trigger tile.append_only is not what it was made",
        ),
        (
            FORGED.format("public.refuse_change") + "DROP TRIGGER append_only ON audit_trail.tile; CREATE TRIGGER"
            " append_only BEFORE UPDATE OR DELETE ON audit_trail.tile FOR EACH ROW"
            " EXECUTE FUNCTION public.refuse_change()",
            "trigger tile.append_only is not what it was made: on 27 public.refuse_change()",
        ),
        (
            FORGED.format("forge") + "CREATE TRIGGER forge BEFORE INSERT ON audit_trail.event FOR EACH ROW"
            " EXECUTE FUNCTION forge()",
            "there is a trigger event.forge that is not part of Audit Trail",
        ),
        (
            "SET allow_system_table_mods = on; " + FORGED.format("forge") + "CREATE TRIGGER forge BEFORE INSERT ON"
            " audit_trail.tile FOR EACH ROW EXECUTE FUNCTION forge();"
            " UPDATE pg_trigger SET tgisinternal = true WHERE tgname = 'forge'",
            "there is a trigger tile.forge that is not part of Audit Trail",
        ),
        ("CREATE RULE quiet AS ON UPDATE TO audit_trail.tile DO INSTEAD NOTHING", "rule tile.quiet"),
        ("ALTER TABLE audit_trail.event ENABLE ROW LEVEL SECURITY", "table event is not what it was made: p p with row"),
        ("ALTER TABLE audit_trail.cosignature SET UNLOGGED", "table cosignature is not what it was made"),
        ("GRANT UPDATE ON audit_trail.event TO audit_trail_reader", "right audit_trail_reader UPDATE on event"),
        ("GRANT DELETE ON audit_trail.event_000000 TO PUBLIC", "right everybody DELETE on event_partition"),
        ("GRANT UPDATE (body) ON audit_trail.event TO audit_trail_projector", "UPDATE on event body"),
        ("GRANT SELECT ON audit_trail.event TO PUBLIC", "right everybody SELECT on event"),
        ("GRANT CREATE ON SCHEMA audit_trail TO PUBLIC", "right everybody CREATE on the schema"),
        ("ALTER SCHEMA audit_trail OWNER TO audit_trail_reader", "the schema belongs to audit_trail_reader"),
        ("ALTER TABLE audit_trail.tile OWNER TO audit_trail_ingest", "tile belongs to audit_trail_ingest"),
        ("ALTER TABLE audit_trail.event_000000 OWNER TO audit_trail_reader", "event_000000 belongs to audit_trail_reader"),
        ("ALTER FUNCTION audit_trail.refuse_change() OWNER TO audit_trail_reader", "function refuse_change belongs to"),
        (
            "ALTER FUNCTION audit_trail.stage_custom_table(text, text, text) OWNER TO audit_trail_reader",
            "function stage_custom_table belongs to audit_trail_reader",
        ),
        (
            "ALTER FUNCTION audit_trail.drop_custom_schema(text, text) OWNER TO CURRENT_USER",
            "function drop_custom_schema belongs to",
        ),
        ("ALTER FUNCTION audit_trail.batch_rows(text, jsonb, integer) OWNER TO CURRENT_USER", "function batch_rows belongs"),
        ("ALTER FUNCTION audit_trail.refuse_change() SET search_path = evil", "function audit_trail.refuse_change() is not"),
        ("ALTER FUNCTION audit_trail.refuse_change() SECURITY DEFINER", "function audit_trail.refuse_change() is not"),
        (
            "CREATE FUNCTION audit_trail.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'select $1'",
            "there is a function audit_trail.sha256(bytea) that is not part of Audit Trail",
        ),
        (
            ("ALTER TABLE audit_trail.event_identity DROP CONSTRAINT event_identity_pkey;"
            " ALTER TABLE audit_trail.event_identity ADD PRIMARY KEY (event_id, position)"),
            "constraint event_identity: PRIMARY KEY (event_id) is gone",
        ),
        ("ALTER TABLE audit_trail.tile DROP CONSTRAINT tile_hashes_check", "constraint tile: CHECK"),
        ("ALTER TABLE audit_trail.log_key ADD COLUMN note text", "there is a column log_key.note"),
        ("ALTER TABLE audit_trail.tree_head ALTER COLUMN signed_at TYPE timestamp", "column tree_head.signed_at is not"),
        (
            "ALTER DEFAULT PRIVILEGES IN SCHEMA audit_trail GRANT ALL ON TABLES TO audit_trail_reader",
            "tables to come have rights that nobody should have",
        ),
    ],
)  # fmt: skip
def test_what_protects_the_log_has_to_be_there(change: str, says: str, log: Log) -> None:
    log.attack(change)
    assert any(says in finding for finding in log.findings()), log.findings()


@pytest.mark.parametrize(
    ("change", "undone", "says"),
    [
        ("GRANT pg_write_all_data TO audit_trail_reader", "REVOKE pg_write_all_data FROM audit_trail_reader", "pg_write"),
        ("GRANT audit_trail_ingest TO audit_trail_reader", "REVOKE audit_trail_ingest FROM audit_trail_reader", "ingest"),
        ("ALTER ROLE audit_trail_analyst SUPERUSER", "ALTER ROLE audit_trail_analyst NOSUPERUSER", "is a superuser"),
        (
            "GRANT SET ON PARAMETER session_replication_role TO audit_trail_ingest",
            "REVOKE SET ON PARAMETER session_replication_role FROM audit_trail_ingest",
            "audit_trail_ingest may set session_replication_role",
        ),
        (
            "CREATE ROLE mallory LOGIN IN ROLE audit_trail_custom_owner",
            "DROP ROLE mallory",
            "mallory is a member of audit_trail_custom_owner",
        ),
    ],
)  # fmt: skip
def test_a_service_that_may_do_more_than_it_needs_is_found(
    change: str, undone: str, says: str, log: Log
) -> None:
    log.attack(change)
    try:
        assert any(says in finding for finding in log.findings())
    finally:
        log.attack(undone)


def test_a_log_with_projections_of_analysts_is_intact(log: Log) -> None:
    log.attack("SELECT audit_trail.own_projection('of_verification')")
    try:
        assert log.findings() == []
    finally:
        log.attack("SELECT audit_trail.remove_own_projection('of_verification')")


def test_a_database_that_was_only_migrated_is_as_its_description_says(log: Log) -> None:
    with (
        closing(Database(log.url, None)) as database,
        database.transaction(read_only=True) as connection,
    ):
        described = describe(connection)
    kept = json.loads(Path(structure.__file__).with_name("structure.json").read_text())
    assert described == kept, (
        "run `python -m event_store.verify.structure URL` with a database of this release"
    )


def test_triggers_silenced_for_a_database_are_found(log: Log, migrated_url: str) -> None:
    name = migrated_url.partition("?")[0].rpartition("/")[2]
    with closing(psycopg2.connect(migrated_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" SET session_replication_role = replica')
    assert any("triggers can be disabled" in finding for finding in log.findings())


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE audit_trail.tree_head ALTER COLUMN note DROP NOT NULL; UPDATE audit_trail.tree_head SET note = NULL",
        "ALTER TABLE audit_trail.tree_head ALTER COLUMN root DROP NOT NULL; UPDATE audit_trail.tree_head SET root = NULL",
        "ALTER TABLE audit_trail.log_state ALTER COLUMN edge DROP NOT NULL; UPDATE audit_trail.log_state SET edge = NULL",
        "ALTER TABLE audit_trail.tile DROP CONSTRAINT tile_hashes_check, ALTER COLUMN hashes TYPE text USING hashes::text",
        "ALTER TABLE audit_trail.event_identity ALTER COLUMN position TYPE numeric",
        "DROP TABLE audit_trail.tile",
        "DROP TABLE audit_trail.cosignature",
    ],
)
def test_tables_that_hold_what_they_never_could_are_a_finding(change: str, log: Log) -> None:
    log.attack(change)
    assert log.findings()
