"""The example services, each a process as its reader starts it, with a database of its own and a real trail."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from operator import itemgetter
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from sqlalchemy import make_url

from audit_trail.stack import Stack
from tests.databases import EMPTY, Databases
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
KEY = "a key of the service for its users, of 32 bytes or more"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
THROUGH_A_PROXY = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Forwarded-For": "203.0.113.9"}


DJANGO_COMMANDS = """
import os, django
from django.core.management import call_command
os.environ["DJANGO_SETTINGS_MODULE"] = "clinic.settings"
django.setup()
call_command("makemigrations", check_changes=True)
call_command("migrate")
call_command("createsuperuser", interactive=False, username="ada", email="")
"""
"""Three commands of `manage.py` in one process, each of which would load Django again."""


class Trail:
    """What the trail has of one service, asked over REST."""

    def __init__(self, stack: Stack, service: str) -> None:
        self._client = httpx2.Client(
            base_url=stack.url, headers={"Authorization": f"Bearer {stack.token('auditor')}"}
        )
        self._service = service

    def events(self) -> list[dict[str, Any]]:
        """The events of the service in the order of their times."""
        answer = self._client.get("/v1/events", params={"service": self._service, "first": 100})
        assert answer.status_code == 200, answer.text
        return sorted((each["event"] for each in answer.json()["events"]), key=itemgetter("occurred_at"))

    def eventually(self, *types: str) -> list[dict[str, Any]]:
        """The events, when there are some of these types, which happened in this order."""
        found: list[dict[str, Any]] = []

        def are_there() -> bool:
            found[:] = [each for each in self.events() if each["type"] in types]
            return len(found) == len(types)

        with suppress(AssertionError):  # the next one says more
            eventually(are_there)
        assert [each["type"] for each in found] == list(types)
        return found

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def environment(stack: Stack, databases: Databases, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The variables of both services."""
    token = tmp_path / "publisher.token"
    token.write_text(stack.token("publisher"))
    with databases.copy(EMPTY) as url:
        at = make_url(url)
        yield os.environ | {
            "PYTHONPATH": str(ROOT / "publisher"),
            "PYTHONWARNINGS": "error",
            "AUDIT_URL": stack.url,
            "AUDIT_TOKEN_FILE": str(token),
            "AUDIT_SPOOL": str(tmp_path / "spool"),
            "TOKEN_KEY": KEY,
            "DATABASE_URL": url,
            "DATABASE_NAME": at.database or "",
            "DATABASE_USER": at.username or "",
            "DATABASE_PASSWORD": at.password or "",
            "DATABASE_HOST": str(at.host or at.query.get("host") or ""),
            "DATABASE_PORT": str(at.port or ""),
            "DJANGO_SECRET_KEY": KEY,
        }


