"""Celery's processes record for whoever has sent a task, and a killed one is recorded by the process that is left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from audit_trail_publisher import AuditEvent
from tests.waiting import eventually

MODULE = "tests.publisher.integrations.celery_process"
ROOT = Path(__file__).parents[3]
SEND = f"""
from {MODULE} import killed, read, trail
with trail.actor("ada"):
    read.delay("17")
    killed.delay()
"""


@pytest.mark.thorough
def test_a_task_whose_process_is_killed_is_recorded_for_whoever_has_sent_it(tmp_path: Path) -> None:
    for name in ("messages", "control"):
        (tmp_path / name).mkdir()
    environment = os.environ | {
        "FOLDER": str(tmp_path),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'publisher'}",
    }
    sent = tmp_path / "sent"

    def events() -> list[AuditEvent]:
        lines = sent.read_bytes().splitlines() if sent.exists() else []
        return [msgspec.json.decode(line, type=AuditEvent) for line in lines]

    subprocess.run([sys.executable, "-c", SEND], env=environment, cwd=ROOT, check=True, timeout=60)
    worker = [
        sys.executable,
        "-m",
        "celery",
        "--app",
        MODULE,
        "worker",
        "--concurrency=1",
        "--loglevel=WARNING",
    ]
    with subprocess.Popen(worker, env=environment, cwd=ROOT) as process:
        try:
            eventually(lambda: sum(event.type == "api.called" for event in events()) >= 2, 60)
        finally:
            process.terminate()
            process.wait(60)
    by_type = {(event.type, event.outcome_reason): event for event in events()}
    assert set(by_type) == {
        ("service.started", None),
        ("record.read", None),
        ("api.called", None),
        ("api.called", "WorkerLostError"),
        ("service.stopped", None),
    }
    of_tasks = [event for (type, _), event in by_type.items() if not type.startswith("service.")]
    assert {event.actor.id for event in of_tasks} == {"ada"}
