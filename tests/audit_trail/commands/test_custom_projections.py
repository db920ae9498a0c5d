"""A projection of one's own as an analyst has it: new, pytest, run, queries, rebuild, and its faults."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from audit_trail.embedded.broker import Broker
from audit_trail.embedded.process import WatchedProcess
from tests.audit_trail.programs import PROGRAM, environment, eventually, fetch, run, running
from tests.trail import Trail, an_event

CHECKED = 'if each.event.type == "record.read" and each.event.actor.id is not None'


@pytest.fixture
def trail(projected_url: str) -> Iterator[Trail]:
    trail = Trail(projected_url)
    yield trail
    trail.close()


@contextmanager
def keeping(folder: Path, file: Path, settings: dict[str, str]) -> Iterator[WatchedProcess]:
    """`projections run FILE`, until the end."""
    process = WatchedProcess(
        [*PROGRAM, "projections", "run", str(file)],
        name="own",
        log=folder / "own.log",
        environment=environment(**settings),
    )
    process.start()
    try:
        yield process
    finally:
        process.stop()


@pytest.mark.thorough  # docs/how-to/custom-projection.md leads through the same in each run
@pytest.mark.parametrize("sql", [pytest.param(False, id="python"), pytest.param(True, id="sql")])
def test_from_nothing_to_a_rebuilt_projection(
    trail: Trail, broker: Broker, topic: str, tmp_path: Path, server_folder: Path, sql: bool
) -> None:
    settings = {
        "database_url": trail.url,
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "kafka_topics": topic,
        "http_port": "0",
    }
    made = run("projections", "new", "night_reads", "--folder", tmp_path, *(["--sql"] if sql else []))
    assert made.returncode == 0, made.stderr
    again = run("projections", "new", "night_reads", "--folder", tmp_path)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)

    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "2 passed" in tested.stdout

    file = tmp_path / "night_reads.py"
    trail.append(*(an_event(actor={"id": name}) for name in ("ada", "ben", "ada")))
    port = free_port()
    with (
        keeping(server_folder, file, settings),
        running(server_folder, "serve", settings=settings | {"http_port": str(port)}),
    ):
        api = f"http://127.0.0.1:{port}"
        rows = f"{api}/v1/projections/night_reads/night_reads"
        assert eventually(lambda: position(api) == 2), (server_folder / "own.log").read_text()
        status, answer = fetch(f"{rows}?actor_id=ada")
        assert (status, answer["rows"][0]["events"], answer["as_of_position"]) == (200, 2, 2)
        trail.append(an_event(actor={"id": "ben"}))
        status, answer = fetch(f"{rows}?actor_id=ben&wait_for_position=3&wait_seconds=10")
        assert (status, answer["rows"][0]["events"]) == (200, 2)
        _, answer = fetch(
            f"{api}/graphql", {"query": '{ projection(name: "night_reads") { rows(first: 9) { nodes } } }'}
        )
        assert [row["actor_id"] for row in answer["data"]["projection"]["rows"]["nodes"]] == ["ada", "ben"]

        # Another version: the running one goes on until the rebuild, and the new one then.
        text = file.read_text()
        file.write_text(text.replace("version = 1", "version = 2").replace("record.read", "record.deleted"))
        told = run("projections", "status", file, settings=settings).stdout
        assert f"projections rebuild {file}" in told
        rebuilt = run("projections", "rebuild", file, settings=settings)
        assert rebuilt.returncode == 0, rebuilt.stderr
        assert "night_reads: build 2 is live at position 3" in rebuilt.stdout
        assert fetch(rows)[1]["rows"] == []
        verified = run("projections", "verify", file, settings=settings)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        file.write_text(text)
        back = run("projections", "switch", file, settings=settings)
        assert back.returncode == 0, back.stderr
        assert len(fetch(rows)[1]["rows"]) == 2
        dropped = run("projections", "drop", file, settings=settings)
        assert "build 2 is dropped" in dropped.stdout
        listed = run("projections", "list", settings=settings).stdout
        assert "night_reads" in listed


def position(api: str) -> int | None:
    status, answer = fetch(f"{api}/v1/projections/night_reads")
    return answer["as_of_position"] if status == 200 else None


def free_port() -> int:
    import socket  # noqa: PLC0415

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("version = 1", "version = 1 +", "night_reads.py:6: invalid syntax"),
        ("import MAX", "import MOST, MAX", "night_reads.py:3: ImportError: cannot import name 'MOST'"),
        (
            'name = "night_reads"',
            'name = "user"',
            "night_reads.py:5: the projection user comes with Audit Trail",
        ),
        ('name = "night_reads"', "", "night_reads.py:1: the file declares no `name`"),
        ('Column("events", Kind.BIGINT, SUM)', 'Column("events", Kind.TEXT, SUM)', "night_reads.py:"),
    ],
)
def test_a_broken_file_is_one_line_and_exit_code_2(
    migrated_url: str, tmp_path: Path, old: str, new: str, error: str
) -> None:
    run("projections", "new", "night_reads", "--folder", tmp_path)
    file = tmp_path / "night_reads.py"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    for command in ("run", "rebuild"):
        done = run("projections", command, file, settings={"database_url": migrated_url})
        assert (done.returncode, done.stdout) == (2, "")
        assert error in done.stderr
        assert "Traceback" not in done.stderr


def test_a_poison_event_is_shown_with_its_line_and_skipped_by_an_operator(
    trail: Trail, broker: Broker, topic: str, tmp_path: Path, server_folder: Path
) -> None:
    settings = {
        "database_url": trail.url,
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "kafka_topics": topic,
    }
    run("projections", "new", "night_reads", "--folder", tmp_path)
    file = tmp_path / "night_reads.py"
    poison = f'{CHECKED} and 1 / (each.event.session != "poison")'
    file.write_text(file.read_text().replace(CHECKED, poison))
    events = [an_event(), an_event(session="poison"), an_event()]
    trail.append(*events)
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "1 / (" in text)
    with keeping(server_folder, file, settings):
        status = eventually(lambda: shown(file, settings, "stopped at"))
        stopped = (
            f"stopped at position 1, event {events[1].event_id}: ZeroDivisionError at night_reads.py:{line}"
        )
        assert stopped in status
        why = ("--by", "ada", "--reason", "a test")
        decided = run("projections", "skip", "night_reads", "--position", "1", *why, settings=settings)
        assert decided.returncode == 0, decided.stderr
        assert eventually(lambda: own_position(trail, "night_reads") == (2, None))
    assert trail.rows("SELECT events::int FROM night_reads_v1.night_reads") == [(2,)]


def shown(file: Path, settings: dict[str, str], word: str) -> str:
    text = run("projections", "status", file, settings=settings).stdout
    return text if word in text else ""


def test_a_process_with_the_documented_login_can_not_harm(
    trail: Trail, tmp_path: Path, server_folder: Path
) -> None:
    """The Python of a file has the login of its process: here it tries, and the database refuses."""
    trail.given(an_event())
    with psycopg2.connect(trail.url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE ROLE own_login LOGIN PASSWORD 'p' IN ROLE audit_trail_analyst")
    connection.close()
    url = psycopg2.extensions.make_dsn(trail.url, user="own_login", password="p")
    file = tmp_path / "thief.py"
    run("projections", "new", "thief", "--folder", tmp_path)
    file.write_text(
        file.read_text().replace(
            "    return {",
            """    import os, psycopg2
    for statement in (
        "DELETE FROM audit_trail.event",
        "DELETE FROM user_v3.user_action",
        "SET ROLE audit_trail_projector",
        "SET ROLE audit_trail_ingest",
        "UPDATE audit_trail.projection SET paused = true WHERE name = 'user' RETURNING 1",
        "SELECT * FROM audit_trail.dead_letter",
    ):
        connection = psycopg2.connect(os.environ["AUDIT_TRAIL_DATABASE_URL"])
        cursor = connection.cursor()
        try:
            cursor.execute(statement)
            if cursor.rowcount == 0:
                continue
        except psycopg2.Error:
            continue
        finally:
            connection.rollback()
            connection.close()
        raise PermissionError(statement)
    return {""",
        )
    )
    settings: dict[str, str] = {"database_url": url}
    try:
        with keeping(server_folder, file, settings):
            status: Any = eventually(lambda: own_position(trail, "thief"))
            assert status == (0, None), (server_folder / "own.log").read_text()
            told = run("projections", "status", file, settings=settings)
            assert "position 0, 0 events behind the log" in told.stdout, told.stderr
    finally:
        with psycopg2.connect(trail.url) as connection, connection.cursor() as cursor:
            cursor.execute("DROP OWNED BY audit_trail_own_thief CASCADE; DROP ROLE audit_trail_own_thief")
            cursor.execute("DROP ROLE own_login")
        connection.close()


def own_position(trail: Trail, name: str) -> tuple[int, str | None] | None:
    for each in trail.read.projections():
        if each.name == name and (each.position >= 0 or each.error):
            return each.position, each.error
    return None
