"""The OpenAPI document says what is answered, whatever is asked: judged by schemathesis, which knows nothing of us."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from audit_trail.embedded.broker import Broker
from tests.web.conftest import Serve

FILTERED = ("GET /v1/events", "GET /v1/event-counts", "GET /v1/export")
"""A filter of filters makes five thousand cases of each, value by value: several minutes."""
COMMANDS = "^POST /v1/(cases|reviews|suppressions)"
"""To make texts of up to 65,536 characters at random, Schemathesis needs seconds of the processor for each field."""
DETECTION = "/v1/(alerts|case|review|suppression|detection)"
"""Value by value, these take longer than a test may. At random, the queries among them are asked."""


@pytest.mark.parametrize(
    ("phases", "routes"),
    [
        pytest.param("examples,fuzzing", (f"--exclude-name-regex={COMMANDS}",), id="at random"),
        pytest.param(
            "coverage",
            (*(f"--exclude-name={name}" for name in FILTERED), f"--exclude-name-regex={DETECTION}"),
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
) -> None:
    """With every check, those too that good requests are accepted and that bad ones are not."""
    client = serve(trail_url, broker.bootstrap_servers, topic=topic)
    arguments = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        f"{client.base_url}/openapi.json",
        f"--max-examples={2 if thorough else 1}",
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
