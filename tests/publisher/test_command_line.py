"""`audit-trail-publisher` shows a spool and decides on rejected events; it makes no spool by mistake."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from audit_trail_publisher.__main__ import main
from audit_trail_publisher.outbox.outbox import postgresql_tables
from tests.publisher.conftest import Make
from tests.publisher.scripted_api import Said, ScriptedApi, problem
from tests.waiting import eventually


@pytest.fixture
def rejected(api: ScriptedApi, make: Make) -> list[str]:
    """The ids of two rejected events in the spool; a third waits."""
    api.script = lambda events: Said(
        422,
        {
            "detail": "none",
            "errors": [
                {"index": at, "reason": "invalid_field", "field": "reason", "message": "wrong"}
                for at, _ in enumerate(events)
            ],
        },
    )
    trail = make(url=api.url)
    ids = [str(trail.record.searched(actor="dr-smith", reason="private").event_id) for _ in range(2)]
    eventually(lambda: len(trail.rejected()) == 2)
    api.script = lambda _: problem(503)
    trail.record.searched(actor="dr-smith")
    eventually(lambda: "503" in trail.health().last_error)
    trail.close()
    return ids


def test_the_state_of_a_spool_is_shown(
    spool: Path, rejected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(spool)]) == 0
    shown = capsys.readouterr().out
    assert "waiting: 1 events" in shown
    assert "rejected: 2" in shown
    assert "last error: " in shown
    assert "503" in shown
    assert main(["rejected", str(spool)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == rejected
    assert "invalid_field: reason: wrong" in lines[0]
    assert "private" not in "".join(lines)
    assert main(["rejected", str(spool), "--bodies", "--limit", "1"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[1])["reason"] == "private"


def test_rejected_events_are_sent_again_or_given_up(
    spool: Path, rejected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = rejected
    assert main(["discard", str(spool), first, "--by", "n.operator", "--reason", "a test"]) == 0
    assert main(["discard", str(spool), first, "--by", "n.operator", "--reason", "a test"]) == 1
    assert main(["resend", str(spool), str(uuid4())]) == 1
    assert main(["resend", str(spool), second]) == 0
    assert main(["resend", str(spool)]) == 0
    capsys.readouterr()
    assert main(["status", str(spool)]) == 0
    assert "waiting: 2 events" in capsys.readouterr().out


def test_what_can_not_be_sent_stays(
    spool: Path, rejected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert rejected
    assert main(["send", str(spool), "--url", "http://127.0.0.1:9", "--seconds", "0.1"]) == 1
    assert capsys.readouterr().out == "1 events still wait\n"


def test_a_folder_that_is_no_spool_is_not_made_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["status", str(tmp_path / "typo")])
    assert ended.value.code == 2
    assert "is no spool" in capsys.readouterr().err
    assert not (tmp_path / "typo").exists()


def test_the_tables_of_the_outbox_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["outbox-tables"]) == 0
    assert capsys.readouterr().out == postgresql_tables()
