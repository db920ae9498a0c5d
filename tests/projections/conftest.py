from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.projections.building import Trail


@pytest.fixture
def trail(migrated_url: str) -> Iterator[Trail]:
    """An empty trail."""
    trail = Trail(migrated_url)
    yield trail
    trail.close()
