"""Whatever a superuser changes, verification names the first bad position and what is wrong."""

from __future__ import annotations

import re
from typing import Any

import pytest

from event_store.signing import HeadSigner
from event_store.tlog.notes import SigningKey
from tests.event_store.verify.tampered_log import Log, forged
from tests.signing import KEY, signer

BODY = "UPDATE audit_trail.event SET body = replace(body::text, {}, {})::bytea WHERE position = 300"


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
        ("event_id = gen_random_uuid()", "its column event_id differs from its body"),
        ("format = 2", "its body is not an event"),
        ("type = 'user.logged_in'", "its column type differs from its body"),
        ("occurred_at = occurred_at + interval '1 microsecond'", "its column occurred_at differs from its body"),
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
            " 3 heads in total do not match"
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


def test_a_log_without_its_state_is_not_intact(log: Log) -> None:
    log.attack("DELETE FROM audit_trail.log_state")
    assert "no state row" in log.findings()[0]


def test_verification_from_a_position_on_trusts_nothing_but_signed_heads(log: Log) -> None:
    assert log.verify(since=600).since == 0
    log.attack("UPDATE audit_trail.event SET type = 'user.logged_in' WHERE position = 619")
    assert log.findings(since=600) == ["position 619: its column type differs from its body"]


def test_findings_never_repeat_what_an_event_says(log: Log) -> None:
    log.attack(
        "UPDATE audit_trail.event SET type = 'secret.type',"
        " body = convert_to('{\"patient\":\"Jane Roe\"}', 'UTF8') WHERE position = 300"
    )
    assert not re.search("Jane|secret", " ".join(log.findings()))


def test_a_reader_can_verify_and_change_nothing(log: Log) -> None:
    before = versions(log)
    assert any(before)
    log.verify()
    assert versions(log) == before


def versions(log: Log) -> list[list[tuple[Any, ...]]]:
    """The rows of each table, and the transactions that wrote them."""
    tables = log.rows("SELECT format('%I.%I', schemaname, relname) FROM pg_stat_user_tables ORDER BY 1")
    return [
        log.rows(f"SELECT xmin::text, each::text FROM {name} AS each ORDER BY 1, 2") for (name,) in tables
    ]


def test_the_keys_of_the_database_are_used_when_nobody_names_others(log: Log) -> None:
    assert log.verify(keys=()).findings == ()
    assert KEY.verifier.encode() in {vkey for (vkey,) in log.rows("SELECT vkey FROM audit_trail.log_key")}
