"""A text that is shortened keeps its limit and shows it; formats take time that grows with the event and no faster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.event import RecordedEvent
from interop import cef, dicom, ocsf
from interop.clipping import ELLIPSIS, Clipper
from tests.interop.outgoing_events import FULL, LEAF, recorded
from tests.scaling import Hostile, assert_linear


@given(st.text(max_size=80), st.integers(10, 60))
def test_a_text_keeps_its_limit_and_is_named_if_it_lost_something(value: str, length: int) -> None:
    clipper = Clipper()
    shown = clipper.text("reason", value, length)
    assert len(shown) <= length
    assert (shown == value, clipper.fields) == ((True, []) if len(value) <= length else (False, ["reason"]))
    assert value.startswith(shown.removesuffix(ELLIPSIS))


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=50), max_size=40), st.integers(30, 90))
def test_a_list_keeps_its_limit_and_says_how_many_are_missing(values: list[str], length: int) -> None:
    clipper = Clipper()
    shown = clipper.listing("patients", values, length)
    assert len(shown) <= length
    if shown == ", ".join(values):
        assert clipper.fields == []
        return
    assert clipper.fields == ["patients"]
    *kept, last = shown.split(", ")
    if last.startswith(ELLIPSIS):
        assert last == f"{ELLIPSIS} {len(values) - len(kept)} more"
    else:
        kept.append(last)
        assert len(kept) == len(values)
    assert [each.removesuffix(ELLIPSIS) in value for each, value in zip(kept, values, strict=False)] == [
        True
    ] * len(kept)


def test_a_field_is_named_once_and_a_shortened_list_says_by_how_many() -> None:
    clipper = Clipper()
    for _ in range(2):
        clipper.text("reason", "x" * 9, 5)
        assert clipper.first("patients", [1, 2, 3], 2) == [1, 2]
    assert clipper.first("codes", [1], 2) == [1]
    assert clipper.fields == ["reason", "patients (1 left out)"]


def many(size: int) -> RecordedEvent:
    texts = {"reason": "\x00" * size, "outcome_reason": '"' * size}
    lists = {
        "patients": [{"id": f"p{n}", "name": "="} for n in range(size // 16)],
        "resources": [{"type": "T", "id": str(n)} for n in range(size // 16)],
        "changes": [{"path": "roles", "before": ["a"] * (size // 16), "after": ["b"] * (size // 16)}],
        "codes": [{"code": "|"}] * (size // 16),
    }
    return recorded("role.changed", FULL | texts | lists)


@pytest.mark.parametrize(
    "case",
    [
        Hostile("cef", lambda event: cef.message(event, LEAF), many, 4000),
        Hostile("dicom", lambda event: dicom.message(event, LEAF), many, 4000),
        Hostile("ocsf", lambda event: ocsf.event(event, LEAF), many, 4000),
    ],
    ids=str,
)
def test_the_work_grows_with_the_event(case: Hostile) -> None:
    assert_linear(case)
