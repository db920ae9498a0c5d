"""Rows and leaf entries made in two steps are those made in one."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from struct import Struct, unpack_from
from uuid import UUID

from domain.body import BodyFormat
from event_store.append import NewEvent
from event_store.binary_copy import to_us
from event_store.entry import complete_entries, encode_entry
from event_store.event_rows import encode_events, identity_rows
from event_store.merkle import leaf_hash, leaf_hashes

_ROW = Struct(">h iq iq i16s ih i").pack
_REST = Struct(">iq iq i16s i").pack


def random_events(chance: random.Random, count: int) -> list[NewEvent]:
    streams = [UUID(int=chance.getrandbits(128)) for _ in range(3)]
    offsets = [UTC, timezone(timedelta(hours=-9, minutes=-30)), UTC]
    return [
        NewEvent(
            UUID(int=chance.getrandbits(chance.choice([1, 60, 128]))),
            chance.choice(streams),
            chance.choice([0, 1, 2**63 - 1, chance.getrandbits(40)]),
            chance.choice(["record.read", "user.logged_in", "\u00fcber", ""]),
            datetime(2026, 1, 1, tzinfo=chance.choice(offsets))
            + timedelta(microseconds=chance.getrandbits(50)),
            chance.choice(list(BodyFormat)),
            chance.randbytes(chance.choice([0, 1, 500])),
        )
        for _ in range(count)
    ]


def test_rows_and_entries_are_those_of_the_whole_event() -> None:
    chance = random.Random(5)
    for count in (0, 1, 2, 50):
        events = random_events(chance, count)
        first, recorded = chance.getrandbits(40), chance.getrandbits(50)
        encoded = encode_events(events)
        rows = b""
        expected, versions = [], []
        for position, event in enumerate(events, first):
            name = event.type.encode()
            rows += (
                _ROW(9, 8, position, 8, recorded, 16, event.stream.bytes, 2, event.format, len(name))
                + name
                + _REST(
                    8,
                    event.stream_position,
                    8,
                    to_us(event.occurred_at),
                    16,
                    event.event_id.bytes,
                    len(event.body),
                )
                + event.body
            )
            expected.append(
                encode_entry(
                    position, event.event_id.hex, recorded, event.stream.hex, event.stream_position, event.format,
                    sha256(event.body).hexdigest(),
                )
            )  # fmt: skip
            if event.format is BodyFormat.AGGREGATE:
                versions.append((event.stream.bytes, event.stream_position, position))
        assert b"".join(encoded.rows(first, recorded)) == rows
        entries = complete_entries(first, recorded, encoded.entries)
        assert entries == expected
        assert leaf_hashes(entries) == [leaf_hash(entry) for entry in entries]
        assert [unpack_from(">hi16siqiq", row)[2::2] for row in encoded.version_rows(first)] == versions


def test_the_rows_of_ids_are_sorted_and_keep_their_positions() -> None:
    ids = [event.event_id.bytes for event in random_events(random.Random(6), 100)]
    found = [unpack_from(">hi16siq", row) for row in identity_rows(ids, 7)]
    assert [row[2] for row in found] == sorted(ids)
    assert sorted((row[4], row[2]) for row in found) == list(enumerate(ids, 7))
