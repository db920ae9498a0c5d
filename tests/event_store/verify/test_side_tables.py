"""What is kept beside the events has to agree with them: tiles, heads, streams and offsets."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.event_store.verify.tampered_log import Log
from tests.signing import KEY


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
    assert "position 256: tile 0/1 does not contain 256 hashes" in log.findings()


def test_a_tile_of_no_level_is_found(log: Log) -> None:
    log.attack("INSERT INTO audit_trail.tile SELECT -1, 0, hashes FROM audit_trail.tile WHERE index = 0")
    assert "tile -1/0 is beyond the end of the log" in log.findings()


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
    assert any("stored with another size or root" in finding for finding in log.findings())


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
