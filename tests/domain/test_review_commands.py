"""Commands about reviews: what is wrong is named, with its field."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from domain.cases.commands import Person, encode_body, kind_of
from domain.errors import InvalidEventError
from domain.reviews.commands import (
    REVIEW_KINDS,
    BeginReview,
    CloseReview,
    DecideItem,
    ReassignItem,
    ReviewKind,
    ReviewVerdict,
    check_review_body,
    decode_review_body,
)
from tests.detection.reviews.given_reviews import NOW, begin

BODIES = (
    begin(filter={"type": ["record.read"]}, seed="ab" * 16, period_from=NOW),
    DecideItem(item=1, verdict=ReviewVerdict.UNCLEAR, reason="x", seconds=3),
    ReassignItem(item=1, reviewer=Person(id="rob"), reason="x"),
    CloseReview(reason="x"),
)


def test_bodies_are_read_as_they_were_written() -> None:
    assert tuple(decode_review_body(encode_body(body)) for body in BODIES) == BODIES
    assert tuple(map(kind_of, BODIES)) == REVIEW_KINDS


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"reviewers": ()}, "reviewers: "),
        ({"reviewers": (Person(id="rita"), Person(id="rita"))}, "reviewers: name each reviewer once"),
        ({"sample_size": 10_001}, "sample_size: "),
        ({"seed": "secret"}, "seed: "),
        ({"name": " "}, "name: write at least one word"),
        ({"filter": {"actor": "a\0"}}, "filter: the text must be UTF-8 without NUL"),
        ({"period_from": NOW, "period_until": NOW - timedelta(1)}, "period_until: give a time after"),
        (
            {"reviewed": ReviewKind.GRANTS, "filter": {"actor": "ada"}},
            "filter: a review of grants takes no filter",
        ),
        ({"reviewed": ReviewKind.DORMANT, "period_from": NOW}, "period_from: grants are those of now"),
    ],
)
def test_a_wrong_beginning_is_named(fields: dict[str, Any], message: str) -> None:
    body = begin(**fields)
    with pytest.raises(InvalidEventError, match=message):
        decode_review_body(encode_body(body))


def test_an_unknown_field_and_another_kind_are_refused() -> None:
    text = json.loads(encode_body(begin()))
    for wrong in (text | {"extra": 1}, {"kind": "decide", "reason": "x"}, {"kind": "begin_review"}):
        with pytest.raises(InvalidEventError):
            decode_review_body(json.dumps(wrong).encode())
    assert isinstance(check_review_body(begin()), BeginReview)
