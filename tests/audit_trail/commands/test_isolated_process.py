"""`projections run` of a file that ends its process, loops for ever or was changed: how it ends, and what it says."""

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

from audit_trail.embedded.broker import Broker, free_ports
from projections.custom.removal import remove
from tests.audit_trail.programs import PROGRAM, environment, eventually, run
from tests.projections.custom.analyst import HEAD, PYTHON, execute, project, rebuild_custom, write
from tests.trail import Trail, an_event

ENDLESS = """
def rows(events):
    while True:
        pass
"""
NEVER_STOPS = """
import threading
from audit_trail.runtime.signals import on_stop_within
on_stop_within(1.0, lambda: None)
print("ready", flush=True)
threading.Event().wait()
"""


@pytest.fixture
def trail(projected_url: str) -> Iterator[Trail]:
    trail = Trail(projected_url)
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


def child_of(pid: int) -> int:
    """The process that runs the file."""
    [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return int(child)


def busy_seconds(process: subprocess.Popen[str]) -> float:
    fields = (
        Path(f"/proc/{child_of(process.pid)}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    )
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def computes(process: subprocess.Popen[str], seconds: float) -> bool:
    """Whether the process has computed without a break for this long."""
    before = busy_seconds(process)
    time.sleep(seconds)
    return busy_seconds(process) - before > seconds * 0.3


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.thorough)])
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


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("os._exit(0)", "has ended its process with exit code 0"),
        ("os._exit(7)", "has ended its process with exit code 7"),
        ("ctypes.string_at(0)", "has ended its process by signal SIGSEGV"),
    ],
)
@pytest.mark.parametrize("command", ["run", "rebuild"])
def test_code_that_ends_its_process_is_told_and_named(
    trail: Trail, tmp_path: Path, code: str, said: str, command: str
) -> None:
    file = write(tmp_path, f"import ctypes, os\n{HEAD}\ndef rows(events):\n    {code}\n")
    ended = run("projections", command, file, settings={"database_url": trail.url})
    assert ended.returncode == 2
    assert f"audit-trail: {file}: the code of this file" in ended.stderr
    assert said in ended.stderr


@pytest.mark.parametrize("command", ["run", "status", "pause", "verify"])
def test_a_file_that_ends_its_process_as_it_is_read_is_told_by_every_command(
    trail: Trail, tmp_path: Path, command: str
) -> None:
    file = write(tmp_path, f"import os\nos._exit(0)\n{HEAD}{PYTHON}")
    ended = run("projections", command, file, settings={"database_url": trail.url})
    assert ended.returncode == 2
    assert f"{file}: the code of this file" in ended.stderr


def test_a_crash_in_a_library_names_the_line(trail: Trail, tmp_path: Path) -> None:
    file = write(tmp_path, f"import ctypes\n{HEAD}\ndef rows(events):\n    ctypes.string_at(0)\n")
    line = file.read_text(encoding="utf-8").splitlines().index("    ctypes.string_at(0)") + 1
    ended = run("projections", "run", file, settings={"database_url": trail.url})
    assert f'File "{file}", line {line} in rows' in ended.stderr


@pytest.mark.parametrize("which", ["parent", "child"])
def test_neither_of_its_two_processes_outlives_the_other(trail: Trail, tmp_path: Path, which: str) -> None:
    # A search that holds Python's lock for ever: no Python code of the process can run any more.
    file = write(tmp_path, HEAD + "\nimport re\ndef rows(events):\n    re.match('(a+)+b', 'a' * 60)\n")
    with started(*PROGRAM, "projections", "run", file, database_url=trail.url) as process:
        try:
            eventually(lambda: any(each.name == "mine" for each in trail.read.projections()))
            eventually(lambda: computes(process, 0.5))
            child = child_of(process.pid)
            os.kill(process.pid if which == "parent" else child, signal.SIGKILL)
            said, _ = process.communicate(timeout=10)
        finally:
            process.kill()
    assert eventually(lambda: not alive(child), 10)
    if which == "child":
        assert process.returncode == 75
        assert "was killed, by somebody or because memory was short" in said


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except FileNotFoundError:
        return False


@pytest.mark.thorough
def test_a_second_signal_ends_a_search_that_holds_pythons_lock_for_ever(trail: Trail, tmp_path: Path) -> None:
    file = write(tmp_path, HEAD + "\nimport re\ndef rows(events):\n    re.match('(a+)+b', 'a' * 60)\n")
    with started(*PROGRAM, "projections", "run", file, database_url=trail.url) as process:
        try:
            eventually(lambda: any(each.name == "mine" for each in trail.read.projections()))
            eventually(lambda: computes(process, 0.5))
            process.terminate()
            time.sleep(0.2)
            process.terminate()
            process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode == 128 + signal.SIGKILL


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
    for command in ("run", "rebuild"):
        refused = run("projections", command, file, settings={"database_url": trail.url})
        assert refused.returncode == 2
        assert f"{file.name}:5: the file has changed since build 1 was begun" in refused.stderr
        assert f"`audit-trail projections rebuild {file}`" in refused.stderr
    assert trail.rows("SELECT build FROM audit_trail.projection WHERE name = 'mine'") == [(1,)]
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
    rebuild_custom(trail, write(tmp_path, HEAD + PYTHON, version=3))
    status = run(
        "projections",
        "status",
        write(tmp_path, HEAD + PYTHON, version=2),
        settings={"database_url": trail.url},
    )
    assert f"`audit-trail projections switch {file}` to go back" in status.stdout


def test_health_checks_a_custom_projection_with_its_analysts_login(trail: Trail, tmp_path: Path) -> None:
    execute(trail.url, "CREATE ROLE health_ada LOGIN PASSWORD 'p' IN ROLE audit_trail_analyst")
    file = write(tmp_path, HEAD + PYTHON, name="health_of_mine")
    settings = {
        "database_url": psycopg2.extensions.make_dsn(trail.url, user="health_ada", password="p"),
        "metrics_port": str(free_ports(1)[0]),
    }
    try:
        with started(*PROGRAM, "projections", "run", file, **settings) as process:
            try:
                assert eventually(lambda: run("health", "custom", settings=settings).stdout == "ok\n", 60)
            finally:
                process.terminate()
                process.communicate(timeout=30)
        stopped = run("health", "custom", settings=settings)
        assert (stopped.returncode, "does not answer" in stopped.stderr) == (75, True)
        refused = run("health", "project", settings=settings)
        assert (refused.returncode, "needs the role audit_trail_projector" in refused.stderr) == (2, True)
    finally:
        remove(trail.url, "health_of_mine", by="op", reason="a test", publish=lambda _: None, wait_seconds=5)
        execute(trail.url, "DROP OWNED BY health_ada; DROP ROLE health_ada")


def test_a_login_is_told_what_is_not_its_own(trail: Trail) -> None:
    execute(trail.url, "CREATE ROLE only_ada LOGIN PASSWORD 'p' IN ROLE audit_trail_analyst")
    try:
        settings = {"database_url": psycopg2.extensions.make_dsn(trail.url, user="only_ada", password="p")}
        paused = run("projections", "pause", "user", settings=settings)
        assert paused.returncode == 2
        assert "user is not yours: this login may not do that to it" in paused.stderr
        assert "one with the role audit_trail_projector may" in paused.stderr
        assert "migrate" not in paused.stderr
        listed = run("projections", "list", settings=settings)
        assert listed.returncode == 2
        assert "needs the role audit_trail_reader, and the login only_ada does not have it" in listed.stderr
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
