"""The HTTP client of Java with its defaults: it asks for another protocol in each request, also in one with a body."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import EVENT, HERE
from tests.installed import installed
from tests.tokens import token
from tests.web.read_audit.recorded_server import OnRecord


@pytest.mark.needs_program("java")
def test_the_http_client_of_java_publishes_and_reads(served: OnRecord, tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text(json.dumps(EVENT))
    (tmp_path / "query.json").write_text('{"query": "{ patient(id: \\"17\\") { events } }"}')
    java = installed("java")
    assert java is not None
    ran = subprocess.run(
        [
            *(java, HERE / "Client.java", f"http://127.0.0.1:{served.port}", token("admin")),
            *("/v1/events", "event.json", "/graphql", "query.json"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    published, read = ran.stdout.splitlines()
    assert published.startswith('202 {"accepted":1,'), ran.stderr
    assert read.startswith('200 {"data":{"patient":{"events":10}}'), ran.stderr
    assert EVENT["event_id"] in {str(event.event_id) for event in served.events(2)}
