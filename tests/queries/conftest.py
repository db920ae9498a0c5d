from __future__ import annotations

import pytest

from tests.queries.varied_events import EVENTS
from tests.trail import Trail, an_event


@pytest.fixture
def varied(trail: Trail) -> Trail:
    """A trail in which every filter finds something."""
    trail.given(*(an_event(minute=40 * number, **fields) for number, fields in enumerate(EVENTS)))
    return trail
