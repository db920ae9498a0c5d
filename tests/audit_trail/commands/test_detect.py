"""`audit-trail detect`: the tests of rules, and the dry run over history, which is on record and changes nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detection.history import position_at
from detection.live.rule_sets import note_fault
from domain.event import Actor, Patient, Resource
from event_store.database import READER, Database
from tests.audit_trail.programs import run
from tests.detection.live.logs import DELETION, activate, deletion
from tests.detection.live.logs import detect as evaluate
from tests.detection.small_logs import B, correlation, failures, rule
from tests.trail import Trail, an_event

BURST = "\n---\n".join(
    [
        correlation(
            type="event_count",
            rules=["failures"],
            timespan="1h",
            condition={"gte": 3},
            **{"group-by": ["actor.id"]},
        ),
        failures(),
    ]
)


@pytest.fixture
def trail(projected_url: str) -> Iterator[Trail]:
    trail = Trail(projected_url)
    yield trail
    trail.close()


@pytest.fixture
def rule_file(tmp_path: Path) -> Path:
    file = tmp_path / "burst.yaml"
    file.write_text(BURST, encoding="utf-8")
    return file


def detect(trail: Trail, *arguments: str | Path, reads: str = "flag") -> subprocess.CompletedProcess[str]:
    return run("detect", "run", *arguments, settings={"database_url": trail.url, "reads_unrecorded": reads})


def fail(trail: Trail, *actors: str) -> None:
    trail.append(
        *(an_event("user.login_failed", actor=Actor(id=actor), resources=(), patients=()) for actor in actors)
    )


def test_a_dry_run_says_how_often_about_whom_and_changes_nothing(trail: Trail, rule_file: Path) -> None:
    fail(trail, "ada", "grace", "ada", "ada", "ada")
    before = trail.rows("SELECT count(*) FROM audit_trail.event")
    found = detect(trail, "--rule", rule_file, "--json")
    assert found.returncode == 0, found.stderr
    outcome = json.loads(found.stdout)
    assert (outcome["events"], outcome["last_position"], outcome["not_shown"]) == (5, 4, 0)
    [rule] = outcome["rules"]
    assert (rule["findings"], rule["events"], rule["groups"]) == (
        *(1, 4, [{"group": {"actor.id": "ada"}, "findings": 1}]),
    )
    [finding] = outcome["findings"]
    assert (finding["positions"], finding["final"]) == ([0, 2, 3, 4], True)
    assert trail.rows("SELECT count(*) FROM audit_trail.event") == before


def test_the_same_as_text_with_examples(trail: Trail, rule_file: Path) -> None:
    fail(trail, *["ada"] * 3, *["grace\x1b[31m"] * 3)
    found = detect(trail, "--rule", rule_file, "--max-alerts", "1")
    assert found.returncode == 0, found.stderr
    assert "1 of actor.id ada" in found.stdout
    assert "3 events within 1:00:00, of: rule a" in found.stdout
    assert "and 1 more" in found.stdout
    assert "\x1b[31m" not in found.stdout
    assert "6 of 6 positions" in found.stderr


def test_what_may_still_come_is_not_missing(trail: Trail, tmp_path: Path) -> None:
    logged_out = rule({"s": {"type": "user.logged_out"}, "condition": "s"}, B, name="logged_out")
    awaited = correlation(
        extension={"after": "failures"},
        type="event_count",
        rules=["logged_out"],
        timespan="1h",
        condition={"lt": 1},
    )
    file = tmp_path / "awaited.yaml"
    file.write_text(f"{failures()}\n---\n{logged_out}\n---\n{awaited}", encoding="utf-8")
    fail(trail, "ada")
    found = detect(trail, "--rule", file, "--since", "1h", "--json")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["findings"] == []


def test_only_the_time_that_is_asked_for_is_read(trail: Trail, rule_file: Path) -> None:
    fail(trail, *["ada"] * 3)
    found = json.loads(detect(trail, "--rule", rule_file, "--until", "1d", "--since", "2d", "--json").stdout)
    assert (found["events"], found["findings"]) == (0, [])
    for arguments, message in (
        (("--since", "yesterday"), "--since: give a date"),
        (("--since", "1d", "--until", "2d"), "--until: give a time after --since"),
    ):
        refused = detect(trail, *arguments)
        assert (refused.returncode, message in refused.stderr) == (2, True)


def test_the_position_of_a_time_is_found_by_halving(trail: Trail) -> None:
    fail(trail, *[f"user-{n}" for n in range(20)])
    times = [row[0] for row in trail.rows("SELECT recorded_at FROM audit_trail.event ORDER BY position")]
    database = Database(trail.url, READER, size=1, application_name="test")
    try:
        with database.transaction(read_only=True) as connection:
            for at in set(times):
                assert position_at(connection, at) == times.index(at)
    finally:
        database.close()


def test_a_dry_run_that_cannot_be_recorded_is_not_done(trail: Trail, rule_file: Path) -> None:
    patient = Patient(id="p-1")
    trail.append(
        an_event("record.read", patients=(patient,), resources=(Resource(type="Patient", id="p-1"),))
    )
    refused = detect(trail, "--rule", rule_file, reads="refuse")
    assert refused.returncode not in {0, 1}
    assert "can't be put on record" in refused.stderr
    assert refused.stdout == ""


def _test(*files: Path) -> Any:
    return run("detect", "test", *files)


def test_the_shipped_rules_pass_their_tests() -> None:
    done = _test()
    assert (done.returncode, done.stderr) == (0, "")
    assert "tests of" in done.stdout


def test_a_test_that_fails_says_which_and_why(tmp_path: Path) -> None:
    event = {"type": "user.login_failed"}
    cases = {"fires": [[{"type": "user.logged_in"}]], "silent": [[event, event]]}
    file = tmp_path / "wrong.yaml"
    file.write_text(failures(tests=cases), encoding="utf-8")
    done = _test(file)
    assert done.returncode == 1
    assert f"{file}, line 1: rule a: tests.fires[0]: it must fire, and does not" in done.stdout
    assert "tests.silent[0]: it must be silent, and fires at the events 0: s: type has" in done.stdout
    assert "0 of 2 tests of 1 rules passed" in done.stdout


def test_a_wrong_file_is_named_with_line_and_field(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("title: a\nid: b\nlogsource: {product: audit_trail}\ndetection: {}\n", encoding="utf-8")
    done = _test(file)
    assert done.returncode == 2
    assert f"{file}, line 2: id: write a UUID" in done.stderr
    assert "there is no file" in _test(tmp_path / "other.yaml").stderr


def test_rules_without_tests_are_named(rule_file: Path) -> None:
    done = _test(rule_file)
    assert done.returncode == 0
    assert "it has no test events" in done.stderr


def test_the_shipped_rules_are_copied_and_replace_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    assert run("detect", "pack", folder).returncode == 0
    assert (folder / "mass_access.yaml").exists()
    again = run("detect", "pack", folder)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)


def test_the_rules_that_count_are_listed_with_what_they_raised(trail: Trail) -> None:
    activate(trail, DELETION)
    trail.append(deletion())
    evaluate(trail)
    done = run("detect", "status", settings={"database_url": trail.url})
    assert done.returncode == 0, done.stderr
    row, said = done.stdout.splitlines()[1:]
    assert row.split() == ["A", "record", "was", "deleted", "high", "0", "1"]
    assert said == "1 rules count; 1 alerts are not published yet"


def test_a_fault_in_the_files_of_rules_is_said(trail: Trail) -> None:
    note_fault(trail.projector, "a.yaml, line 2: id: write a UUID")
    done = run("detect", "status", settings={"database_url": trail.url})
    assert done.returncode == 1, done.stderr
    assert "the rules above go on: a.yaml, line 2: id: write a UUID" in done.stdout


def test_rules_without_their_tables_are_named_and_accesses_are_counted(trail: Trail, tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    assert run("detect", "pack", pack).returncode == 0
    trail.append(an_event("record.read", patients=(Patient(id="p-1"),)))
    chosen = ("--rule", pack / "record_of_vip.yaml", "--rule", pack / "explained_by_care_team.yaml")
    found = detect(trail, *chosen, "--json")
    assert found.returncode == 0, found.stderr
    outcome = json.loads(found.stdout)
    assert sorted(each["missing_tables"] for each in outcome["not_evaluable"]) == [
        ["care_teams"],
        ["vips", "the tables of at least one explaining rule"],
    ]
    assert (outcome["accesses"], outcome["findings"]) == ([], [])
    text = detect(trail, *chosen).stdout
    title = "The record of a patient of public interest"
    missing = "vips, the tables of at least one explaining rule"
    assert f"not evaluable    {title}: load {missing}" in text
