"""`projections run` of a file that loops for ever, or that was changed: how it ends, and what it says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from audit_trail.embedded.broker import Broker
from tests.audit_trail.programs import PROGRAM, environment, eventually, run
from tests.projections.building import Trail, an_event
from tests.projections.owning import HEAD, PYTHON, project, rebuild_own, write
from tests.projections.test_own_hostile import execute

ENDLESS = """
def rows(events):
    while True:
        pass
"""
NEVER_STOPS = """
import threading
from audit_trail.commands.long_running import on_stop_within
on_stop_within(1.0, lambda: None)
print("ready", flush=True)
threading.Event().wait()
"""


@pytest.fixture
def trail(migrated_url: str) -> Iterator[Trail]:
    trail = Trail(migrated_url)
    trail.append(an_event())
    yield trail
    trail.close()


def started(*arguments: str | Path, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        list(map(str, arguments)),
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def lag(trail: Trail) -> int:
    return next(each.lag for each in trail.read.projections() if each.name == "mine")


def busy_seconds(process: subprocess.Popen[str]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def computes(process: subprocess.Popen[str], seconds: float) -> bool:
    """Whether the process has computed without a break for this long."""
    before = busy_seconds(process)
    time.sleep(seconds)
    return busy_seconds(process) - before > seconds * 0.3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_file_that_loops_for_ever(
    trail: Trail, tmp_path: Path, number: signal.Signals
) -> None:
    file = write(tmp_path, HEAD + ENDLESS)
    with started(*PROGRAM, "projections", "run", file, database_url=trail.url) as process:
        try:
            eventually(lambda: any(each.name == "mine" for each in trail.read.projections()))
            eventually(lambda: computes(process, 0.5))
            process.send_signal(number)
            time.sleep(0.5)
            assert process.poll() is None, "the first one waits for the batch in hand"
            process.send_signal(number)
            said, _ = process.communicate(timeout=5)
        finally:
            process.kill()
    assert process.returncode == 128 + number
    assert "told twice" in said


def test_the_first_signal_ends_it_when_its_time_is_up() -> None:
    with started(sys.executable, "-c", NEVER_STOPS) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.terminate()
            process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGTERM


def test_a_changed_file_is_refused_until_its_version_or_its_author_says_otherwise(
    trail: Trail, tmp_path: Path
) -> None:
    file = write(tmp_path, HEAD + PYTHON)
    project(trail, file)
    write(tmp_path, HEAD + PYTHON.replace("event.actor.id, 1,", "event.actor.id, 2,"))
    refused = run("projections", "run", file, settings={"database_url": trail.url})
    assert refused.returncode == 2
    assert f"{file.name}:5: the file has changed since build 1 was begun" in refused.stderr
    assert f"`audit-trail projections rebuild {file}`" in refused.stderr
    status = run("projections", "status", file, settings={"database_url": trail.url})
    assert f"run `audit-trail projections rebuild {file}`" in status.stdout

    for arguments in (["--same-rows"], []):  # the author's word is kept
        with started(*PROGRAM, "projections", "run", file, *arguments, database_url=trail.url) as process:
            try:
                trail.append(an_event())
                eventually(lambda: lag(trail) == 0)
                process.terminate()
                process.communicate(timeout=10)
            finally:
                process.kill()
        assert process.returncode == 0


def test_a_raised_version_is_told_what_to_do_and_with_which_file(trail: Trail, tmp_path: Path) -> None:
    file = write(tmp_path, HEAD + PYTHON, version=2)
    project(trail, file)
    rebuild_own(trail, write(tmp_path, HEAD + PYTHON, version=3))
    status = run(
        "projections",
        "status",
        write(tmp_path, HEAD + PYTHON, version=2),
        settings={"database_url": trail.url},
    )
    assert f"`audit-trail projections switch {file}` to go back" in status.stdout


def test_a_login_is_told_what_is_not_its_own(trail: Trail) -> None:
    execute(trail.url, "CREATE ROLE only_ada LOGIN PASSWORD 'p' IN ROLE audit_trail_analyst")
    try:
        settings = {"database_url": psycopg2.extensions.make_dsn(trail.url, user="only_ada", password="p")}
        paused = run("projections", "pause", "user", settings=settings)
        assert paused.returncode == 2
        assert "user is not yours: this login may not do that to it" in paused.stderr
        assert "migrate" not in paused.stderr
    finally:
        execute(trail.url, "DROP ROLE only_ada")


def test_remove_wants_a_yes_and_an_own_projection(trail: Trail, tmp_path: Path) -> None:
    file = write(tmp_path, HEAD + PYTHON)
    project(trail, file)
    why = ("--by", "ada", "--reason", "a test")
    asked = run("projections", "remove", file, *why, settings={"database_url": trail.url})
    assert (asked.returncode, "say --yes" in asked.stderr) == (2, True)
    refused = run("projections", "remove", "user", *why, "--yes", settings={"database_url": trail.url})
    assert (refused.returncode, "comes with Audit Trail" in refused.stderr) == (2, True)


def test_remove_by_file_and_by_name_is_told_to_the_trail(
    trail: Trail, broker: Broker, topic: str, tmp_path: Path
) -> None:
    settings = {
        "database_url": trail.url,
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "kafka_topics": topic,
    }
    file = write(tmp_path, HEAD + PYTHON)
    for argument in (file, "mine"):
        project(trail, file)
        done = run(
            "projections", "remove", argument, "--by", "ada", "--reason", "x", "--yes", settings=settings
        )
        assert (done.returncode, done.stdout) == (0, "mine is removed\n"), done.stderr
    assert "mine" not in {each.name for each in trail.read.projections()}
