from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.projections.building import Trail


@pytest.fixture
def trail(projected_url: str) -> Iterator[Trail]:
    """An empty trail with the built-in read models."""
    trail = Trail(projected_url)
    yield trail
    trail.close()


@pytest.fixture
def new_trail(migrated_url: str) -> Iterator[Trail]:
    """An empty trail that no projector has run on."""
    trail = Trail(migrated_url)
    yield trail
    trail.close()
