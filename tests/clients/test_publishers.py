"""The examples of publishers: they make the events of the golden vectors, and lose none on the way into the trail."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from audit_trail.docs.event_schema import event_schema
from audit_trail.embedded.broker import Broker
from domain.event import AuditEvent
from domain.validation import decode_event, encode_event
from event_store.database import INGEST, PROJECTOR, READER, Database
from event_store.event_reader import read_events
from ingest.settings import IngestSettings
from projections.registry import built_in
from projections.runner import Runner
from queries.read_models import ReadModels
from tests.clients.flaky_proxy import RETRY_AFTER, flaky_proxy
from tests.ingest.conftest import Running
from tests.installed import installed
from tests.node import NODE
from tests.tokens import token
from tests.waiting import eventually
from tests.web.read_audit.recorded_server import OnRecord, on_record

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
VECTORS = EXAMPLES / "golden-vectors.json"
TYPESCRIPT = EXAMPLES / "typescript-publisher"
IN_TYPESCRIPT = pytest.param((NODE, str(TYPESCRIPT / "example.ts")), id="typescript")


def in_java(*marks: pytest.MarkDecorator) -> Any:
    """The example in Java. It compiles itself at each start."""
    program = (
        *(installed("java") or "java", "-XX:TieredStopAtLevel=1"),
        str(EXAMPLES / "java-publisher" / "AuditTrailPublisher.java"),
    )
    return pytest.param(program, id="java", marks=[pytest.mark.needs_program("java"), *marks])


MOST = 20
"""Events that the server takes in one request."""
PATIENTS = 5
CALLS, REFUSED = 120, 61
"""How many calls, and the number of the one whose event is not valid."""


def vectors() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(VECTORS.read_text("utf-8"))["vectors"]
    return found


def environment(**more: str) -> dict[str, str]:
    # Java tells on standard error that it has picked up its options.
    kept = {name: value for name, value in os.environ.items() if name != "JAVA_TOOL_OPTIONS"}
    return kept | {"NODE_NO_WARNINGS": "1"} | more


def test_the_golden_vectors_are_valid_events_in_the_form_in_which_the_trail_writes_them() -> None:
    validator = jsonschema_rs.validator_for(json.loads(event_schema()))
    for each in vectors():
        event = decode_event(each["event"].encode())
        assert encode_event(event).decode() == each["event"], each["name"]
        assert [fault.message for fault in validator.iter_errors(json.loads(each["event"]))] == []
        assert (str(event.event_id), event.source.sequence) == (each["event_id"], each.get("sequence"))


@pytest.mark.parametrize("program", [IN_TYPESCRIPT, in_java()])
def test_a_publisher_makes_exactly_the_events_of_the_golden_vectors(program: Sequence[str]) -> None:
    ran = subprocess.run([*program, VECTORS], env=environment(), capture_output=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr.decode()) == (0, "")
    assert ran.stdout.decode().split("\n") == [*(each["event"] for each in vectors()), ""]


@pytest.fixture
def served(projected_url: str, broker: Broker, topic: str) -> Iterator[OnRecord]:
    """A server that takes few events at once."""
    with on_record(
        projected_url, broker.bootstrap_servers, topic, web={"topic": topic, "max_publish_events": MOST}
    ) as served:
        yield served


@pytest.mark.parametrize("program", [IN_TYPESCRIPT, in_java(pytest.mark.thorough)])
def test_a_publisher_loses_doubles_and_reorders_nothing_whatever_happens_to_the_api(
    program: Sequence[str], served: OnRecord, projected_url: str, tmp_path: Path
) -> None:
    calls = tmp_path / "calls.ndjson"
    calls.write_text("".join(f"{json.dumps(call(number))}\n" for number in range(1, CALLS + 1)))
    log = tmp_path / "log"
    with flaky_proxy(served.port) as proxy, calls.open() as said, log.open("w") as told:
        process = subprocess.Popen(
            [*program, proxy.address],
            env=environment(AUDIT_TOKEN=token("publisher")),
            stdin=said,
            stdout=told,
            stderr=told,
        )
        try:
            eventually(lambda: "audit events wait: no answer" in log.read_text())
            proxy.open()
            assert process.wait(60) == 1
        finally:
            process.kill()
            process.wait()
        assert {202, 413, 503} == set(proxy.statuses)
        assert proxy.pause >= RETRY_AFTER
    lines = log.read_text().splitlines()
    assert lines[-1] == f"1 of {CALLS} audit events were rejected"
    [rejected] = [line for line in lines if line.startswith("audit event ")]
    assert rejected.endswith(
        "(record.read) was rejected: missing_field resources: record.read needs this field"
    )
    assert not any("patient-" in line for line in lines)
    # An answer was lost, so what it had accepted came twice.
    assert len(served.events()) > CALLS - 1
    check_trail(projected_url, served)


def call(number: int) -> dict[str, Any]:
    resources = [] if number == REFUSED else [{"type": "Observation", "id": f"o-{number}"}]
    return {
        "type": "record.read",
        "actor": {"id": "ada"},
        "patients": [{"id": f"patient-{number % PATIENTS}"}],
        "resources": resources,
        "attributes": {"call": number},
    }


def check_trail(url: str, server: OnRecord) -> None:
    """Ingest the topic: every valid call is there once, in the order of its patient, and the trail misses the other."""
    settings = IngestSettings(
        bootstrap_servers=(server.servers,),
        topics=(server.topic,),
        group_id=server.topic,
        assignment="static",
    )
    with closing(Database(url, INGEST)) as database:
        ingest = Running(settings, database)
        try:
            ingest.until(lambda: len(recorded(database)) == CALLS - 1)
        finally:
            ingest.stop()
        events = recorded(database)
    for patient in range(PATIENTS):
        wanted = [n for n in range(1, CALLS + 1) if n % PATIENTS == patient and n != REFUSED]
        of_patient = [each for each in events if each.patients[0].id == f"patient-{patient}"]
        assert [each.attributes["call"] for each in of_patient] == wanted
    assert {each.event_id.version for each in events} == {7}
    with closing(Database(url, PROJECTOR)) as database:
        Runner(database, built_in()).catch_up()
    with closing(Database(url, READER)) as database:
        found = ReadModels(database).service("patient-service")
    assert found is not None
    assert [(each.events, each.highest) for each in found.instances] == [(CALLS - 1, CALLS)]
    assert [(each.from_number, each.to_number) for each in found.gaps] == [(REFUSED, REFUSED)]
    assert found.conflicts == []


def recorded(database: Database) -> list[AuditEvent]:
    """The events of patients, in the order of the log."""
    with database.transaction(read_only=True) as connection:
        return [each.event for each in read_events(connection, -1, 1000).events if each.event.patients]


NODE_TYPES = """
declare module 'node:crypto' {
  export function randomFillSync<T extends Uint8Array>(array: T): T;
  export function randomUUID(): string;
}
declare module 'node:os' { export function hostname(): string; }
declare module 'node:fs' { export function readFileSync(file: string, encoding: 'utf8'): string; }
declare module 'node:timers/promises' {
  type Options = { signal?: AbortSignal; ref?: boolean };
  export function setTimeout(milliseconds: number, value?: undefined, options?: Options): Promise<void>;
}
declare module 'node:readline' { export function createInterface(options: { input: unknown }): AsyncIterable<string>; }
declare const process: { argv: string[]; env: Record<string, string | undefined>; stdin: unknown; exitCode: number };
declare const Buffer: { from(bytes: Uint8Array): { toString(encoding: 'hex'): string } };
"""
"""What the example needs of @types/node, which the tests do not install."""


def test_the_example_in_typescript_has_the_types_that_it_declares(workspace: Path, tmp_path: Path) -> None:
    for script in TYPESCRIPT.glob("*.ts"):
        shutil.copy(script, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node.d.ts").write_text(NODE_TYPES)
    options = json.loads((TYPESCRIPT / "tsconfig.json").read_text())
    options["compilerOptions"] |= {"types": [], "lib": ["es2024", "dom"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(options))
    ran = subprocess.run(
        [NODE, workspace / "node_modules/typescript/bin/tsc", "--project", tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
