"""Clients that others wrote, installed by `make` from package-lock.json, against a server that records its reads."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from audit_trail.embedded.broker import Broker
from domain.event import Actor, Change, Patient, Resource
from graphql_api.execution.trusted_documents import TrustedDocuments
from tests.databases import HOSPITAL, Databases
from tests.hospital import event, read, record
from tests.node import NODE, copy_scripts
from tests.tokens import token
from tests.web.read_audit.recorded_server import OnRecord, make_topic

HERE = Path(__file__).parent
KNOWN = """{
  user(id: "bob") {
    id
    name
    __typename
  }
}"""
"""A document as Apollo's clients send it: printed, with the names of types."""

EVENT: dict[str, Any] = {
    "event_id": "0193a2a5-7c1e-7b44-9a53-0c5f6f0f1a03",
    "type": "record.read",
    "occurred_at": "2026-03-01T08:15:30.120Z",
    "source": {"service": "patient-service"},
    "actor": {"id": "g.example"},
    "patients": [{"id": "17"}],
    "resources": [{"type": "Observation", "id": "o-1"}],
}
"""For programs that publish one."""

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts, in which Node and TypeScript find the installed packages."""
    folder = tmp_path_factory.mktemp("clients")
    copy_scripts([*HERE.glob("*.mjs"), *HERE.glob("*.mts")], folder)
    return folder


@pytest.fixture(scope="module")
def served(databases: Databases, broker: Broker) -> Iterator[OnRecord]:
    """The hospital's morning, four more people who read patient 17, and two more changes of the patient's record."""
    topic = f"test-{uuid.uuid4().hex}"
    make_topic(broker.bootstrap_servers, topic)
    with ExitStack() as stack:
        url = stack.enter_context(databases.copy(HOSPITAL))
        record(
            url,
            [
                *(read(20 + number, actor=Actor(id=f"reader-{number}")) for number in range(4)),
                *(
                    event(
                        "record.updated",
                        30 + number,
                        patients=(Patient(id="17"),),
                        resources=(Resource(type="Patient", id="17"),),
                        changes=(Change(path="phone", before=number, after=number + 1),),
                    )
                    for number in range(2)
                ),
            ],
        )
        web = {"topic": topic, "trusted": TrustedDocuments([KNOWN])}
        yield OnRecord(stack, url, broker.bootstrap_servers, topic, web=web)


@pytest.fixture(scope="module")
def run(served: OnRecord, workspace: Path) -> Run:
    """`run("client.mjs", ...)`: what that program prints, given the address of GraphQL and a token."""

    def run_program(script: str, *arguments: str) -> Any:
        address = f"http://127.0.0.1:{served.port}/graphql"
        ran = subprocess.run(
            [NODE, script, address, token("admin"), *arguments],
            cwd=workspace,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    return run_program
