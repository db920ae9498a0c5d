"""A projection that an analyst owns is run and rebuilt from its file, in Python or in SQL, with the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

import pytest

from domain.errors import ConfigurationError, FencedError
from event_store.database import Connection, Database
from event_store.event_reader import read_events
from projections.builds.advisory_lock import advisory_lock
from projections.builds.operations import reset, skip
from projections.builds.status import describe
from projections.custom.access import begin_custom
from projections.custom.source_file import load_custom
from projections.errors import CodeError
from projections.projector_state import Track
from projections.registry import list_builds, register
from projections.runner import Runner
from tests.projections.custom.analyst import (
    HEAD,
    PYTHON,
    SQL,
    bound,
    custom_database,
    project,
    rebuild_custom,
    write,
)
from tests.trail import START, Trail, an_event
from tests.waiting import eventually

MINE = "SELECT actor_id, events, last_at, patients FROM {schema}.mine ORDER BY actor_id"
LOG = "SELECT position, type, place FROM {schema}.mine_log ORDER BY position"
BOTH = pytest.mark.parametrize("code", [PYTHON, SQL], ids=["python", "sql"])


def morning(trail: Trail) -> None:
    trail.append(
        an_event(actor={"id": "ada"}, patients=[{"id": "p2"}, {"id": "p1"}]),
        an_event(actor={"id": "ben"}, minute=1),
        an_event(
            "record.updated",
            actor={"id": "ada"},
            patients=[{"id": "p3"}],
            minute=2,
            resources=[{"type": "O", "id": "1"}],
        ),
        an_event("service.started", actor={"kind": "service"}, minute=3),
    )


@BOTH
def test_rows_of_a_file_are_merged_and_appended_as_declared(trail: Trail, tmp_path: Path, code: str) -> None:
    file = write(tmp_path, HEAD + code)
    morning(trail)
    project(trail, file)
    morning(trail)
    project(trail, file)
    at = START.replace(minute=2)
    assert trail.rows(MINE.format(schema="mine_v1")) == [
        ("ada", 4, at, ["p1", "p2", "p3"]),
        ("ben", 2, START.replace(minute=1), []),
    ]
    log = trail.rows(LOG.format(schema="mine_v1"))
    assert [row[0] for row in log] == list(range(8))
    assert log[3] == (3, "service.started", {"service": "patient-service"})


@BOTH
@pytest.mark.parametrize("in_process", [0, 20_000], ids=["workers", "here"])
def test_a_rebuilt_projection_has_the_rows_of_the_live_one(
    trail: Trail, tmp_path: Path, code: str, in_process: int
) -> None:
    file = write(tmp_path, HEAD + code)
    for number in range(40):
        morning(trail)
        if number == 20:
            project(trail, file)
    project(trail, file)
    write(tmp_path, HEAD + code, version=2)
    assert "needs rebuild" in "\n".join(describe(trail.reader, {"mine": bound(trail, file)}, ["mine"]))
    outcome = rebuild_custom(trail, file, in_process=in_process)
    assert (outcome.build, outcome.position, outcome.failure) == (2, 159, "")
    for query in (MINE, LOG):
        assert trail.rows(query.format(schema="mine_v1")) == trail.rows(query.format(schema="mine_v2_b2"))
    morning(trail)
    project(trail, file)
    assert trail.rows("SELECT sum(events)::int FROM mine_v2_b2.mine") == [(123,)]
    with trail.reader.transaction(read_only=True) as connection:
        builds = [
            (each.version, each.live, each.custom) for each in list_builds(connection) if each.name == "mine"
        ]
    assert builds == [(1, False, True), (2, True, True)]


def test_a_poison_event_stops_the_projection_at_the_line_and_no_other(trail: Trail, tmp_path: Path) -> None:
    file = write(tmp_path, HEAD + PYTHON)
    trail.append(an_event(), an_event(actor={"id": "poison"}), an_event())
    project(trail, file)
    trail.project()
    status = {each.name: each for each in trail.read.projections()}
    line = file.read_text().splitlines().index("            raise KeyError(event.actor.id)") + 1
    assert (status["mine"].position, status["mine"].failed_position) == (0, 1)
    assert status["mine"].error == f"KeyError at mine.py:{line}"
    assert status["user"].position == 2
    assert trail.read.as_of_position() == 2


def test_sql_that_fails_on_one_event_stops_there_and_says_no_value(trail: Trail, tmp_path: Path) -> None:
    code = SQL.replace(
        "SELECT position, type",
        "SELECT position + 0 * coalesce((event->'attributes'->>'amount')::int, 0) AS position,\n type",
    )
    file = write(tmp_path, HEAD + code)
    trail.append(an_event(), an_event(attributes={"amount": "secret"}), an_event())
    project(trail, file)
    mine = next(each for each in trail.read.projections() if each.name == "mine")
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if '_log": """' in text)
    assert (mine.position, mine.failed_position) == (0, 1)
    assert mine.error == f"table mine_log: InvalidTextRepresentation (mine.py:{line})"


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (
            "mine.append((event.actor.id, 1,",
            "mine.append((event.actor.id, True,",
            "column events takes an int, and got bool",
        ),
        (
            "event.occurred_at, patients",
            "'2026', patients",
            "column last_at takes a datetime with its offset, and got str",
        ),
        ("event.occurred_at, patients", "event.occurred_at, None", "column patients has no value"),
        ("event.occurred_at, patients", "patients", "a row has 3 values for 4 columns"),
        (
            '"type": event.type',
            '"typ": event.type',
            "a row has a column 'typ', which the table does not declare",
        ),
        ('"{name}_log": log', '"other": log', "has rows of 'other', which is no table"),
        ("return {{", "return [] and {{", "returns a mapping from table to rows, not list"),
        ('"{name}": mine', '"{name}": 7', "its rows are a list, not int"),
        ('"type": event.type', '"type": "a" + chr(0)', "column type takes text without U+0000"),
        ("event.actor.id, 1,", "event.actor.id, 1 << 63,", "column events takes within bigint"),
    ],
)
def test_rows_that_do_not_fit_stop_the_projection_and_say_why(
    trail: Trail, tmp_path: Path, old: str, new: str, error: str
) -> None:
    assert old in PYTHON
    file = write(tmp_path, HEAD + PYTHON.replace(old, new))
    trail.append(an_event())
    project(trail, file)
    mine = next(each for each in trail.read.projections() if each.name == "mine")
    assert mine.failed_position == 0
    assert error in str(mine.error)
    assert "(mine.py:" in str(mine.error)


