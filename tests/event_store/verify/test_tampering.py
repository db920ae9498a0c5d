"""Whatever a superuser changes, verification names the first bad position and what is wrong."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path
from uuid import UUID

import psycopg2
import pytest

from event_store.database import Database
from event_store.signing import HeadSigner
from event_store.tlog.notes import SigningKey
from event_store.verify import structure
from event_store.verify.structure import describe
from tests.event_store.verify.tampering import Log, forged
from tests.signing import KEY, signer

BODY = "UPDATE audit_trail.event SET body = replace(body::text, {}, {})::bytea WHERE position = 300"


@pytest.fixture
def log(migrated_url: str) -> Log:
    """A log of 620 events in five batches: two full tiles and an edge."""
    return Log(migrated_url, [1, 255, 200, 64, 100])


def test_an_untouched_log_is_intact(log: Log) -> None:
    report = log.verify(log.head())
    assert report.findings == ()
    assert (report.size, report.hashed, report.heads) == (620, 620, 7)
    ((root,),) = log.rows("SELECT root FROM audit_trail.log_state")
    assert report.root == bytes(root)


@pytest.mark.parametrize("sizes", [[], [1], [255], [256], [257]])
def test_a_log_of_any_size_is_intact(sizes: list[int], migrated_url: str) -> None:
    log = Log(migrated_url, sizes or [0])
    log.add_aggregate()
    log.add(3)
    assert log.findings() == []


@pytest.mark.parametrize("position", [0, 255, 256, 300, 511, 512, 619])
def test_an_altered_body_is_found_at_its_position(position: int, log: Log) -> None:
    log.attack(
        "UPDATE audit_trail.event SET body = convert_to(replace(convert_from(body, 'UTF8'), 'u1', 'u2'), 'UTF8')"
        f" WHERE position = {position}"
    )
    assert log.findings() == [
        f"position {position}: the event was altered: it is not what was sealed and signed"
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("recorded_at = recorded_at - interval '1 hour'", "the event was altered"),
        ("stream_position = 4000000", "the event was altered"),
        ("event_id = gen_random_uuid()", "its column event_id is not what its body says"),
        ("format = 2", "its body is not an event"),
        ("type = 'user.logged_in'", "its column type is not what its body says"),
        ("occurred_at = occurred_at + interval '1 microsecond'", "its column occurred_at is not what its body says"),
    ],
)  # fmt: skip
def test_an_altered_column_is_found_at_its_position(change: str, says: str, log: Log) -> None:
    log.attack(f"UPDATE audit_trail.event SET {change} WHERE position = 300")
    first = log.findings()[0]
    assert first.startswith("position 300: ")
    assert any(says in finding for finding in log.findings())


def test_a_deleted_row_is_missed(log: Log) -> None:
    log.attack("DELETE FROM audit_trail.event WHERE position = 300")
    assert log.findings()[0] == "position 300: its event is missing"


def test_a_row_that_is_deleted_with_its_id_is_missed(log: Log) -> None:
    log.attack(
        "DELETE FROM audit_trail.event WHERE position BETWEEN 300 AND 302",
        "DELETE FROM audit_trail.event_identity WHERE position BETWEEN 300 AND 302",
    )
    assert log.findings() == ["position 300: the events up to position 302 are missing"]


def test_swapped_rows_are_found_at_the_first_of_them(log: Log) -> None:
    log.attack(
        "ALTER TABLE audit_trail.event DROP CONSTRAINT event_pkey",
        "UPDATE audit_trail.event SET position = 711 - position WHERE position IN (300, 411)",
    )
    found = log.findings()
    assert found[0].startswith("position 300: ")
    assert "position 300: the event was altered: it is not what was sealed and signed" in found
    assert "position 411: the event was altered: it is not what was sealed and signed" in found


def test_an_inserted_row_at_the_end_is_found(log: Log) -> None:
    log.attack(
        "INSERT INTO audit_trail.event SELECT 620, 700, recorded_at, occurred_at, stream, gen_random_uuid(), format,"
        " type, body FROM audit_trail.event WHERE position = 5"
    )
    assert log.findings() == [
        "position 620: its event id is not among the known ids",
        "position 620: there is an event, although the log's state ends before 620",
    ]


def test_an_inserted_row_in_the_middle_is_found(log: Log) -> None:
    log.attack(
        "ALTER TABLE audit_trail.event DROP CONSTRAINT event_pkey",
        "UPDATE audit_trail.event SET position = position + 1 WHERE position >= 300",
        "INSERT INTO audit_trail.event SELECT 300, 299, recorded_at, occurred_at, stream, gen_random_uuid(), format,"
        " type, body FROM audit_trail.event WHERE position = 5",
    )
    log.recompute()
    found = log.findings()
    assert found[0].startswith("position 256: from here to position 455 the log is not what the signed head")
    assert "position 300: its event id is not among the known ids" in found


def test_two_rows_at_one_position_are_found(log: Log) -> None:
    log.attack(
        "ALTER TABLE audit_trail.event DROP CONSTRAINT event_pkey",
        "INSERT INTO audit_trail.event SELECT * FROM audit_trail.event WHERE position = 300",
    )
    assert log.findings()[0] == "position 300: there is more than one event here"


def test_a_truncated_tail_is_found_by_the_heads_that_were_signed(log: Log) -> None:
    log.attack(
        "DELETE FROM audit_trail.event WHERE position >= 520",
        "DELETE FROM audit_trail.event_identity WHERE position >= 520",
    )
    log.recompute()
    assert log.findings()[0] == (
        "position 520: a head of size 620 was signed, but the log ends here: its tail is gone"
    )


def test_a_truncated_tail_without_its_heads_is_found_by_a_head_kept_elsewhere(log: Log) -> None:
    kept = log.head()
    log.attack(
        "DELETE FROM audit_trail.event WHERE position >= 520",
        "DELETE FROM audit_trail.event_identity WHERE position >= 520",
        "DELETE FROM audit_trail.tree_head WHERE size > 520",
        "UPDATE audit_trail.kafka_stream SET next_offset = 520",
    )
    log.recompute()
    assert log.findings() == []  # inside the database nothing is left to contradict it
    assert log.findings(kept)[0].startswith(
        "position 520: the log ends here, but the signed head in a drawer proves 620 events"
    )


def test_a_tree_recomputed_without_the_key_is_found_by_the_signed_heads(log: Log) -> None:
    log.attack(
        "UPDATE audit_trail.event SET body = convert_to(replace(convert_from(body, 'UTF8'), 'u1', 'u2'), 'UTF8')"
        " WHERE position = 300"
    )
    log.recompute()
    assert log.findings() == [
        (
            "position 256: from here to position 455 the log is not what the signed head of size 456 says;"
            " 3 heads in all do not fit"
        )
    ]


def test_heads_of_another_key_are_no_heads(log: Log) -> None:
    log.attack(
        "UPDATE audit_trail.event SET body = convert_to(replace(convert_from(body, 'UTF8'), 'u1', 'u2'), 'UTF8')"
        " WHERE position = 300"
    )
    stranger = HeadSigner([SigningKey.generate("audit-trail.test/log")])
    log.recompute(stranger)
    assert all("no known key has signed" in finding for finding in log.findings())
    assert len(log.findings()) == 5


def test_a_tree_recomputed_with_the_key_is_found_by_an_older_head_kept_elsewhere(log: Log) -> None:
    kept = log.head()
    log.attack(
        "UPDATE audit_trail.event SET body = convert_to(replace(convert_from(body, 'UTF8'), 'u1', 'u2'), 'UTF8')"
        " WHERE position = 300"
    )
    log.recompute(signer())
    log.add(30)
    assert log.findings() == []  # the key vouches for the lie
    assert log.findings(kept) == [
        "position 520: from here to position 619 the log is not what the signed head of size 620 in a drawer says"
    ] or log.findings(kept)[0].endswith("the log is not what the signed head of size 620 in a drawer says")


def test_a_kept_head_of_another_history_is_found(log: Log) -> None:
    assert "signed head of size 456 in a drawer" in log.findings(forged(456, bytes(32)))[0]
    assert "size 0 in a drawer is not that of the empty log" in log.findings(forged(0, bytes(32)))[0]


@pytest.mark.parametrize(("level", "index", "position"), [(0, 0, 7), (0, 1, 263)])
def test_a_replaced_tile_is_found_at_its_first_bad_hash(
    level: int, index: int, position: int, log: Log
) -> None:
    log.attack(
        f"UPDATE audit_trail.tile SET hashes = overlay(hashes placing sha256('x') from {7 * 32 + 1})"
        f" WHERE level = {level} AND index = {index}"
    )
    assert log.findings() == [
        f"position {position}: hash 7 of tile {level}/{index} was replaced; the signed heads confirm the event"
    ]


def test_a_missing_tile_is_found(log: Log) -> None:
    log.attack("DELETE FROM audit_trail.tile WHERE index = 1")
    assert log.findings()[0] == "position 256: tile 0/1 is missing"


def test_a_changed_edge_is_found(log: Log) -> None:
    log.attack("UPDATE audit_trail.log_state SET edge = overlay(edge placing sha256('x') from 33)")
    assert any(finding.startswith("position 513: ") for finding in log.findings())


def test_a_changed_root_is_found(log: Log) -> None:
    log.attack("UPDATE audit_trail.log_state SET root = sha256('x')")
    assert log.findings() == ["the log's state has another root hash than its 620 events"]


def test_deleted_heads_are_missed(log: Log) -> None:
    log.attack("DELETE FROM audit_trail.tree_head WHERE size = 456")
    assert log.findings() == ["position 455: its batch ends here, and the signed head of size 456 is gone"]
    log.attack("DELETE FROM audit_trail.tree_head WHERE size > 300")
    assert "position 256: no signed head covers this and what follows, up to 619" in log.findings()
    log.attack("DELETE FROM audit_trail.tree_head")
    assert "position 0: the log has 620 events and no signed head" in log.findings()


def test_a_head_with_another_time_than_its_batch_is_found(log: Log) -> None:
    log.attack("UPDATE audit_trail.tree_head SET signed_at = '1999-01-01' WHERE size = 456")
    assert log.findings() == ["position 455: the head of size 456 has another time than its batch"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_trail.tile SET hashes = '' WHERE level = 0 AND index = 1",
        "UPDATE audit_trail.tile SET hashes = substr(hashes, 1, 8160) WHERE level = 0 AND index = 1",
        "UPDATE audit_trail.tile SET hashes = hashes || 'evil'::bytea WHERE level = 0 AND index = 1",
    ],
)
def test_a_tile_of_another_length_is_found(change: str, log: Log) -> None:
    log.attack("ALTER TABLE audit_trail.tile DROP CONSTRAINT tile_hashes_check", change)
    assert "position 256: tile 0/1 does not hold 256 hashes" in log.findings()


def test_a_tile_of_no_level_is_found(log: Log) -> None:
    log.attack("INSERT INTO audit_trail.tile SELECT -1, 0, hashes FROM audit_trail.tile WHERE index = 0")
    assert "tile -1/0 is beyond the end of the log" in log.findings()


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO audit_trail.event_identity VALUES (gen_random_uuid(), -5)",
        (
            "ALTER TABLE audit_trail.event_identity ALTER COLUMN position DROP NOT NULL;"
            " INSERT INTO audit_trail.event_identity VALUES (gen_random_uuid(), NULL)"
        ),
        "INSERT INTO audit_trail.aggregate_version VALUES (gen_random_uuid(), 1, -9)",
    ],
)
@pytest.mark.parametrize("since", [0, 600])
def test_a_position_that_no_event_has_is_found(change: str, since: int, log: Log) -> None:
    log.attack(change)
    assert any("known, but its event is not there" in finding for finding in log.findings(since=since))


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


@pytest.mark.parametrize(
    "change",
    [
        (
            "INSERT INTO audit_trail.stream_reset"
            f" SELECT stream, 0, 0, 0, now(), '{UUID(int=0)}' FROM audit_trail.kafka_stream;"
            " UPDATE audit_trail.kafka_stream SET next_offset = 0"
        ),
        (
            "INSERT INTO audit_trail.stream_reset"
            " SELECT stream, 620, 0, 0, now(), gen_random_uuid() FROM audit_trail.kafka_stream;"
            " UPDATE audit_trail.kafka_stream SET next_offset = 0"
        ),
        (
            "INSERT INTO audit_trail.stream_reset SELECT stream, 620, 0, 0, now(), event_id"
            " FROM audit_trail.kafka_stream, audit_trail.event_identity WHERE position = 3;"
            " UPDATE audit_trail.kafka_stream SET next_offset = 0"
        ),
        (
            "INSERT INTO audit_trail.aggregate_version SELECT stream, 0, -7 FROM audit_trail.kafka_stream;"
            " UPDATE audit_trail.kafka_stream SET next_offset = 0"
        ),
    ],
)
def test_offsets_that_were_put_back_are_found_whatever_is_made_up_to_excuse_it(change: str, log: Log) -> None:
    log.attack(change)
    assert any("it came from offset 619" in finding for finding in log.findings())


def test_a_reset_that_no_event_accounts_for_is_found(log: Log) -> None:
    log.attack(
        "INSERT INTO audit_trail.stream_reset"
        " SELECT stream, 620, 0, 0, now(), gen_random_uuid() FROM audit_trail.kafka_stream"
    )
    assert any("at size 620 has no recording.gap event" in finding for finding in log.findings())


def test_a_stream_of_another_partition_than_it_says_is_found(log: Log) -> None:
    log.attack("UPDATE audit_trail.kafka_stream SET partition = 7")
    assert any("is not that of partition 7" in finding for finding in log.findings())


def test_a_head_stored_under_another_size_is_found(log: Log) -> None:
    log.attack("UPDATE audit_trail.tree_head SET size = 457 WHERE size = 456")
    assert any("stored beside another size or root" in finding for finding in log.findings())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("DELETE FROM audit_trail.event_identity WHERE position = 300", "position 300: its event id is not among"),
        ("UPDATE audit_trail.event_identity SET position = 301 WHERE position = 300", "position 300: its event id"),
        ("INSERT INTO audit_trail.event_identity VALUES (gen_random_uuid(), 300)", "position 300: the id"),
        ("DELETE FROM audit_trail.aggregate_version", "position 620: its "),
        ("INSERT INTO audit_trail.aggregate_version VALUES (gen_random_uuid(), 1, 9)", "position 9: a version of"),
        ("UPDATE audit_trail.kafka_stream SET next_offset = 600", "position 619: it came from offset 619"),
        ("DELETE FROM audit_trail.kafka_stream", "position 619: its stream"),
        (
            f"INSERT INTO audit_trail.cosignature VALUES (620, '{KEY.verifier.encode()}', 'no signature', now())",
            "a cosignature of the head of size 620 does not verify",
        ),
    ],
)  # fmt: skip
def test_what_is_kept_beside_the_events_has_to_agree(change: str, says: str, log: Log) -> None:
    log.add_aggregate()
    log.attack(change)
    assert log.findings()[0].startswith(says)


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
            "there is a trigger event.forge that is not of Audit Trail",
        ),
        (
            "SET allow_system_table_mods = on; " + FORGED.format("forge") + "CREATE TRIGGER forge BEFORE INSERT ON"
            " audit_trail.tile FOR EACH ROW EXECUTE FUNCTION forge();"
            " UPDATE pg_trigger SET tgisinternal = true WHERE tgname = 'forge'",
            "there is a trigger tile.forge that is not of Audit Trail",
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
            "there is a function audit_trail.sha256(bytea) that is not of Audit Trail",
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
    assert any("triggers can stay silent" in finding for finding in log.findings())


def test_a_log_without_its_state_is_not_intact(log: Log) -> None:
    log.attack("DELETE FROM audit_trail.log_state")
    assert "no state row" in log.findings()[0]


def test_verification_from_a_position_on_trusts_nothing_but_signed_heads(log: Log) -> None:
    assert log.verify(since=600).since == 0
    log.attack("UPDATE audit_trail.event SET type = 'user.logged_in' WHERE position = 619")
    assert log.findings(since=600) == ["position 619: its column type is not what its body says"]


def test_findings_never_repeat_what_an_event_says(log: Log) -> None:
    log.attack(
        "UPDATE audit_trail.event SET type = 'secret.type',"
        " body = convert_to('{\"patient\":\"Jane Roe\"}', 'UTF8') WHERE position = 300"
    )
    assert not re.search("Jane|secret", " ".join(log.findings()))


def test_a_reader_can_verify_and_change_nothing(log: Log, migrated_url: str) -> None:
    before = log.rows("SELECT sum(n_tup_upd + n_tup_del + n_tup_ins) FROM pg_stat_user_tables")
    log.verify()
    with closing(Database(migrated_url, None)) as database, database.transaction() as connection:
        del connection
    assert log.rows("SELECT sum(n_tup_upd + n_tup_del + n_tup_ins) FROM pg_stat_user_tables") == before


def test_the_keys_of_the_database_are_used_when_nobody_names_others(log: Log) -> None:
    assert log.verify(keys=()).findings == ()
    assert KEY.verifier.encode() in {vkey for (vkey,) in log.rows("SELECT vkey FROM audit_trail.log_key")}


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
