"""Publishers with a spool of the test's own, closed at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audit_trail_publisher import Publisher
from audit_trail_publisher.relay import backoff
from tests.publisher.scripted_api import ScriptedApi, scripted_api

Make = Callable[..., Publisher]


@pytest.fixture
def spool(server_folder: Path) -> Path:
    """The folder of a spool, in memory, which is not there yet."""
    return server_folder / "spool"


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    """An API that accepts everything until the test tells it otherwise."""
    with scripted_api() as api:
        yield api


@pytest.fixture
def make(spool: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """`make(url=..., **options)`: a publisher that records no start, and leaves what it can't send.

    It is less patient than usual when the trail is away.
    """
    monkeypatch.setattr(backoff, "FIRST", 0.02)
    made: list[Publisher] = []

    def publisher(source: str = "patient-service", **options: Any) -> Publisher:
        defaults: dict[str, Any] = {"spool": spool, "lifecycle": False, "close_seconds": 0.0}
        made.append(Publisher(source, **{**defaults, **options}))
        return made[-1]

    yield publisher
    for each in made:
        each.close()