def test_names_of_built_in_projections_and_tables_are_refused(trail: Trail, tmp_path: Path) -> None:
    trail.project()
    with pytest.raises(CodeError, match=r"user.py:4: the projection user comes with Audit Trail"):
        project(trail, write(tmp_path, HEAD.replace('Table("{name}"', 'Table("users"') + PYTHON, name="user"))
    with pytest.raises(ConfigurationError, match="table patient_access belongs to another projection"):
        project(trail, write(tmp_path, HEAD.replace('Table("{name}"', 'Table("patient_access"') + PYTHON))


def test_the_tables_of_another_own_projection_are_refused(trail: Trail, tmp_path: Path) -> None:
    project(trail, write(tmp_path, HEAD + PYTHON))
    other = write(tmp_path, HEAD.replace('Table("{name}"', 'Table("mine"') + PYTHON, name="other")
    with pytest.raises(ConfigurationError, match="table mine belongs to another projection"):
        project(trail, other)


def test_code_that_can_not_take_an_empty_batch_is_never_given_one(trail: Trail, tmp_path: Path) -> None:
    code = PYTHON.replace("def rows(events):", "def rows(events):\n    first = events[0].position")
    file = write(tmp_path, HEAD + code)
    trail.append(an_event(actor={"id": "poison"}))
    project(trail, file)
    skip(trail.projector, "mine", 0, by="ada", reason="a test", publish=lambda _: None)
    project(trail, file)
    reset(custom_database(trail), bound(trail, file))
    project(trail, file)
    mine = next(each for each in trail.read.projections() if each.name == "mine" and each.live)
    assert (mine.position, mine.error) == (0, None)


SLOW_ON = """
sql = {{
    "{name}": "SELECT actor_id, 1::bigint AS events, occurred_at AS last_at, '{{}}'::text[] AS patients FROM batch",
    "{name}_log": '''
        WITH RECURSIVE many (n) AS (
            SELECT 1 FROM batch HAVING count(*) > 1 UNION ALL SELECT n FROM many)
        SELECT position, type, NULL::jsonb AS place FROM batch, (SELECT max(n) FROM many) AS found ''',
}}
"""


