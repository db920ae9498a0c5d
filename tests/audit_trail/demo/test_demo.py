"""`audit-trail demo`, as a new user runs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest

from audit_trail.embedded.postgres import EmbeddedPostgres
from tests.audit_trail.programs import PROGRAM, environment, eventually, fetch, run

ONCE = ["demo", "--once", "--events", "300"]


def test_the_demo_prints_numbers_and_three_answers_and_ends_with_zero() -> None:
    ended = run(*ONCE, settings={"http_port": "0"})
    assert ended.returncode == 0, ended.stderr
    for expected in (
        "received", "accepted", "duplicate", "rejected", "position reached", "lag of patient",
        "Who accessed patient", "failed logins", "What changed on device", "/graphql", "/docs",
    ):  # fmt: skip
        assert expected in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


@pytest.mark.thorough  # Ctrl-C here, and killed supervisors in tests/audit_trail/embedded, are in each run
def test_a_killed_demo_leaves_nothing_behind_and_the_next_one_works(tmp_path: Path) -> None:
    port = "18477"
    with (tmp_path / "demo.log").open("w") as log:
        first = subprocess.Popen(
            [*PROGRAM, "demo", "--events", "200"], env=environment(http_port=port), stdout=log, stderr=log
        )
    assert eventually(lambda: "Ctrl-C" in (tmp_path / "demo.log").read_text(), 90)
    family = psutil.Process(first.pid).children(recursive=True)
    assert len(family) > 5
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert eventually(lambda: not any(map(_alive, family)), 60), [each for each in family if _alive(each)]
    ended = run(*ONCE, settings={"http_port": port})
    assert ended.returncode == 0, ended.stderr


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_ctrl_c_stops_everything_that_was_started(tmp_path: Path) -> None:
    with (tmp_path / "demo.log").open("w") as log:
        demo = subprocess.Popen(
            [*PROGRAM, "demo", "--events", "200"], env=environment(http_port="18478"), stdout=log, stderr=log
        )
    assert eventually(lambda: "Ctrl-C" in (tmp_path / "demo.log").read_text(), 90)
    assert fetch("http://127.0.0.1:18478/healthz")[0] == 200
    nobody = [
        fetch(f"http://127.0.0.1:18478{path}", headers={})[0] for path in ("/log/checkpoint", "/v1/events")
    ]
    assert nobody == [401, 401]
    family = psutil.Process(demo.pid).children(recursive=True)
    demo.send_signal(signal.SIGINT)
    assert demo.wait(60) == 0
    time.sleep(0.5)
    assert not any(map(_alive, family))


def test_a_taken_port_is_said_before_anything_starts() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = run(*ONCE, settings={"http_port": str(taken.getsockname()[1])})
    assert ended.returncode == 2
    assert "AUDIT_TRAIL_HTTP_PORT" in ended.stderr


@pytest.mark.thorough
@pytest.mark.parametrize("victim", ["postgres", "ingest", "tansu"])
def test_up_says_what_has_died_and_stops_everything(victim: str, server_folder: Path) -> None:
    log = server_folder / "up.log"
    with log.open("w") as file:
        up = subprocess.Popen(
            [*PROGRAM, "up", "--data", str(server_folder / "data")],
            env=environment(http_port="0"),
            stdout=file,
            stderr=file,
        )
    assert eventually(lambda: "Ctrl-C" in log.read_text(), 90), log.read_text()
    family = psutil.Process(up.pid).children(recursive=True)
    next(each for each in family if _is(each, victim)).kill()
    assert up.wait(90) == 75
    assert {"postgres": "PostgreSQL", "tansu": "broker", "ingest": "ingest"}[victim] in log.read_text()
    assert "Traceback" not in log.read_text()
    assert not any(map(_alive, family))


@pytest.mark.thorough
def test_up_starts_again_in_a_shell_that_was_told_its_settings(server_folder: Path) -> None:
    data = server_folder / "data"
    up_and_down(data, server_folder / "first.log")
    up_and_down(data, server_folder / "second.log", settings_file=str(data / "settings.toml"))


@pytest.mark.thorough
def test_restarts_of_up_record_one_gap_each_because_the_broker_forgets(server_folder: Path) -> None:
    data = server_folder / "data"
    for number in range(3):
        up_and_down(data, server_folder / f"{number}.log", opened=number + 1)
    with EmbeddedPostgres(data / "postgres") as server, closing(psycopg2.connect(server.url)) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM audit_trail.event WHERE type = 'recording.gap'")
            assert cursor.fetchall() == [(2,)]
            cursor.execute("UPDATE audit_trail.projection SET version = 1 WHERE name = 'user'")
        connection.commit()
    # The command that helps needs the running stack.
    log = server_folder / "upgraded.log"
    up_and_down(data, log)
    assert "Not ready   user needs rebuild: its tables are version 1" in log.read_text()


def up_and_down(data: Path, log: Path, opened: int = 0, **settings: str) -> None:
    """`up` until it is ready, and until its ingest has opened so many partitions since the first start."""
    with log.open("w") as file:
        up = subprocess.Popen(
            [*PROGRAM, "up", "--data", str(data)],
            env=environment(http_port="0", **settings),
            stdout=file,
            stderr=file,
        )
    eventually(lambda: "Ctrl-C" in log.read_text() or up.poll() is not None, 90)
    ingest = data / "ingest.log"
    eventually(lambda: ingest.read_text().count("partition_opened") >= opened, 60)
    up.terminate()
    up.wait(60)
    assert "Ctrl-C" in log.read_text(), log.read_text()


def _is(process: psutil.Process, name: str) -> bool:
    command = process.cmdline()
    watched = "watchdog.py" in " ".join(command)
    return not watched and (process.name() == name or command[-1:] == [name])
