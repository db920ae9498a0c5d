"""The OpenAPI document says what is answered, whatever is asked: judged by schemathesis, which knows nothing of us."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from audit_trail.embedded.broker import Broker
from tests.web.conftest import Serve
from web.rest import commands

FILTERED = ("GET /v1/events", "GET /v1/event-counts", "GET /v1/export")
"""A filter of filters makes five thousand cases of each, value by value: several minutes."""
COMMANDS = (
    *(f"POST /v1/cases{end}" for end in ("", "/{id}/assign", "/{id}/comment", "/{id}/ask", "/{id}/answer")),
    *("POST /v1/cases/{id}/decide", "POST /v1/cases/{id}/reopen"),
    *("POST /v1/suppressions", "POST /v1/suppressions/{id}/end"),
    *("POST /v1/reviews", "POST /v1/reviews/{id}/close"),
    *(f"POST /v1/reviews/{{id}}/items/{{item}}/{end}" for end in ("decide", "reassign")),
)
"""They fill the table of commands, as no `ingest` runs that carries them out: then all are refused."""


@pytest.mark.parametrize(
    ("phases", "routes"),
    [
        pytest.param("examples,fuzzing", (), id="at random"),
        pytest.param(
            "coverage",
            tuple(f"--exclude-name={name}" for name in (*FILTERED, *COMMANDS)),
            marks=pytest.mark.thorough,
            id="value by value",
        ),
    ],
)
def test_the_answers_are_those_that_openapi_describes_whatever_is_asked(
    serve: Serve,
    trail_url: str,
    tmp_path: Path,
    broker: Broker,
    topic: str,
    phases: str,
    routes: tuple[str, ...],
    thorough: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With every check, those too that good requests are accepted and that bad ones are not."""
    monkeypatch.setattr(commands, "SECONDS", 0.1)  # no `ingest` runs that carries them out
    client = serve(trail_url, broker.bootstrap_servers, topic=topic)
    arguments = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        f"{client.base_url}/openapi.json",
        f"--max-examples={3 if thorough else 1}",
        "--generation-deterministic",
        "--generation-allow-x00=false",
        f"--phases={phases}",
        "--request-timeout=20",
        "--no-color",
        "-H",
        f"Authorization: {client.headers['authorization']}",
        *routes,
    ]
    ran = subprocess.run(arguments, capture_output=True, text=True, timeout=900, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout[-6000:]
    assert "generated" in ran.stdout
