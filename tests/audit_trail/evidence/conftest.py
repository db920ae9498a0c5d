"""A trail with a witness, and a kit of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.event import Actor
from tests.audit_trail.evidence.kits import (
    HOSTILE,
    cosign,
    made,
)
from tests.hospital import read, record


@pytest.fixture
def trail_url(hospital_url: str) -> str:
    """The hospital's morning, cosigned, and an event whose texts are hostile after it."""
    cosign(hospital_url)
    record(
        hospital_url, [read(20, "99", actor=Actor(id="mallory", name=HOSTILE), reason="\u0000\u001b[31m\r\n")]
    )
    return hospital_url


@pytest.fixture
def kit(trail_url: str, tmp_path: Path) -> Path:
    """The kit of patient 17: positions 2, 3, 5 and 6."""
    return made(trail_url, tmp_path / "kit", "--patient", "17")
