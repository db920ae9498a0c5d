"""`audit-trail publish` sends what ingest will accept, and nothing else unless it is told to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.audit_trail.programs import run

EVENT = {
    "event_id": "0b6a1f4e-95f7-4c1b-8f2c-0a3d5e6f7a8b",
    "type": "user.logged_in",
    "occurred_at": "2024-05-01T10:00:00Z",
    "source": {"service": "auth"},
    "actor": {"id": "u-1"},
}
NOWHERE = {"kafka_bootstrap_servers": "127.0.0.1:1", "publish_timeout_seconds": "1"}


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (json.dumps({"hello": "world"}), "event 1"),
        (json.dumps([EVENT, EVENT | {"type": "user.logged_inn"}]), "event 2, type"),
        (
            json.dumps(EVENT) + "\n" + json.dumps(EVENT | {"occurred_at": "0001-01-01T00:00:00Z"}),
            "event 2, occurred_at",
        ),
    ],
)
def test_what_is_no_event_is_not_sent(tmp_path: Path, content: str, place: str) -> None:
    file = tmp_path / "events.json"
    file.write_text(content)
    done = run("publish", file, settings=NOWHERE)
    assert done.returncode == 1
    assert f"{file}, {place}" in done.stderr.replace("\n", " ")
    assert run("publish", "--raw", file, settings=NOWHERE).returncode == 75  # it goes on to the broker
