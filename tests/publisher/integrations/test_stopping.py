"""What starts and stops the trail with the server. The example services are stopped as platforms do it."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit_trail_publisher import Publisher
from audit_trail_publisher.sigterm import exit_on_sigterm
from audit_trail_publisher.testing import CapturedTrail
from audit_trail_publisher.web.lifespan import Lifespan
from tests.publisher.integrations.serving import serving


@pytest.fixture
def handler() -> Iterator[None]:
    """Whatever handles SIGTERM in the tests is put back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


ENDS = """
import atexit, os, signal, time
from audit_trail_publisher.sigterm import exit_on_sigterm
atexit.register(print, "closed")
exit_on_sigterm()
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(60)
"""


def test_sigterm_ends_a_process_in_order() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (0, "closed\n"), done.stderr


@pytest.mark.usefixtures("handler")
def test_the_handler_of_a_server_stays() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    exit_on_sigterm()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    thread = threading.Thread(target=exit_on_sigterm)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def http_only(scope: Any, _: Any, send: Any) -> None:
    """An application without a lifespan, as Django's."""
    if scope["type"] != "http":
        raise ValueError(scope["type"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"good morning"})


def test_an_application_without_a_lifespan_gets_one() -> None:
    trail = CapturedTrail("clinic")
    with serving(Lifespan(http_only, trail), lifespan="on") as client:
        assert client.get("/").text == "good morning"
        trail.only("service.started")
        trail.assert_none("service.stopped")
    trail.only("service.stopped")


def test_a_server_that_says_nothing_of_its_start_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    trail = CapturedTrail("clinic")
    with (
        caplog.at_level(logging.ERROR, "audit_trail_publisher"),
        serving(Lifespan(http_only, trail), lifespan="off") as client,
    ):
        for _ in range(2):
            assert client.get("/").text == "good morning"
    assert sum("neither is recorded" in line for line in caplog.messages) == 1
    assert trail.events == []


def test_a_service_whose_trail_can_not_start_does_not_serve(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    trail = Publisher("clinic", url="http://127.0.0.1:1", spool=tmp_path / "file" / "spool")
    said: list[Any] = []

    async def live() -> None:
        async def receive() -> Any:
            return {"type": "lifespan.startup"}

        async def send(message: Any) -> None:
            said.append(message)

        await Lifespan(http_only, trail)({"type": "lifespan"}, receive, send)

    asyncio.run(live())
    assert [message["type"] for message in said] == ["lifespan.startup.failed"]
    assert "spool" in said[0]["message"]
