"""No lock or name that an analyst can take stands in the way of the built-in projections, or of other analysts."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest

from domain.errors import FencedError, UnavailableError
from event_store.database import PROJECTOR, READER, Connection, Database
from event_store.notification import CHANNEL
from event_store.statement_errors import StatementError
from projections.builds.advisory_lock import advisory_lock
from projections.builds.operations import pause, reset, resume
from projections.builds.switching import drop, switch
from projections.custom.access import begin_custom
from projections.custom.removal import remove
from projections.custom.source_file import load_custom
from projections.errors import CodeError
from projections.registry import built_in
from projections.runner import Runner
from projections.wakeup import WakeUp
from queries.export.pipeline import Exports
from queries.export.request import ExportRequest, Format
from queries.live_tables.pages import RowRequest
from tests.projections.custom.analyst import HEAD, PYTHON, execute, project, write
from tests.trail import Trail, an_event

PATIENT = next(each for each in built_in() if each.name == "patient")


def all_locks(connection: Connection) -> None:
    """Every lock that earlier releases decided by, and a read of each table of the trail."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_lock(key) FROM unnest(ARRAY[1635083369, 7021799, 7021800, 7021801]) AS key"
        )
        for projector in built_in():
            cursor.execute("SELECT pg_advisory_lock(7021800, hashtext(%s))", (projector.name,))
        cursor.execute(
            "SELECT pg_advisory_lock(mark), pg_advisory_lock(hashtext(name)) FROM audit_trail.projection_holder"
        )
        for table in (
            "event",
            "log_state",
            "projection",
            "projection_lock",
            "projection_holder",
            "projection_number",
        ):
            cursor.execute(f"SELECT count(*) FROM audit_trail.{table}")
            cursor.execute(f"LOCK TABLE audit_trail.{table} IN ACCESS SHARE MODE")


def test_builds_are_made_switched_and_dropped_whatever_an_analyst_has_locked(trail: Trail, ada: str) -> None:
    trail.given(an_event(patients=[{"id": "1"}]))
    reset(trail.projector, PATIENT)
    with closing(psycopg2.connect(ada)) as analyst:
        all_locks(analyst)
        pause(trail.projector, "patient")
        resume(trail.projector, "patient")
        assert reset(trail.projector, PATIENT) == 3
        assert switch(trail.projector, "patient", PATIENT, to=2) == (3, 2)
        assert drop(trail.projector, "patient", wait_seconds=0) == [1, 3]
        trail.given(an_event(patients=[{"id": "1"}]))
        assert trail.read.patient("1") is not None


def test_a_holder_that_has_ended_is_no_holder_even_if_an_analyst_takes_its_lock(
    trail: Trail, ada: str
) -> None:
    trail.given(an_event())
    with closing(psycopg2.connect(ada)) as analyst:
        with advisory_lock(trail.projector, ["patient"], "rebuild"), analyst.cursor() as cursor:
            cursor.execute("SELECT mark FROM audit_trail.projection_holder WHERE name = 'patient'")
            [(mark,)] = cursor.fetchall()
            with (
                pytest.raises(FencedError, match=r"locked by another process \(rebuild, process \d+ on "),
                advisory_lock(trail.projector, ["patient"], "verify"),
            ):
                pass
        with analyst.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", (mark,))
        with advisory_lock(trail.projector, ["patient"], "verify"):
            pass


def test_a_second_holder_waits_for_none_who_has_lost_the_connection(trail: Trail) -> None:
    trail.given(an_event())
    with advisory_lock(trail.projector, ["patient"], "rebuild"):
        execute(
            trail.url,
            "SELECT pg_terminate_backend(backend) FROM audit_trail.projection_holder WHERE name = 'patient'",
        )
        with advisory_lock(trail.projector, ["patient"], "switch"):
            pass


def test_an_analyst_who_locks_an_own_projection_delays_nobody_without_end(
    trail: Trail, ada: str, tmp_path: Path
) -> None:
    name = f"locked_{uuid4().hex[:8]}"
    file = write(tmp_path, HEAD + PYTHON, name=name)
    begin_custom(ada, load_custom(file))
    trail.append(an_event())
    project(trail, file)
    with closing(psycopg2.connect(ada)) as analyst, analyst.cursor() as cursor:
        cursor.execute(f"SET ROLE audit_trail_own_{name}")
        cursor.execute("SELECT name FROM audit_trail.projection WHERE name = %s FOR UPDATE", (name,))
        with pytest.raises(UnavailableError, match="another session has a lock on projection"):
            pause(trail.projector, name)
        analyst.rollback()
        cursor.execute(f"SET ROLE audit_trail_own_{name}")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(f"LOCK TABLE {name}_v1.{name} IN ACCESS EXCLUSIVE MODE")
    with closing(psycopg2.connect(trail.url)) as owner, owner.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {name}_v1.{name} IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(UnavailableError, match="another session has locked table"):
            trail.read.table_rows(RowRequest(projection=name, table=name, first=1))
        with (
            pytest.raises(UnavailableError, match="another session holds a lock"),
            Exports(trail.reader).open(ExportRequest(format=Format.CSV, table=name)) as opened,
        ):
            list(opened.batches())
    remove(trail.url, name, by="op", reason="a test", publish=lambda _: None, wait_seconds=5)


