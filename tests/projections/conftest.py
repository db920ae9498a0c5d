from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psycopg2
import pytest

from tests.projections.custom.analyst import execute
from tests.trail import Trail


@pytest.fixture
def ada(trail: Trail) -> Iterator[str]:
    """The URL with the login of an analyst, on a trail of the test."""
    name = f"ada_{uuid4().hex[:8]}"
    execute(trail.url, f"CREATE ROLE {name} LOGIN PASSWORD 'p' IN ROLE audit_trail_analyst")
    yield psycopg2.extensions.make_dsn(trail.url, user=name, password="p")
    execute(trail.url, f"DROP ROLE {name}")
