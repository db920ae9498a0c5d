"""An analyst's SELECT, and a client's value for a column, are read in time that grows with their size and no faster."""

from __future__ import annotations

import pytest

from domain.errors import RejectedError
from projections.custom.batch_sql_words import read_words
from projections.tables import Kind
from queries.live_tables.values import column_value
from tests.scaling import Hostile, assert_linear


def select(item: str) -> Hostile:
    return Hostile(
        f"a SELECT of {item}", read_words, lambda size: "SELECT " + item * (size // len(item)), 4000
    )


def value(kind: Kind, begin: str, item: str) -> Hostile:
    return Hostile(
        f"a {kind.value} of {begin}{item}",
        lambda text: column_value(kind, text, "a"),
        lambda size: begin + item * size,
        64_000,
    )


CASES = [
    Hostile(
        "dollar quotes that are not closed",
        read_words,
        lambda size: "SELECT " + "".join(f"$a{number}$ " for number in range(size // 6)),
        4000,
    ),
    *map(
        select,
        ["$1 ", "$$ $a", "$", "$a", "pg_a ", "pg_a.b(", "(", ")", ";", "/*", "/**/", "-", "--\n", "\\'"],
    ),
    *map(select, ["'' ", "E'\\'", "E''", '"" ', '"', "U&'", "1.", "a.", "a(", "now ", " ", "\u00e9"]),
    value(Kind.DOUBLE, "", "9"),
    value(Kind.DOUBLE, "0.", "9"),
    value(Kind.DOUBLE, "1e", "9"),
    value(Kind.DOUBLE, "", " "),
    value(Kind.BIGINT, "-", "9"),
    value(Kind.TIMESTAMP, "2026-01-01T00:00:00.", "1"),
    value(Kind.TEXT, "", "a"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reading_takes_time_in_proportion_to_the_text(case: Hostile) -> None:
    assert_linear(case, RejectedError)


@pytest.mark.parametrize("text", ["SELECT $$a", "SELECT $t$ a $u$", "SELECT $a$ $b$ $c$"])
def test_a_dollar_quote_that_is_not_closed_is_said_once(text: str) -> None:
    (complaint,) = read_words(text).complaints
    assert (complaint.at, complaint.message) == (7, "this $-quoted string is not closed")


def test_a_select_gets_a_few_complaints() -> None:
    assert len(read_words("SELECT " + "$1 " * 5000).complaints) <= 20
