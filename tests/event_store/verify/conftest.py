"""A log that a superuser changes."""

from __future__ import annotations

import pytest

from tests.event_store.verify.tampered_log import Log


@pytest.fixture
def log(migrated_url: str) -> Log:
    """A log of 620 events in five batches: two full tiles and an edge."""
    return Log(migrated_url, [1, 255, 200, 64, 100])