@pytest.mark.parametrize("name", ["patient", "user_v3", "activity_b1", "device_v2_b1", "service"])
def test_the_names_of_built_in_projections_are_reserved_before_their_first_build(
    trail: Trail, ada: str, tmp_path: Path, name: str
) -> None:
    with pytest.raises(CodeError, match=r"comes with Audit Trail; choose another name"):
        begin_custom(ada, load_custom(write(tmp_path, HEAD + PYTHON, name=name)))
    execute(trail.url, f"DO $$ BEGIN ASSERT to_regrole('audit_trail_own_{name}') IS NULL; END $$")
    trail.given(an_event())
    assert {each.name for each in trail.read.projections()} == {each.name for each in built_in()}


def test_every_built_in_name_is_reserved_in_the_database(trail: Trail) -> None:
    with trail.projector.transaction() as connection, connection.cursor() as cursor:
        for projector in built_in():
            cursor.execute("SELECT audit_trail.is_reserved_name(%s)", (projector.name,))
            assert cursor.fetchall() == [(True,)], "a migration adds the name of a new projection"


def test_a_table_with_the_name_of_a_built_in_one_blocks_nothing_and_hides_nothing(
    trail: Trail, ada: str, tmp_path: Path
) -> None:
    name = f"squat_{uuid4().hex[:8]}"
    theirs = PATIENT.tables[0].name
    text = HEAD.replace('"{name}_log"', f'"{theirs}"') + PYTHON
    file = write(tmp_path, text, name=name)
    with pytest.raises(CodeError, match=rf"table {theirs} belongs to another projection"):
        begin_custom(ada, load_custom(file))
    # Whoever goes round the program, by the functions of the database, or made it before this release:
    projector = load_custom(write(tmp_path, HEAD + PYTHON, name=name))
    begin_custom(ada, projector)
    project(trail, projector.file)
    execute(trail.url, f"ALTER TABLE {name}_v1.{name}_log RENAME TO {theirs}")
    trail.given(an_event(patients=[{"id": "1"}]))
    assert trail.read.patient("1") is not None
    assert reset(trail.projector, PATIENT) == 2
    with Exports(trail.reader).open(ExportRequest(format=Format.CSV, table=theirs)) as opened:
        assert {"patient_id"} <= {column.name for column in opened.columns}
    remove(trail.url, name, by="op", reason="a test", publish=lambda _: None, wait_seconds=5)


def test_a_session_that_has_read_an_analysts_table_is_as_new(trail: Trail) -> None:
    trail.given(an_event())
    with closing(Database(trail.url, READER, size=1, statement_timeout_ms=5000)) as database:
        with database.foreign_snapshot() as connection, connection.cursor() as cursor:
            before = connection.get_backend_pid()
            for setting in (
                "default_transaction_read_only = off",
                "TIME ZONE 'Asia/Tokyo'",
                "statement_timeout = 0",
            ):
                cursor.execute(f"SET SESSION {setting}")
            cursor.execute("SELECT pg_advisory_lock(1); RESET ROLE")
        with database.transaction(read_only=True) as connection, connection.cursor() as cursor:
            assert connection.get_backend_pid() == before
            cursor.execute(
                "SELECT current_user, current_setting('TimeZone'), current_setting('statement_timeout'),"
                " current_setting('transaction_read_only'), current_setting('transaction_isolation'),"
                " current_setting('enable_seqscan'), count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = %s",
                (before,),
            )
            assert cursor.fetchall() == [(READER, "UTC", "5s", "on", "repeatable read", "off", 0)]


def test_a_session_is_reset_after_an_error_too(trail: Trail) -> None:
    trail.given(an_event())
    with closing(Database(trail.url, PROJECTOR, size=1)) as database:
        with (
            pytest.raises(StatementError),
            database.foreign_snapshot() as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SET SESSION TIME ZONE 'Asia/Tokyo'; COMMIT; SELECT 1 / 0")
        with database.transaction() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('TimeZone'), current_user")
            assert cursor.fetchall() == [("UTC", PROJECTOR)]


def test_a_forged_notification_is_no_more_than_a_look_at_the_log(trail: Trail, ada: str) -> None:
    """Anybody may NOTIFY on any channel. What it says is not read."""
    trail.given(an_event())
    wakeup = WakeUp(trail.projector)
    wakeup.listen()
    with closing(psycopg2.connect(ada)) as analyst, analyst.cursor() as cursor:
        for payload in ("999999", "-1", "x", "'; DROP SCHEMA audit_trail", ""):
            cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))
        analyst.commit()
    wakeup.wait(10)
    wakeup.close()
    Runner(trail.projector, built_in()).catch_up()
    assert trail.read.as_of_position() == 0
    assert trail.given(an_event()) == [1]
    assert trail.read.as_of_position() == 1
