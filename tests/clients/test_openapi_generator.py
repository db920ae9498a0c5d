"""Clients that openapi-generator makes of /openapi.json compile, publish an event and read."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.clients.conftest import EVENT
from tests.installed import installed
from tests.node import NODE
from tests.tokens import token
from tests.web.read_audit.recorded_server import OnRecord

pytestmark = [pytest.mark.thorough, pytest.mark.needs_program("mvn"), pytest.mark.needs_program("java")]
VERSION = "7.17.0"
SHA256 = "25d6bd8273dd2be99979d544b62ea43f0ce1975f1aa582678b5093d1e7fcfce8"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"

# Each program gets the address, a token and an event. It prints how many events were accepted, and who last read
# patient 17.
PYTHON = """
import sys
from openapi_client import ApiClient, Configuration, EventsApi, ReportedEvent
address, token, event = sys.argv[1:]
with ApiClient(Configuration(host=address, access_token=token)) as client:
    events = EventsApi(client)
    accepted = events.publish_events(ReportedEvent.from_json(event)).accepted
    print(accepted, events.list_events(patient=["17"], outcome=["success"], first=1).events[0].event.actor.id)
"""
TYPESCRIPT = """
import { Configuration, EventsApi, ReportedEventFromJSON } from './index';
declare const process: { argv: string[] };
const [address, accessToken, event] = process.argv.slice(2);
const events = new EventsApi(new Configuration({ basePath: address, accessToken }));
async function main(): Promise<void> {
  const { accepted } = await events.publishEvents({ reportedEvent: ReportedEventFromJSON(JSON.parse(event)) });
  const { events: [newest] } = await events.listEvents({ patient: ['17'], outcome: ['success'], first: 1 });
  console.log(accepted, newest.event.actor.id);
}
main();
"""
GO = """
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	openapi "example.org/audit/trail"
)

func main() {
	configuration := openapi.NewConfiguration()
	configuration.Servers = openapi.ServerConfigurations{{URL: os.Args[1]}}
	configuration.AddDefaultHeader("Authorization", "Bearer "+os.Args[2])
	events := openapi.NewAPIClient(configuration).EventsAPI
	var event openapi.ReportedEvent
	if err := json.Unmarshal([]byte(os.Args[3]), &event); err != nil {
		panic(err)
	}
	accepted, _, err := events.PublishEvents(context.Background()).ReportedEvent(event).Execute()
	if err != nil {
		panic(err)
	}
	wanted := events.ListEvents(context.Background()).Patient([]string{"17"}).Outcome([]string{"success"}).First(1)
	list, _, err := wanted.Execute()
	if err != nil {
		panic(err)
	}
	fmt.Println(accepted.Accepted, *list.Events[0].Event.Actor.Id.Get())
}
"""

Generate = Callable[..., Path]


def run(*command: str | Path, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    ran = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def generate(served: OnRecord, workspace: Path) -> Generate:
    """`generate("python")`: the folder with a client."""
    artifact = f"-Dartifact=org.openapitools:openapi-generator-cli:{VERSION}"
    run("mvn", "-q", "-B", COPY, artifact, f"-DoutputDirectory={workspace}", cwd=workspace)
    jar = workspace / f"openapi-generator-cli-{VERSION}.jar"
    assert hashlib.sha256(jar.read_bytes()).hexdigest() == SHA256
    (workspace / "openapi.json").write_bytes(served.client.get("/openapi.json").content)

    def generate(language: str, *options: str) -> Path:
        given = ("generate", "-g", language, "-i", "openapi.json", "-o", language, *options)
        run("java", "-jar", jar, *given, cwd=workspace)
        return workspace / language

    return generate


@pytest.fixture
def arguments(served: OnRecord) -> Sequence[str]:
    """What each program gets."""
    return f"http://127.0.0.1:{served.port}", token("admin"), json.dumps(EVENT)


def test_python(generate: Generate, arguments: Sequence[str]) -> None:
    assert run(sys.executable, "-c", PYTHON, *arguments, cwd=generate("python")) == "1 ada\n"


def test_typescript(generate: Generate, arguments: Sequence[str]) -> None:
    folder = generate("typescript-fetch")
    (folder / "main.ts").write_text(TYPESCRIPT)
    options = ("--strict", "--target", "es2022", "--lib", "es2022,dom", "--module", "commonjs")
    run(NODE, "../node_modules/typescript/bin/tsc", *options, "--outDir", "out", "main.ts", cwd=folder)
    assert run(NODE, "out/main.js", *arguments, cwd=folder) == "1 ada\n"


@pytest.mark.needs_program("go")
def test_go(generate: Generate, arguments: Sequence[str]) -> None:
    folder = generate("go", "--git-host", "example.org", "--git-user-id", "audit", "--git-repo-id", "trail")
    (folder / "main").mkdir()
    (folder / "main" / "main.go").write_text(GO)
    go = installed("go")
    assert go is not None
    assert run(go, "run", "./main", *arguments, cwd=folder) == "1 ada\n"