def run(folder: str, environment: Mapping[str, str], *arguments: str) -> str:
    """What a command of an example prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=EXAMPLES / folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def running(folder: str, environment: Mapping[str, str], *arguments: str) -> Iterator[httpx2.Client]:
    """A client of a service, which SIGTERM stops, as platforms do. `PORT` in `arguments` is a free one."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, *(each.replace("PORT", port) for each in arguments)]
    with (
        subprocess.Popen(command, cwd=EXAMPLES / folder, env=environment) as process,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        try:
            eventually(lambda: process.poll() is not None or _answers(client))
            yield client
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _answers(client: httpx2.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx2.TransportError:
        return False


def of_request(event: dict[str, Any]) -> tuple[str, int]:
    return event["request"]["path"], event["request"]["status"]


def a_user(*roles: str) -> dict[str, str]:
    claims = {"sub": "ada", "name": "Dr Ada", "roles": roles, "aud": "observations", "exp": time.time() + 60}
    return {"Authorization": f"Bearer {jwt.encode(claims, KEY, 'HS256')}"} | THROUGH_A_PROXY


def test_the_fastapi_service(stack: Stack, environment: dict[str, str]) -> None:
    run("fastapi", environment, "service.py")
    with closing(Trail(stack, "observation-service")) as trail:
        with running(
            "fastapi", environment, "-m", "uvicorn", "service:app", "--port=PORT", "--no-proxy-headers"
        ) as client:
            path, body = "/observations/o-1", {"patient_id": "17", "status": "preliminary", "comment": "HIV"}
            assert client.put(path, json=body, headers=a_user("nurse")).json() == body
            assert (
                client.put(path, json=body | {"status": "final"}, headers=a_user("nurse")).status_code == 200
            )
            assert client.get(path, headers=a_user("nurse")).json()["comment"] == "HIV"
            assert client.delete(path, headers=a_user("nurse")).status_code == 403
            assert client.get(path).status_code == 401
            assert client.delete(path, headers=a_user("physician")).status_code == 200
            assert client.delete(path, headers=a_user("physician")).status_code == 404
        records = trail.eventually(
            "service.started",
            "record.created",
            "record.updated",
            "record.read",
            "record.deleted",
            "service.stopped",
        )
        calls = [each for each in trail.events() if each["type"] in {"api.called", "access.denied"}]
    created, updated, read = records[1:4]
    for event in (created, updated, read, calls[0]):
        assert event["actor"] == {"id": "ada", "name": "Dr Ada", "roles": ["nurse"]}
        assert event["client"]["address"] == "203.0.113.9"
        assert event["correlation_id"] == TRACE
    assert {each["patients"][0]["id"] for each in records[1:5]} == {"17"}
    assert updated["changes"] == [{"path": "status", "before": "preliminary", "after": "final"}]
    assert sorted(map(of_request, calls)) == sorted(
        ("/observations/o-1", status) for status in (200, 200, 200, 403, 401, 200, 404)
    )
    assert sorted(each["type"] for each in calls) == ["access.denied"] * 2 + ["api.called"] * 5
    actors = {each["request"]["status"]: each["actor"] for each in calls}
    assert actors[403] == {"id": "ada", "name": "Dr Ada", "roles": ["nurse"]}
    assert actors[401] == {"kind": "unknown"}
    assert "HIV" not in repr(records + calls)


def test_the_django_project(stack: Stack, environment: dict[str, str]) -> None:
    run("django", environment | {"DJANGO_SUPERUSER_PASSWORD": "correct horse"}, "-c", DJANGO_COMMANDS)
    with closing(Trail(stack, "clinic")) as trail:
        with running(
            "django", environment, "manage.py", "runserver", "--noreload", "127.0.0.1:PORT"
        ) as client:
            client.headers.update(THROUGH_A_PROXY)
            assert client.post("/observations", data=csrf(client)).status_code == 302
            assert sign_in(client, "wrong").status_code == 200
            assert sign_in(client, "correct horse").status_code == 302
            assert client.get("/").text == "Good morning, ada"
            body = {"patient_id": "17", "status": "preliminary", "comment": "HIV"}
            made = client.post("/observations", data=body | csrf(client)).json()
            assert client.get(f"/observations/{made['id']}").json() == body
            assert client.post("/patients/17/finish", data=csrf(client)).json() == {"changed": 1}
            client.post("/sign-out", data=csrf(client))
        with running(
            "django", environment, "-m", "uvicorn", "clinic.asgi:application", "--port=PORT"
        ) as client:
            assert client.get("/").text == "Good morning, stranger"
        records = trail.eventually(
            "service.started",
            "user.login_failed",
            "user.logged_in",
            "record.created",
            "record.read",
            "record.updated",
            "user.logged_out",
            "service.stopped",
            "service.started",
            "service.stopped",
        )
        assert not any(each["type"] == "service.restarted" for each in trail.events())
    failed, signed_in, created, read, updated = records[1:6]
    assert failed["actor"] == {"id": "ada"}
    for event in (signed_in, created, read, updated):
        assert event["actor"] == {"id": "ada", "roles": ["administrator"]}
        assert event["client"]["address"] == "203.0.113.9"
        assert event["session"] == signed_in["session"]
    assert updated["changes"] == [{"path": "status", "before": "preliminary", "after": "final"}]
    assert "HIV" not in repr(records)


def csrf(client: httpx2.Client) -> dict[str, str]:
    """The field of a form against cross-site requests."""
    if "csrftoken" not in client.cookies:
        client.get("/sign-in")
    return {"csrfmiddlewaretoken": client.cookies["csrftoken"]}


def sign_in(client: httpx2.Client, password: str) -> httpx2.Response:
    return client.post("/sign-in", data={"username": "ada", "password": password} | csrf(client))
