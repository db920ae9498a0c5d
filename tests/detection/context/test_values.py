"""Names and addresses are folded as documented, in linear time; ids are kept as they are."""

from __future__ import annotations

import pytest

from detection.context.tables import TABLES, Column, Kind
from detection.context.values import folded, value_of
from domain.errors import RejectedError
from tests.scaling import Hostile, assert_linear


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("MÜLLER", "Müller"),
        ("Mu\u0308ller", "Müller"),
        ("Ringstraße 5, 1010 Wien", "RINGSTRASSE 5  1010 WIEN"),
        ("O'Brien", "O\u2019Brien"),
        ("Meyer-Lüdenscheid", "meyer lüdenscheid"),
        ("José", "Jose"),
        ("ﬁnn", "finn"),
        ("Ἀθήνα", "ΑΘΗΝΑ"),
    ],
)
def test_these_are_the_same(one: str, other: str) -> None:
    assert folded(one) == folded(other) != ""


@pytest.mark.parametrize(("one", "other"), [("Müller", "Mueller"), ("Maier", "Meyer"), ("Øst", "Ost")])
def test_these_are_not(one: str, other: str) -> None:
    assert folded(one) != folded(other)


def test_folding_twice_changes_nothing() -> None:
    for text in ("Ringstraße 5, 1010 WIEN", "İstanbul", "ΣΊΣΥΦΟΣ", "ﬃ", "\u1e9e", "\u0345a"):
        assert folded(folded(text)) == folded(text)


def test_a_name_of_signs_alone_is_none() -> None:
    column = Column(name="family_name", kind=Kind.FOLDED, help="")
    assert value_of(column, "***") is None


def test_ids_keep_their_case_and_have_no_control_characters() -> None:
    column = TABLES["staff"].column("id")
    assert value_of(column, " Ada ") == "Ada"
    for text in ("a\x1b[31m", "a\0", "x" * 257):
        with pytest.raises(RejectedError, match="id: write"):
            value_of(column, text)


def test_many_marks_are_folded_in_linear_time() -> None:
    assert_linear(Hostile("marks", folded, lambda size: "a" + "\u0301\u0323" * size, 20_000))
