from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from audit_trail.embedded.broker import Broker
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
