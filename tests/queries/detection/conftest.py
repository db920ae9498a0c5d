from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.queries.detection.given_detection import GivenDetection, given_detection
from tests.trail import Trail


@pytest.fixture
def found(trail: Trail) -> Iterator[GivenDetection]:
    """A trail in which rules have found two things, each of which is in a case."""
    with given_detection(trail) as detection:
        detection.given()
        yield detection
