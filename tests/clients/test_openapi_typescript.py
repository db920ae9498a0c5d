"""TypeScript: a program with types that are generated from /openapi.json, and the scripts of the dashboard."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import dashboard
from tests.node import NODE
from tests.tokens import token
from tests.web.read_audit.recorded_server import OnRecord

STATIC = Path(dashboard.__file__).with_name("static")
TSC = ("node_modules/typescript/bin/tsc", "--strict", "--noEmit", "--target", "es2023")
LIBRARIES = ("--lib", "es2023,dom,dom.iterable")
ID = "0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a02"


def node(folder: Path, *arguments: str | Path) -> str:
    ran = subprocess.run(
        [NODE, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def generated(served: OnRecord, workspace: Path) -> Path:
    """The folder, with types that are generated from the document of the server."""
    (workspace / "openapi.json").write_bytes(served.client.get("/openapi.json").content)
    node(workspace, "node_modules/openapi-typescript/bin/cli.js", "openapi.json", "--output", "api.ts")
    return workspace


def test_a_program_with_generated_types_compiles(generated: Path) -> None:
    node(generated, *TSC, *LIBRARIES, "--module", "nodenext", "publish.mts")


def test_that_program_publishes_and_reads(generated: Path, served: OnRecord) -> None:
    said: dict[str, Any] = json.loads(
        node(generated, "publish.mts", f"http://127.0.0.1:{served.port}", token("admin"))
    )
    assert said == {"statuses": [202, 200], "accepted": 1, "readers": ["ada", "ada"]}
    assert ID in {str(event.event_id) for event in served.events(2)}


def test_the_scripts_of_the_dashboard_have_the_types_that_they_declare(workspace: Path) -> None:
    module = ("--module", "esnext", "--moduleResolution", "bundler")
    scripts = sorted(STATIC.glob("*.js"))
    assert len(scripts) > 1
    node(workspace, *TSC, *LIBRARIES, *module, "--allowJs", "--checkJs", *scripts)
