"""The Python on the page about the publishing client does what the page says, with a real trail and a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import psycopg2
import pytest

from audit_trail.development_issuer import issue
from audit_trail.stack import Stack
from audit_trail_publisher.outbox.outbox import postgresql_tables
from audit_trail_publisher.testing import captured
from tests.databases import EMPTY, Databases
from tests.docs.pages import ROOT, fences
from tests.waiting import eventually

PAGE = ROOT / "docs" / "how-to" / "publish-from-python.md"
SERVICE = "patient-service"
ITS_TABLE = "CREATE TABLE observation (id text PRIMARY KEY, status text)"
STARTED = datetime.now(UTC).isoformat()
"""Other pages record events of the same service."""


def test_its_python_runs_and_its_events_are_recorded(page: dict[str, Any], stack: Stack) -> None:
    assert page["sealed"].position >= 0
    assert page["recorded"].only("record.read", patient="41").actor.id == "ada"
    eventually(lambda: len(_recorded(stack, "record.updated")) == 1)
    (updated,) = _recorded(stack, "record.updated")
    assert updated["changes"] == [{"path": "status", "before": "preliminary", "after": "final"}]
    assert updated["session"] == "s-81"
    with psycopg2.connect(page["DATABASE_URL"]) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT type FROM audit_outbox")
        assert cursor.fetchall() == [("record.updated",)]


def test_its_application_records_who_could_not_sign_in(page: dict[str, Any]) -> None:
    # Captured: the queries of other pages count the failed sign-ins of the trail.
    with captured(page["trail"]) as recorded:
        answers = [
            _asked(page["app"], "POST", "/sign-in", json={"name": name, "password": password})
            for name, password in (("ada", "a password"), ("ada", "wrong"), ("hunter2", "wrong"))
        ]
    assert [each.status_code for each in answers] == [200, 401, 401]
    assert [(event.type, event.actor.id) for event in recorded.events] == [
        ("user.logged_in", "ada"),
        ("api.called", "ada"),
        ("user.login_failed", "ada"),
        ("access.denied", None),
        ("user.login_failed", None),
        ("access.denied", None),
    ]
    assert {event.client and event.client.address for event in recorded.events} == {"127.0.0.1"}


def test_its_application_shows_health_and_metrics(page: dict[str, Any]) -> None:
    eventually(lambda: page["trail"].health().spool_events == 0)
    health, metrics = (_asked(page["app"], "GET", path) for path in ("/audit-health", "/metrics"))
    assert health.status_code == 200
    assert health.json()["ok"] is True
    assert "audit_trail_publisher_oldest_unsent_seconds 0.0" in metrics.text
    assert _asked(page["app"], "GET", "/healthz").json() == "ok"


def _asked(app: Any, method: str, path: str, **body: Any) -> httpx2.Response:
    async def ask() -> httpx2.Response:
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://clinic") as client:
            return await client.request(method, path, **body)

    return asyncio.run(ask())


@pytest.fixture(scope="module")
def page(
    stack: Stack, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """The names that the page's Python leaves."""
    folder = tmp_path_factory.mktemp("publishing")
    token = folder / "token"
    token.write_text(
        issue(stack.folder, 60, sub=SERVICE, roles=["publisher", "service_owner"], sources=[SERVICE])
    )
    here = {
        "https://audit.example": stack.url,
        "/run/secrets/audit-token": str(token),
        "/var/lib/patient-service": str(folder),
    }
    with databases.copy(EMPTY) as url:
        with psycopg2.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(postgresql_tables() + ITS_TABLE)
        names: dict[str, Any] = {"DATABASE_URL": url, "__name__": "page"}
        for _, info, text in fences(PAGE):
            if info == "python":
                exec(_code(text, here), names)  # noqa: S102 - the page is ours
        yield names
        names["trail"].close()


def _recorded(stack: Stack, type: str) -> list[dict[str, Any]]:
    answer = httpx2.get(
        f"{stack.url}/v1/events",
        params={"service": SERVICE, "type": type, "occurred_from": STARTED, "first": 100},
        headers={"Authorization": f"Bearer {stack.token('auditor')}"},
    )
    assert answer.status_code == 200, answer.text
    return [each["event"] for each in answer.json()["events"]]


def _code(text: str, here: dict[str, str]) -> Any:
    for shown, meant in here.items():
        text = text.replace(shown, meant)
    # Without the future statement of this module.
    return compile(text, str(PAGE), "exec", dont_inherit=True)
