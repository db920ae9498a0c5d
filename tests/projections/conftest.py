from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psycopg2
import pytest

from event_store.migrations import migrate
from tests.projections.custom.analyst import execute
from tests.trail import Trail


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


@pytest.fixture
def ada(trail: Trail) -> Iterator[str]:
    """The URL with the login of an analyst, on a trail with all rights as a migration leaves them."""
    migrate(trail.url)
    name = f"ada_{uuid4().hex[:8]}"
    execute(trail.url, f"CREATE ROLE {name} LOGIN PASSWORD 'p' IN ROLE audit_trail_analyst")
    yield psycopg2.extensions.make_dsn(trail.url, user=name, password="p")
    execute(trail.url, f"DROP ROLE {name}")