class Counted(Database):
    """A database whose transactions are counted."""

    count = 0

    @contextmanager
    def transaction(self, *, read_only: bool = False) -> Iterator[Connection]:
        self.count += 1
        with super().transaction(read_only=read_only) as connection:
            yield connection


def test_a_select_without_end_is_shown_at_once_and_one_event_is_tried_after_a_pause(
    trail: Trail, tmp_path: Path
) -> None:
    projector = load_custom(write(tmp_path, HEAD + SLOW_ON.replace("HAVING count(*) > 1", "")))
    trail.append(*[an_event() for _ in range(40)])
    begin_custom(trail.url, projector)
    owned = Counted(trail.url, "audit_trail_own_mine", size=1, statement_timeout_ms=300)
    projector.bind(owned)
    with closing(custom_database(trail)) as database:
        Runner(database, [projector]).catch_up()
    # Of both tables, for all events and then for one: it is not halved down to that.
    assert owned.count == 2 * 2
    [mine] = [each for each in trail.read.projections() if each.name == "mine"]
    assert (mine.position, mine.failed_position, mine.state) == (-1, 0, "failed")
    assert "the SELECT took longer than 30 s" in str(mine.error)


def test_a_select_that_is_too_slow_for_a_large_batch_goes_on_in_small_ones(
    trail: Trail, tmp_path: Path
) -> None:
    text = HEAD + SLOW_ON.replace("HAVING count(*) > 1", "HAVING count(*) > 8")
    projector = load_custom(write(tmp_path, text))
    trail.append(*[an_event() for _ in range(40)])
    begin_custom(trail.url, projector)
    projector.bind(Database(trail.url, "audit_trail_own_mine", size=1, statement_timeout_ms=300))
    with closing(custom_database(trail)) as database:
        build = register(database, projector)
        track = Track(database, projector)
        track.update(build, frozenset())
        with database.transaction(read_only=True) as connection:
            events = read_events(connection, -1, 100).events
        sizes = [track.feed(events[track.position + 1 :], 39) for _ in range(12)]
        track.close()
    assert (sizes[:3], track.position) == ([0, 1, 4], 39)


def test_floats_are_not_numbers_of_two_kinds(trail: Trail, tmp_path: Path) -> None:
    head = HEAD.replace('Column("events", Kind.BIGINT, SUM)', 'Column("events", Kind.DOUBLE, MAX)').replace(
        ', (Index(("events",)),)', ""
    )
    trail.append(an_event(), an_event(), an_event())
    for number, value in enumerate(("-0.0", "float('nan')")):
        file = write(
            tmp_path, head + PYTHON.replace("actor.id, 1,", f"actor.id, {value},"), name=f"mine{number}"
        )
        project(trail, file)
    status = {each.name: each for each in trail.read.projections()}
    assert status["mine0"].position == 2
    assert trail.rows("SELECT events::text FROM mine0_v1.mine0") == [("0",)]
    assert "column events takes a float that is a number" in str(status["mine1"].error)


def test_two_processes_of_a_file_apply_every_event_once(trail: Trail, tmp_path: Path) -> None:
    file = write(tmp_path, HEAD + PYTHON)
    with closing(custom_database(trail)) as database:
        runners = [Runner(database, [bound(trail, file)], batch=10) for _ in range(2)]
        threads = [Thread(target=runner.run) for runner in runners]
        for thread in threads:
            thread.start()
        for _ in range(10):
            trail.append(*(an_event(actor={"id": "ada"}) for _ in range(20)))
        eventually(lambda: any(each.position == 199 for each in trail.read.projections()))
        for runner, thread in zip(runners, threads, strict=True):
            runner.stop()
            thread.join()
    assert trail.rows("SELECT events::int FROM mine_v1.mine") == [(200,)]


def test_whoever_holds_a_projection_is_named_whatever_role_he_has(trail: Trail, tmp_path: Path) -> None:
    file = write(tmp_path, HEAD + PYTHON)
    project(trail, file)
    with (
        advisory_lock(trail.projector, ["mine"], "drop"),
        pytest.raises(FencedError, match=r"locked by another process \(drop,"),
    ):
        rebuild_custom(trail, file)
    with (
        closing(custom_database(trail)) as database,
        advisory_lock(database, ["mine"], "rebuild"),
        pytest.raises(FencedError, match=r"\(rebuild,"),
    ):
        reset(trail.projector, bound(trail, file))
    assert rebuild_custom(trail, file).build == 2
