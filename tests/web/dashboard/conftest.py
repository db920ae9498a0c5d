from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser as Chromium

from audit_trail.embedded.broker import Broker
from tests.web.dashboard.chromium import Open, pages_of, started
from tests.web.dashboard.people import Browser, dashboard
from tests.web.read_audit.recorded_server import OnRecord


@pytest.fixture
def served(hospital_url: str, broker: Broker, topic: str, tmp_path: Path) -> Iterator[OnRecord]:
    """A dashboard on the hospital's trail."""
    with dashboard(hospital_url, broker.bootstrap_servers, topic, tmp_path) as served:
        yield served


@pytest.fixture
def browser(served: OnRecord) -> Iterator[Browser]:
    """Somebody who has not signed in."""
    with Browser(served) as browser:
        yield browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with started() as browser:
        yield browser


@pytest.fixture
def page_of(chromium: Chromium, served: OnRecord) -> Iterator[Open]:
    """`page_of(persona, path, **options)`: a page of somebody who has signed in; its console stays empty."""
    with pages_of(chromium, served.port) as open:
        yield open
