"""What an operator sees of a dead letter is found in time that grows with the letter and no faster."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from domain.errors import Reason
from event_store.dead_letters import DeadLetter
from ingest.dead_letters import patients_named
from tests.scaling import Hostile, assert_linear


def letter(value: bytes) -> DeadLetter:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return DeadLetter(
        UUID(int=1), "t", 0, 0, now, None, value, [], Reason.INVALID_FIELD, "", "", id=1, received_at=now
    )


def patients(number: int) -> bytes:
    return json.dumps([{"patients": [{"id": f"p-{n}"}]} for n in range(number)]).encode()


CASES = [
    Hostile("small objects", patients_named, lambda size: letter(b"[" + b"{}," * (size // 3) + b"0]")),
    Hostile("numbers", patients_named, lambda size: letter(b"[" + b"0," * (size // 2) + b"0]")),
    Hostile("an unterminated string", patients_named, lambda size: letter(b'"' + b'\\"' * (size // 2))),
    Hostile("nested arrays", patients_named, lambda size: letter((b"[" * 500 + b"]" * 500) * (size // 1000))),
    Hostile("patients", patients_named, lambda size: letter(patients(size // 24))),
    Hostile("references", patients_named, lambda size: letter(b'{"reference":"' + b"Patient/" * (size // 8) + b'"}')),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_patients_of_a_letter_are_found_in_time_in_proportion_to_it(case: Hostile) -> None:
    assert_linear(case)


def test_the_patients_of_a_letter_come_in_the_order_of_levels() -> None:
    value = {"a": [{"reference": "Patient/3"}], "patients": [{"id": "1"}], "b": {"patients": [{"id": "2"}]}}
    assert patients_named(letter(json.dumps(value).encode())) == ["1", "2", "3"]
