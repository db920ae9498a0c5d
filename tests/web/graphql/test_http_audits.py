"""GraphQL over HTTP, as the audits of its specification's authors ask for it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx2

from tests.node import NODE

AUDITS = Path(__file__).with_name("http_audits") / "run.mjs"


def test_every_audit_of_graphql_over_http_is_passed(client: httpx2.Client) -> None:
    token = client.headers["authorization"].removeprefix("Bearer ")
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
