"""A real `serve` that is killed, or stopped, in the middle of an export."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import psycopg2
import pytest

from audit_trail.embedded.broker import Broker, free_ports
from tests.audit_trail.programs import eventually, running
from tests.tokens import ADMIN, ISSUER

FORM = {"from": "2026-03-01", "to": "2026-03-01", "zone": "UTC", "format": "csv"}


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_after_a_restart_an_export_that_ran_has_failed(
    hospital_url: str, broker: Broker, topic: str, tmp_path: Path, number: signal.Signals
) -> None:
    port = str(free_ports(1)[0])
    exports = tmp_path / "exports"
    settings = {
        "database_url": hospital_url,
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "kafka_topics": topic,
        "http_port": port,
        "dashboard_issuer": ISSUER,
        "export_folder": str(exports),
    }
    headers = {**ADMIN, "Accept": "text/html"}
    with (
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client,
        closing(psycopg2.connect(hospital_url)) as connection,
    ):
        with running(tmp_path, "serve", settings=settings) as parts, connection.cursor() as cursor:
            assert eventually(lambda: is_ready(client))
            done = begin(client, exports)
            assert eventually(lambda: state(exports, done)["state"] == "done")
            cursor.execute("LOCK TABLE audit_trail.event IN ACCESS EXCLUSIVE MODE")
            job = begin(client, exports)
            assert eventually(lambda: state(exports, job)["state"] == "running")
            parts["serve"].send_signal(number)
            parts["serve"].wait(40)
            connection.rollback()
        with running(tmp_path, "serve", settings=settings):
            assert eventually(lambda: is_ready(client))
            page = client.get("/exports").text
            assert page.count("interrupted by a restart: start it again") == 1
            assert ": Runs" not in page
            assert {each.name for each in (exports / job).iterdir()} == {"lock", "state.json"}
            assert client.get(f"/exports/{done}/file").text.count("\r\n") == 11


def is_ready(client: httpx2.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx2.HTTPError:
        return False


def begin(client: httpx2.Client, exports: Path) -> str:
    before = set(exports.glob("[0-9a-f]*"))
    answer = client.post("/exports", data=FORM)
    assert answer.status_code == 303, answer.text
    [made] = set(exports.glob("[0-9a-f]*")) - before
    return made.name


def state(exports: Path, id: str) -> Any:
    return json.loads((exports / id / "state.json").read_bytes())
