"""`audit-trail projections` as an operator runs it."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from audit_trail.embedded.broker import Broker
from tests.audit_trail.programs import PROGRAM, environment, run
from tests.projections.rebuild.rebuilds import some_events
from tests.trail import Trail, an_event

Settings = dict[str, str]


@pytest.fixture
def trail(projected_url: str) -> Iterator[Trail]:
    trail = Trail(projected_url)
    yield trail
    trail.close()


@pytest.fixture
def settings(projected_url: str, broker: Broker, topic: str) -> Settings:
    return {
        "database_url": projected_url,
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "kafka_topics": topic,
    }


def said(settings: Settings, *arguments: str, code: int = 0) -> str:
    ended = run("projections", *arguments, settings=settings)
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout + ended.stderr


def test_rebuild_list_verify_switch_and_drop_lead_through_a_rebuild(trail: Trail, settings: Settings) -> None:
    trail.given(*some_events(50))
    rebuilt = said(settings, "rebuild", "user", "patient")
    assert "user: build 2 is live at position 49" in rebuilt
    assert rebuilt.count("build 2 is live") == 2  # one line each
    assert "loading: 50 of 50 events" in rebuilt
    lines = [line.split() for line in said(settings, "list").splitlines()]
    assert ["user", "3", "2", "live", "49", "0", "running"] in lines
    assert "is what the log says, up to position 49" in said(settings, "verify", "user")
    assert "build 1 is live, build 2 was" in said(settings, "switch", "user")
    assert "build 2 is dropped" in said(settings, "drop", "user")
    assert "no other finished build" in said(settings, "switch", "user", code=2)
    assert "there is no projection 'nobody'" in said(settings, "rebuild", "nobody", code=2)
    assert "--all" in said(settings, "rebuild", code=2)
    assert "both user and --all were given" in said(settings, "rebuild", "--all", "user", code=2)
    assert "all when there is none" not in said(settings, "rebuild", "--help")


def test_verify_says_which_table_is_wrong_and_fails(trail: Trail, settings: Settings) -> None:
    trail.given(*some_events(50))
    admin = psycopg2.connect(trail.url)
    with admin, admin.cursor() as cursor:
        cursor.execute("DELETE FROM patient_v4.patient_timeline WHERE position = 7")
    admin.close()
    assert "differs from the log at position 49 in patient_timeline" in said(
        settings, "verify", "patient", code=1
    )


def test_pause_resume_reset_and_retry_say_what_they_did(trail: Trail, settings: Settings) -> None:
    trail.given(*some_events(5))
    assert "is paused" in said(settings, "pause", "user")
    assert "paused" in said(settings, "status", "user")
    assert "goes on" in said(settings, "resume", "user")
    assert "--yes" in said(settings, "reset", "user", code=2)
    assert "build 2" in said(settings, "reset", "user", "--yes")
    assert "no event stops user" in said(settings, "retry", "user")
    assert "not stopped" in said(
        settings, "skip", "user", "--position", "1", "--by", "ada", "--reason", "x", code=2
    )
    assert "no build of projection nobody" in said(settings, "pause", "nobody", code=2)


def test_tables_of_another_version_need_a_rebuild_and_the_commands_say_so(
    trail: Trail, settings: Settings
) -> None:
    trail.given(*some_events(5))
    with closing(psycopg2.connect(trail.url)) as admin, admin, admin.cursor() as cursor:
        cursor.execute("UPDATE audit_trail.projection SET version = 1 WHERE name = 'user'")
    says = (
        "projection user needs rebuild: its tables are version 1, this program has 3;"
        " run `audit-trail projections rebuild user`"
    )
    listed = said(settings, "list")
    assert says in listed
    lines = [line.split() for line in listed.splitlines()]
    assert ["user", "1", "1", "live", "4", "0", "needs", "rebuild"] in lines
    assert ["patient", "4", "1", "live", "4", "0", "running"] in lines
    migrated = run("migrate", settings=settings)
    assert migrated.stdout.splitlines() == ["the database is up to date", says]
    said(settings, "rebuild", "user")
    assert "needs rebuild" not in said(settings, "list")
    assert run("migrate", settings=settings).stdout == "the database is up to date\n"


def test_a_projection_that_nothing_runs_is_catching_up_and_then_stalled(
    trail: Trail, settings: Settings
) -> None:
    trail.given(*some_events(5))
    trail.append(an_event())
    assert "running" in said(settings, "list")
    for seconds, state in ((30, "catching up"), (90, "stalled")):
        with closing(psycopg2.connect(trail.url)) as admin, admin, admin.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")
            cursor.execute(
                "UPDATE audit_trail.event SET recorded_at = clock_timestamp() - make_interval(secs => %s)",
                (seconds,),
            )
            cursor.execute(
                "UPDATE audit_trail.projection SET updated_at = clock_timestamp() - make_interval(secs => %s)",
                (seconds,),
            )
        assert said(settings, "list").count(state) == 5


def test_a_rebuild_that_cannot_be_attested_is_not_live(trail: Trail, settings: Settings) -> None:
    trail.given(*some_events(5))
    away = settings | {"kafka_bootstrap_servers": "127.0.0.1:1", "publish_timeout_seconds": "1"}
    assert "`audit-trail projections rebuild user` goes on" in said(away, "rebuild", "user", code=75)
    assert "user" in said(settings, "rebuild", "user")
    assert [
        row[0] for row in trail.rows("SELECT build FROM audit_trail.projection WHERE name = 'user' AND live")
    ] == [2]


def test_ctrl_c_ends_a_rebuild_that_says_how_to_go_on(
    trail: Trail, settings: Settings, tmp_path: Path
) -> None:
    trail.given(*some_events(20))
    admin = psycopg2.connect(trail.url)
    with admin.cursor() as cursor:
        # The plan waits for this, as it would for a busy disk.
        cursor.execute("LOCK TABLE audit_trail.projection_range")
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*PROGRAM, "projections", "rebuild", "user"],
            env=environment(**settings),
            stdout=file,
            stderr=file,
        )
        until = time.monotonic() + 20
        while not trail.rows("SELECT 1 FROM audit_trail.projection WHERE state = 'loading'"):
            assert time.monotonic() < until
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        admin.rollback()
        assert process.wait(30) == 130
    admin.close()
    assert "`audit-trail projections rebuild user` goes on" in log.read_text()
    assert "build 2 is live" in said(settings, "rebuild", "user")
