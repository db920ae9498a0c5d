"""Verification of a log of several chunks: in parallel, and from a position on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.databases import MIGRATED, Databases
from tests.event_store.verify.tampered_log import Log

SIZE = 2 * 65_536 + 300


@pytest.fixture(scope="module")
def large(databases: Databases) -> Iterator[Log]:
    with databases.copy(MIGRATED) as url:
        yield Log(url, [SIZE // 10] * 10 + [SIZE % 10])


@pytest.mark.thorough
def test_chunks_are_verified_in_parallel(large: Log) -> None:
    report = large.verify(large.head(), jobs=2)
    assert report.findings == ()
    assert (report.size, report.hashed) == (SIZE, SIZE)
    assert report.root == large.verify().root


def test_only_what_follows_a_position_is_read(large: Log) -> None:
    for since, first in ((65_535, 0), (65_536, 65_536), (131_072, 131_072), (SIZE, 131_072)):
        report = large.verify(since=since, jobs=2)
        assert report.findings == ()
        assert (report.since, report.hashed) == (first, SIZE - first)
        assert report.root == large.verify(since=SIZE).root


@pytest.mark.thorough
def test_a_change_is_found_in_whichever_chunk_it_is(large: Log) -> None:
    large.attack(
        "UPDATE audit_trail.tile SET hashes = overlay(hashes placing sha256('x') from 65) WHERE level = 1"
    )
    try:
        assert large.findings() == [
            "position 512: hash 2 of tile 1/0 does not match the events below it",
            "position 66048: hash 2 of tile 1/1 does not match the events below it",
        ]
    finally:
        large.recompute()
    large.attack("UPDATE audit_trail.event SET recorded_at = now() WHERE position IN (70000, 131200)")
    assert large.findings() == [
        f"position {position}: the event was altered: it is not what was sealed and signed"
        for position in (70_000, 131_200)
    ]
    assert large.findings(since=131_072) == [
        "position 131200: the event was altered: it is not what was sealed and signed"
    ]
