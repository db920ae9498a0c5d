"""Rules begin to count when their files change, and each alert becomes one event of the trail."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from audit_trail.detection.desk import DetectionDesk
from detection.live.installed import installed
from detection.live.rule_sets import newest_activation
from detection.pack import pack_files
from domain.errors import UnavailableError
from domain.event import AuditEvent
from projections.rebuild.coordinator import rebuild
from tests.detection.live.logs import DELETION, deletion, detect, stored
from tests.projections.rebuild.rebuilds import Rebuilt, parts_of
from tests.trail import Trail, an_event

OWN = DELETION + (
    "author: n.analyst\n"
    "tests:\n"
    "    fires: [[{type: record.deleted, resources: [{type: Patient, id: '1'}]}]]\n"
    "    silent: [[{type: record.read, resources: [{type: Patient, id: '1'}]}]]\n"
)
SHIPPED = len(pack_files())


def shipped(running: Running) -> str:
    """The id of a shipped rule that reports."""
    return str(stored(running.trail)["active_rule"][0][2])


class Running:
    """A desk whose events go to the log at once, as through Kafka and ingest, each id once."""

    def __init__(self, trail: Trail, folder: Path) -> None:
        self.trail = trail
        self.folder = folder
        self.away = False
        self.sent: list[AuditEvent] = []
        self.levels: list[str] = []
        self.desk = self._new()

    def _new(self) -> DetectionDesk:
        return DetectionDesk(self.trail.projector, self._publish, self.folder, self.levels.append)

    def _publish(self, events: Sequence[AuditEvent]) -> None:
        if self.away:
            raise UnavailableError("Kafka is away")
        known = {each.event_id for each in self.sent}
        self.trail.append(*(each for each in events if each.event_id not in known))
        self.sent.extend(events)

    def turn(self) -> None:
        """The desk works, and detection evaluates what the log has then."""
        self.desk._whole_at = 0.0
        while self.desk.step():
            pass
        detect(self.trail)

    def of(self, type: str) -> list[AuditEvent]:
        return [each for each in self.sent if each.type == type]

    @property
    def activated(self) -> dict[str, Any]:
        """What the newest activation says."""
        return self.of("detection_rules.activated")[-1].attributes

    def restart(self) -> None:
        self.desk._lock.close()
        self.desk = self._new()


@pytest.fixture
def running(new_trail: Trail, tmp_path: Path) -> Iterator[Running]:
    folder = tmp_path / "rules"
    folder.mkdir(mode=0o755)
    found = Running(new_trail, folder)
    with closing(found.desk._lock):
        detect(new_trail)
        found.turn()
        yield found


@pytest.fixture
def write(running: Running) -> Callable[[str, str], None]:
    def put(name: str, text: str) -> None:
        file = running.folder / name
        file.write_text(text, "utf-8")
        status = file.stat()
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + len(text)))

    return put


def test_the_shipped_rules_count_and_their_alerts_are_events_once(running: Running) -> None:
    assert running.activated["rules"] > SHIPPED
    assert running.activated["added"][0].keys() >= {"id", "sha256", "title", "file"}
    resources = [{"type": "Patient", "id": "1"}]
    emergency: dict[str, Any] = {
        "type": "emergency_access.started",
        "actor": {"id": "ada"},
        "resources": resources,
        "reason": "-",
    }
    running.trail.append(deletion(), an_event(**emergency))
    detect(running.trail)
    running.turn()
    running.turn()
    [alert] = running.of("alert.raised")
    assert alert.attributes["rule"] in {row[10] for row in stored(running.trail)["alert"]}
    assert alert.resources[0].type == "Alert"
    assert alert.resources[1].version == stored(running.trail)["alert"][0][9]
    assert alert.reason
    assert running.levels == [alert.attributes["level"]]


def test_a_rule_of_an_analyst_counts_once_its_file_is_there_and_no_more_when_it_is_gone(
    running: Running, write: Callable[[str, str], None]
) -> None:
    write("deletions.yaml", OWN)
    running.turn()
    [added] = running.activated["added"]
    assert (added["author"], added["file"]) == ("n.analyst", "deletions.yaml")
    running.trail.append(deletion())
    detect(running.trail)
    (running.folder / "deletions.yaml").unlink()
    running.turn()
    assert [each["title"] for each in running.activated["removed"]] == ["A record was deleted"]
    running.trail.append(deletion())
    detect(running.trail)
    running.turn()
    assert len(running.of("alert.raised")) == 1
    assert len(running.of("detection_rules.activated")) == 3


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", OWN.replace("author: n.analyst\n", ""), "the field `author` is missing"),
        ("a.yaml", OWN.replace("type: record.deleted, r", "type: record.read, r"), "tests.fires[0] fails"),
        ("a.yaml", OWN.replace("condition: deleted", "condition: delete"), "line 5"),
        ("a.yaml", DELETION + "author: n.analyst\n", "write events with which the rule fires"),
        (
            "switched_off.yaml",
            "- rule: 6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c14\n  owner: o\n  reason: r\n",
            "no rule",
        ),
        ("switched_off.yaml", "- rule: {shipped}\n  owner: o\n", "the field `reason` is missing"),
        ("switched_off.yaml", "- rule: {shipped}\n  reason: o\n", "the field `owner` is missing"),
        ("switched_off.yaml", "- rule: {shipped}\n  owner: o\n  reason: r\n  until: soon\n", "write a date"),
    ],
)
def test_a_fault_in_the_folder_is_said_and_the_last_rules_go_on(
    running: Running, write: Callable[[str, str], None], name: str, text: str, said: str
) -> None:
    before = len(running.sent)
    write(name, text.replace("{shipped}", shipped(running)))
    running.turn()
    [problem] = running.desk.problems()
    assert said in problem
    assert name in problem
    assert len(running.sent) == before
    [(stored_fault,)] = running.trail.rows("SELECT fault FROM audit_trail.rule_folder_fault")
    assert said in stored_fault
    assert stored_fault in problem
    (running.folder / name).unlink()
    running.turn()
    assert running.desk.problems() == []
    assert running.trail.rows("SELECT * FROM audit_trail.rule_folder_fault") == []


def test_a_shipped_rule_is_switched_off_by_its_owner_with_a_reason_until_a_day(
    running: Running, write: Callable[[str, str], None]
) -> None:
    write("deletions.yaml", OWN)
    off = "- rule: 6a3b1a52-0f2f-4e0e-8ff5-6c2f5a1f7c14\n  owner: p.officer\n  reason: the migration of records\n"
    write("switched_off.yaml", off + "  until: 2999-12-31\n")
    running.turn()
    [listed] = running.activated["switched_off"]
    assert (listed["owner"], listed["reason"]) == ("p.officer", "the migration of records")
    running.trail.append(deletion())
    detect(running.trail)
    assert stored(running.trail)["alert"] == []
    write("switched_off.yaml", off + "  until: 2020-12-31\n")
    running.turn()
    assert running.activated["switched_off"] == []
    running.trail.append(deletion())
    detect(running.trail)
    assert len(stored(running.trail)["alert"]) == 1


def test_nothing_is_lost_while_kafka_is_away_or_when_the_process_is_killed(
    running: Running, write: Callable[[str, str], None]
) -> None:
    running.away = True
    write("deletions.yaml", OWN)
    with pytest.raises(UnavailableError):
        running.turn()
    running.restart()
    with pytest.raises(UnavailableError):
        running.turn()
    running.away = False
    running.turn()
    assert len(running.of("detection_rules.activated")) == 2, "decided once"
    running.trail.append(deletion())
    detect(running.trail)
    running.away = True
    with pytest.raises(UnavailableError):
        running.turn()
    running.restart()
    running.away = False
    running.turn()
    running.turn()
    assert len(running.of("alert.raised")) == 1


def test_a_rebuild_raises_no_alert_again(running: Running, write: Callable[[str, str], None]) -> None:
    write("deletions.yaml", OWN)
    running.turn()
    running.trail.append(deletion(), deletion())
    detect(running.trail)
    running.turn()
    [outcome] = rebuild(parts_of(running.trail, Rebuilt(), source=installed), ["detection"])
    assert outcome.failure == ""
    running.turn()
    assert len(running.of("alert.raised")) == 2


def test_a_second_desk_waits(running: Running) -> None:
    second = Running(running.trail, running.folder)
    second.turn()
    assert second.sent == []
    running.desk._lock.close()
    newest = newest_activation(running.trail.projector)
    second.turn()
    assert newest_activation(running.trail.projector) == newest
    second.desk._lock.close()


def test_a_folder_that_is_gone_is_said(running: Running) -> None:
    shutil.rmtree(running.folder)
    running.turn()
    assert "can't be read" in running.desk.problems()[0]
