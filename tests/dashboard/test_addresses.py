"""The address of the explorer: what its buttons make of it, in words and back."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.event_rows import MAX_BYTES
from dashboard.explorer.addresses import changed, chips, sent
from dashboard.locales import LOCALES, PLAIN, locale_of
from domain.errors import RejectedError
from web.parameters.filter_query import filter_from_address

_VALUES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=30
)


@given(st.lists(st.tuples(st.sampled_from(["session", "patient", "correlation_id"]), _VALUES), min_size=1))
def test_what_a_button_sends_is_read_back(terms: list[tuple[str, str]]) -> None:
    assert parse_qsl(sent(terms), keep_blank_values=True) == terms


@given(_VALUES, _VALUES)
def test_an_exclusion_can_be_added_read_and_dropped(first: str, second: str) -> None:
    pairs = [("actor", "ada"), ("last", "7d"), ("columns", "when")]
    once = changed([*pairs, ("without", sent([("session", first)]))])
    assert once is not None
    twice = changed([*once, ("without", sent([("resource_type", second), ("resource_id", first)]))])
    assert twice is not None
    filter = filter_from_address(pair for pair in twice if pair[0] not in {"last", "columns"})
    assert "session" in str(filter)
    assert [chip.name for chip in chips(twice)] == ["actor", "not", "not"]
    dropped = changed([*twice, ("drop", "2")])
    assert dropped == once
    assert changed([*once, ("drop", "1")]) == pairs


def test_break_glass_is_a_chip_in_words() -> None:
    given = [(each.name, each.value) for each in chips([("emergency", "true"), ("emergency", "x")])]
    assert given == [("break-glass", "yes"), ("break-glass", "x")]


def test_an_included_value_takes_the_place_of_others() -> None:
    pairs = [
        ("actor", "ada"),
        ("actor", "bob"),
        ("not_actor", "eve"),
        ("type", "record.read"),
        ("zone", "UTC"),
    ]
    assert changed([*pairs, ("only", "actor=zoe"), ("after", "x")]) == [
        ("not_actor", "eve"),
        ("type", "record.read"),
        ("actor", "zoe"),
        ("zone", "UTC"),
    ]


def test_an_address_as_links_write_it_is_left_alone() -> None:
    assert changed([("actor", "ada"), ("from", "2026-03-01"), ("columns", "when,who")]) is None
    assert changed([("actor", ""), ("from", "2026-03-01")]) == [("from", "2026-03-01")]


@pytest.mark.parametrize("text", ["", "nonsense=1", "filter={}", "actor"])
def test_a_button_sends_conditions_alone(text: str) -> None:
    with pytest.raises(RejectedError):
        changed([("only", text)])
    with pytest.raises(RejectedError):
        changed([("without", text)])


@pytest.mark.parametrize("given_filter", ["[", "1", '"x"', '{"and": 3}', '{"not": 1}', "[" * 5000])
def test_a_filter_that_is_none_becomes_a_chip_all_the_same(given_filter: str) -> None:
    [chip] = chips([("filter", given_filter)])
    assert chip.name == "filter"
    added = changed([("filter", given_filter), ("without", "session=s")])
    assert added is not None
    assert json.loads(dict(added)["filter"])["and"][-1] == {"not": {"session": "s"}}


@pytest.mark.parametrize("drop", ["", "x", "-1", "99", "²"])
def test_a_number_that_no_chip_has_drops_nothing(drop: str) -> None:
    assert changed([("actor", "ada"), ("drop", drop)]) in ([("actor", "ada")], None)


@pytest.mark.parametrize(
    ("language", "tag"),
    [
        ("de-DE", "de"),
        ("de-CH,de;q=0.9", "de-ch"),
        ("xx,yy;q=0.5", ""),
        ("en;q=0, fr;q=0.1", "fr"),
        ("*", ""),
        ("fr;q=nonsense, nl;q=0.2", "nl"),
        ("EN-us", "en-us"),
        ("a" * 10_000, ""),
    ],
)
def test_the_first_language_that_is_declared_counts(language: str, tag: str) -> None:
    assert locale_of(language).tag == tag


def test_numbers_are_written_with_the_separators_of_the_language() -> None:
    written: dict[str, Any] = {tag: LOCALES[tag].number(1234567.5) for tag in ("en", "de", "fr", "de-ch")}
    assert written == {
        "en": "1,234,567.5",
        "de": "1.234.567,5",
        "fr": "1\u202f234\u202f567,5",
        "de-ch": "1\u2019234\u2019567.5",
    }
    assert PLAIN.number(MAX_BYTES) == "85\u202f000"
