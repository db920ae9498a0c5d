"""A served log of several tiles."""

from __future__ import annotations

import httpx2
import pytest

from tests.hospital import read, record
from tests.web.conftest import Serve


@pytest.fixture
def long_client(serve: Serve, projected_url: str) -> httpx2.Client:
    """A client of a server on a log of 600 events in three batches."""
    for count in (255, 2, 343):
        record(projected_url, [read(n) for n in range(count)])
    return serve(projected_url)
