"""The import contracts of setup.cfg: each one is seen to fail."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = [
    *("domain", "event_store", "interop", "ingest", "watcher", "projections"),
    *("queries", "detection", "forwarding", "graphql_api", "dashboard", "web", "audit_trail"),
    "publisher/audit_trail_publisher",
]
FORBIDDEN = {
    "layers": ("queries.cursors", "graphql_api.limits"),
    "acyclic": ("ingest.batch", "ingest.appender"),
    "interop": ("interop.truncation", "psycopg2"),
    "forwarding": ("forwarding.metrics", "fastapi"),
    "detection": ("detection.rules.patterns", "projections.tables"),
    "detection-outside": ("detection.history", "fastapi"),
    "ingest": ("ingest.floods", "projections.tables"),
    "watcher": ("watcher.events", "kafka"),
    "graphql-api": ("graphql_api.limits", "starlette"),
    "web-graphql": ("web.probes", "graphql_api.limits"),
    "dashboard": ("dashboard.texts", "starlette"),
    "web-dashboard": ("web.health", "dashboard.links"),
    "kafka": ("queries.history", "kafka"),
    "psycopg2": ("audit_trail.logs", "psycopg2"),
    "domain": ("domain.tree_head", "socket"),
    "one-driver": ("event_store.heads", "psycopg"),
    "publisher": ("audit_trail_publisher.proofs", "domain"),
    "server": ("interop.truncation", "audit_trail_publisher"),
    "publisher-extras": ("audit_trail_publisher.values", "prometheus_client"),
    "tests": ("audit_trail.embedded.kafka", "tests"),
}
"""For each contract a module, and what it must not import."""


def contracts() -> dict[str, str]:
    """The name of each contract, by its id."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    prefix = "importlinter:contract:"
    return {
        section.removeprefix(prefix): config[section]["name"]
        for section in config.sections()
        if section.startswith(prefix)
    }


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says of a copy of the packages to which all forbidden imports were added."""
    copy = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        name = package.rpartition("/")[2]
        shutil.copytree(ROOT / package, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", copy)
    for module, imported in FORBIDDEN.values():
        with (copy / f"{module.replace('.', '/')}.py").open("a", encoding="utf-8") as file:
            file.write(f"import {imported}\n")
    program = Path(sys.executable).with_name("lint-imports")
    wide = {"COLUMNS": "500"}  # else long names are broken over two lines
    done = subprocess.run(
        [program, "--no-cache"], cwd=copy, env=wide, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_every_contract_has_a_case() -> None:
    assert contracts().keys() == FORBIDDEN.keys()


@pytest.mark.parametrize("contract", FORBIDDEN)
def test_a_forbidden_import_breaks_its_contract(report: str, contract: str) -> None:
    title = contracts()[contract]
    assert f"{title} BROKEN" in report
    module, imported = FORBIDDEN[contract]
    [details] = re.findall(
        rf"^{re.escape(title)}\n-+\n(.*?)(?:\n\n\n\S|\Z)", report, re.DOTALL | re.MULTILINE
    )
    words = (f".{module.split('.')[1]}", f".{imported.split('.')[1]}") if contract == "acyclic" else ()
    assert re.search(" -> ".join(map(re.escape, words or (module, imported))), details), details
