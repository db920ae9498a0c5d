"""The decisions about a dead letter, as an aggregate without any store."""

from __future__ import annotations

from uuid import uuid4

import pytest

from domain.dead_letter import DeadLetterResolution, Resolution
from domain.errors import ConfigurationError


def test_a_letter_is_requeued_as_often_as_needed_and_then_dismissed() -> None:
    resolution = DeadLetterResolution.receive(uuid4(), 17)
    assert resolution.state is Resolution.OPEN
    resolution.requeue(by="olga", reason="decoder fixed")
    resolution.requeue(by="olga", reason="once more")
    resolution.dismiss(by="pavel", reason="a test message")
    assert (resolution.state, resolution.by, resolution.reason) == (
        Resolution.DISMISSED,
        "pavel",
        "a test message",
    )
    assert [type(event).__name__ for event in resolution.collect_events()] == [
        "Received",
        "Requeued",
        "Requeued",
        "Dismissed",
    ]


def test_nothing_is_decided_about_a_dismissed_letter() -> None:
    resolution = DeadLetterResolution.receive(uuid4(), 17)
    resolution.dismiss(by="pavel", reason="noise")
    with pytest.raises(ConfigurationError, match="dismissed by pavel"):
        resolution.requeue(by="olga", reason="again")


@pytest.mark.parametrize(("by", "reason"), [("", "r"), ("b", " "), ("\udcff", "r")])
def test_a_decision_has_a_person_and_a_reason(by: str, reason: str) -> None:
    with pytest.raises(ConfigurationError):
        DeadLetterResolution.receive(uuid4(), 17).requeue(by=by, reason=reason)
