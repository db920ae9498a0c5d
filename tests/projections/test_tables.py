"""Declared tables: merges that no order or grouping can change, and the given/when/then of a projection's own tests."""

from __future__ import annotations

import random

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from projections.hash_codes import timeline_hash_codes
from projections.merges import MAX, MIN, SUM, UNION, latest
from projections.models.device import DeviceProjector
from projections.models.patient import PatientProjector
from projections.registry import built_in
from projections.tables import Column, Kind, Row, Table
from projections.testing import given
from tests.trail import START, an_event

MERGED = Table(
    "merged",
    ("key",),
    (
        Column("key", Kind.BIGINT),
        Column("count", Kind.BIGINT, SUM),
        Column("low", Kind.BIGINT, MIN, nullable=True),
        Column("high", Kind.BIGINT, MAX, nullable=True),
        Column("words", Kind.TEXTS, UNION),
        Column("name", Kind.TEXT, latest("named"), nullable=True),
        Column("named", Kind.BIGINT, MAX, nullable=True),
    ),
)
_number = st.none() | st.integers(-5, 5)
_words = st.sets(st.sampled_from([f"w{number:02}" for number in range(50)])).map(
    lambda words: tuple(sorted(words)[:32])
)
_named = st.just((None, None)) | st.tuples(st.sampled_from("abc"), st.integers(0, 4))


def _row(key: int, count: int, low: int | None, high: int | None, words: Row, named: Row) -> Row:
    return (key, count, low, high, words, *named)


_rows = st.lists(
    st.builds(_row, st.integers(0, 1), st.integers(0, 9), _number, _number, _words, _named), max_size=12
)


@for_all(_rows, st.integers(0, 12), st.randoms(use_true_random=False))
def test_merging_in_any_order_and_grouping_gives_the_same_rows(
    rows: list[Row], cut: int, chance: random.Random
) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)
    grouped = MERGED.combine([*MERGED.combine(shuffled[:cut]), *MERGED.combine(shuffled[cut:])])
    assert sorted(grouped) == sorted(MERGED.combine(rows))


def test_no_two_projections_have_a_table_of_the_same_name() -> None:
    names = [table.name for projector in built_in() for table in projector.tables]
    assert len(names) == len(set(names))


def test_a_story_gives_the_rows_of_its_batches() -> None:
    seen = an_event(patients=[{"id": "p"}], resources=[{"type": "Observation", "id": "o"}])
    story = given(seen).when(an_event(minute=1, patients=[{"id": "p"}], purpose_of_use=["TREAT"]))
    later = story.batches[1][0].occurred_at
    day = later.toordinal()
    access = (2, 2, 0, 1, START, later, day, 0, "p", "dr-smith", ("TREAT",), ())
    story.then(PatientProjector(), "patient_access", access)
    hour = int(START.timestamp()) // 3600
    first, second = (
        (at, *timeline_hash_codes(batch[0]), hour, "p") for at, batch in enumerate(story.batches)
    )
    story.then(PatientProjector(), "patient_timeline", first, second)
    with pytest.raises(AssertionError, match=r"patient_timeline \(position, .*, patient_id\) holds"):
        story.then(PatientProjector(), "patient_timeline", first)


def test_a_device_that_acts_on_itself_is_counted_once() -> None:
    event = an_event("device.connected", actor={"id": "pump", "kind": "device"}, device={"id": "pump"})
    row = (0, *timeline_hash_codes(event), int(START.timestamp()) // 3600, "pump")
    given().when(event).then(DeviceProjector(), "device_timeline", row)
