"""The Python on the page about instrumenting a service does what the page says."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from audit_trail_publisher.testing import CapturedTrail, captured
from tests.docs.pages import ROOT, fences

PAGE = ROOT / "docs" / "how-to" / "instrument-a-service.md"
ADA = {"Authorization": "Bearer of-ada"}


TABLE = "CREATE TABLE observation (id text PRIMARY KEY, patient_id text, status text, comment text)"
"""What the reader's database has."""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], CapturedTrail]]:
    """The names that the page's Python leaves, and what it has recorded."""
    database = tmp_path_factory.mktemp("reader") / "database"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(TABLE)
    names: dict[str, Any] = {"DATABASE_URL": f"sqlite:///{database}", "__name__": "page"}
    first, *rest = [
        # Without the future statement of this module.
        compile(text, str(PAGE), "exec", dont_inherit=True)
        for _, info, text in fences(PAGE)
        if info == "python"
    ]
    exec(first, names)  # noqa: S102 - the page is ours
    with captured(names["trail"]) as recorded:
        handler = signal.getsignal(signal.SIGTERM)
        for code in rest:
            exec(code, names)  # noqa: S102
        signal.signal(signal.SIGTERM, handler)
        yield names, recorded
    names["Sessions"].kw["bind"].dispose()


def test_its_python_runs_and_records(page: tuple[dict[str, Any], CapturedTrail]) -> None:
    _, recorded = page
    created = recorded.only("record.created", patient="17", resource=("Observation", "o-1"))
    assert created.actor.id == "ada"
    assert created.changes


def test_its_fastapi_and_flask_applications_record_requests(
    page: tuple[dict[str, Any], CapturedTrail],
) -> None:
    names, recorded = page
    recorded.clear()

    async def ask(headers: dict[str, str]) -> int:
        transport = httpx2.ASGITransport(names["app"])
        async with httpx2.AsyncClient(transport=transport, base_url="http://clinic") as client:
            return (await client.get("/patients/17", headers=headers)).status_code

    flask = names["flask_app"].test_client()
    for headers, status in ((ADA, 200), ({}, 401)):
        assert asyncio.run(ask(headers)) == status
        assert flask.get("/patients/17", headers=headers).status_code == status
    assert [event.type for event in recorded.events] == [
        *["record.read", "api.called"] * 2,
        *["access.denied"] * 2,
    ]
    assert {event.actor.name for event in recorded.events[:4]} == {"Dr Ada"}


def test_its_task_acts_for_its_caller(page: tuple[dict[str, Any], CapturedTrail]) -> None:
    names, recorded = page
    with names["trail"].actor("ada"):
        names["report"].apply(("17",))
    assert recorded.only("record.exported", patient="17").actor.id == "ada"


def test_its_django_is_that_of_the_example() -> None:
    example = ROOT / "docs" / "examples" / "django"
    sources = [file.read_text("utf-8") for file in sorted(Path(example).rglob("*.py"))]
    shown = [text for _, info, text in fences(PAGE) if info == "python django"]
    assert len(shown) == 4
    for text in shown:
        for part in text.strip().split("\n\n\n"):
            assert any(part in source for source in sources), part
