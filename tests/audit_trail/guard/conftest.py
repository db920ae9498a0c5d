"""A log for a guard."""

from __future__ import annotations

import pytest

from tests.event_store.verify.tampered_log import Log


@pytest.fixture
def log(migrated_url: str) -> Log:
    return Log(migrated_url, [3, 260])
