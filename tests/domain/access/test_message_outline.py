"""The outline of a message shows its form and nothing of a patient."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.access.message_outline import MAX_LINES, outline

SECRET = "Patty-Seventeen"


def test_it_has_known_names_kinds_and_lengths() -> None:
    message = {
        "event_id": "0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a01",
        "type": "record.read",
        "occurred_at": "2026-03-01T08:15:30Z",
        "patients": [{"id": "17", "name": SECRET}],
        "emergency": True,
        SECRET: {"id": 3},
        "attributes": {},
    }
    assert outline(json.dumps(message).encode()) == [
        "event_id: 0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a01",
        "type: record.read",
        "occurred_at: 2026-03-01T08:15:30Z",
        "patients[0].id: text of 2 characters",
        "patients[0].name: text of 15 characters",
        "emergency: true or false",
        "(another name).id: a number",
        "attributes: empty",
    ]


@pytest.mark.parametrize("name", ["type", "event_id", "id", "occurred_at", "time", "recorded"])
def test_a_value_of_another_form_is_not_shown(name: str) -> None:
    assert outline(json.dumps({name: SECRET}).encode()) == [f"{name}: text of 15 characters"]


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ({"specversion": "1.0"}, True),
        ({"resourceType": "AuditEvent"}, True),
        ({"resourceType": "Patient"}, False),
        ({"resourceType": ["AuditEvent"]}, False),
        ({}, False),
    ],
)
def test_an_id_is_shown_only_where_it_is_that_of_an_event(message: dict[str, object], shown: bool) -> None:
    id = "0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a01"
    found = outline(json.dumps(message | {"id": id}).encode())
    assert found[-1] == (f"id: {id}" if shown else "id: text of 36 characters")


@pytest.mark.parametrize("message", [b"", None, b"\xff", b"not JSON " + SECRET.encode(), b'{"a":' * 100_000])
def test_what_has_no_form_says_so(message: bytes | None) -> None:
    [line] = outline(message)
    assert SECRET not in line


def test_it_is_bounded() -> None:
    assert outline(json.dumps(list(range(1000))).encode())[MAX_LINES:] == ["and more"]
    assert outline(b" " * (2 << 20)) == ["the message is too large for an outline"]


@given(
    st.recursive(
        st.just(SECRET),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([SECRET, "type", "id", "patients", "time"]), inner, max_size=3)
        ),
    )
)
def test_no_text_of_a_message_is_in_it(message: object) -> None:
    assert SECRET not in "\n".join(outline(json.dumps(message).encode()))
