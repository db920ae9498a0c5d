"""Where reading can go on behind a damaged batch, whatever the leader answers in between."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kafka.errors import CorruptRecordError, InvalidRecordError

from ingest.partitions.damage import Damage, Probe
from tests.ingest.records.crafted_batches import built

END = 20_000


def nothing() -> bytes:
    return b""


def garbage() -> bytes:
    return b"\xff" * 200


def refused() -> bytes:
    raise InvalidRecordError("the log can't be gone through")


def damaged() -> bytes:
    whole = bytearray(built([b"x"] * 2, base=10))
    whole[-1] ^= 0xFF
    return bytes(whole)


def elsewhere() -> bytes:
    return built([b"x"], base=END + 7)


@pytest.mark.parametrize("answer", [nothing, garbage, refused, damaged, elsewhere])
@pytest.mark.parametrize("good", [11, 12, 267, 5_000, END - 1, END])
def test_no_offset_that_can_be_read_is_passed_over(answer: Callable[[], bytes], good: int) -> None:
    """From offset `good` on, each offset has a batch of its own."""

    def fetch(offset: int, _: int) -> bytes:
        return built([b"x"], base=offset) if offset >= good else answer()

    probe = Probe(fetch, END)
    fault = probe.fault(10)
    assert fault is not None
    last, following = (None, END) if good == END else (good - 1, good)
    assert probe.measured(Damage(10, fault)) == Damage(10, fault, last, following)


def test_a_good_batch_a_hole_and_the_end_are_no_damage() -> None:
    assert Probe(lambda _, __: built([b"x"] * 3, base=9), END).fault(10) is None
    assert Probe(lambda _, __: built([b"x"] * 3, base=12), END).fault(10) is None
    assert Probe(lambda _, __: b"", 10).fault(10) is None


def test_a_batch_that_claims_a_later_place_is_told_from_a_hole_by_what_follows_it() -> None:
    answer = built([b"x"] * 2, base=253) + built([b"x"] * 2, base=12) + built([b"x"] * 2, base=14)
    probe = Probe(lambda _, __: answer, END)
    assert probe.fault(10) == "its base offset is wrong"
    assert probe.fault(12) is None
    assert probe.measured(Damage(10, "")) == Damage(10, "", 11, 12)


def test_bytes_that_are_no_batch_have_the_kind_of_error_that_the_client_gives() -> None:
    assert Probe(lambda _, __: b"\xff" * 100, END).fault(0) == CorruptRecordError.__name__
