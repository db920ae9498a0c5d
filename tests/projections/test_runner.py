"""The runner: once each, in the rows' transaction, and one projector's trouble is its own."""

from __future__ import annotations

import re

import psycopg2
import pytest
from prometheus_client import CollectorRegistry

from domain.errors import FencedError
from projections.metrics import RunnerMetrics
from projections.models.patient import PatientProjector
from projections.projector import schema_name
from projections.registry import built_in, register
from projections.runner import Runner
from projections.tables import Row
from projections.testing import record
from projections.writer import Writer
from tests.projections.runners import COUNTS, Picky, caught_up, running
from tests.trail import Trail, an_event
from tests.waiting import eventually


def test_applying_a_batch_twice_changes_nothing(trail: Trail) -> None:
    events = [an_event(session="s"), an_event()]
    trail.given(*events)
    before = trail.rows(COUNTS)
    for projector in built_in():
        build = register(trail.projector, projector)
        assert build is not None
        writer = Writer(trail.projector, projector, build)
        with pytest.raises(FencedError):
            writer.apply(record(events), -1, 1)
        writer.close()
    trail.project()
    assert trail.rows(COUNTS) == before == [(2, 2)]


def test_batches_of_any_size_give_the_same_rows(trail: Trail) -> None:
    events = [
        an_event(
            ("record.read", "user.logged_in", "api.called")[number % 3],
            -number,
            actor={"id": f"u{number % 4}", "name": f"Name {number}"},
            patients=[{"id": f"p{number % 3}"}],
            purpose_of_use=[f"P{number % 5}", f"P{number % 2}"],
            session=f"s{number % 2}",
            request={"method": "GET", "duration_ms": 0.1},
            source={"service": "s", "instance": "i", "sequence": 1 + number * 17 % 50},
        )
        for number in range(60)
    ]
    trail.append(*events)
    trail.project(batch=7)
    for projector in built_in():
        for table in projector.tables:
            if not table.merged:
                continue
            names = ", ".join(table.names)
            stored = trail.rows(f"SELECT {names} FROM {schema_name(projector)}.{table.name}")
            expected = table.combine(projector.rows(record(events))[table.name])
            assert sorted(map(repr, map(_plain, stored))) == sorted(map(repr, map(_plain, expected)))


def _plain(row: Row) -> Row:
    return tuple(list(value) if isinstance(value, tuple) else value for value in row)


@pytest.mark.parametrize(
    ("poison", "failure"),
    [("raise", r"KeyError at runners\.py:\d+"), ("database", "InvalidTextRepresentation")],
)
def test_a_poison_event_stops_only_its_projector_and_keeps_all_before_it(
    trail: Trail, poison: str, failure: str
) -> None:
    events = [an_event() for _ in range(20)]
    events[13] = an_event(session=poison)
    positions = trail.append(*events)
    picky = Picky()
    trail.project(picky, *built_in())
    states = {each.name: each for each in trail.read.projections()}
    stopped = states.pop("picky")
    assert (stopped.position, stopped.failed_position, stopped.state) == (
        positions[12],
        positions[13],
        "failed",
    )
    assert (stopped.failed_event_id, stopped.lag) == (str(events[13].event_id), 7)
    assert re.fullmatch(failure, stopped.error or "")
    assert {(each.position, each.state) for each in states.values()} == {(positions[-1], "running")}
    assert trail.rows("SELECT count(*) FROM picky_v1.picky") == [(13,)]

    picky.refuses.clear()
    trail.project(picky)
    mended = next(each for each in trail.read.projections() if each.name == "picky")
    assert (mended.state, mended.lag, mended.error, mended.failed_position) == ("running", 0, None, None)
    assert trail.rows("SELECT count(*) FROM picky_v1.picky") == [(20,)]


def test_two_runners_at_once_apply_every_event_once(trail: Trail) -> None:
    trail.append(*(an_event(session="s") for _ in range(300)))
    with running(trail, count=2):
        for _ in range(10):
            trail.append(*(an_event(session="s") for _ in range(30)))
        eventually(lambda: caught_up(trail))
    assert trail.rows(COUNTS) == [(600, 600)]


def test_a_notification_wakes_the_runner(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where polling alone would find nothing in time."""
    monkeypatch.setattr("projections.runner.POLL_SECONDS", 600)
    with running(trail):
        trail.append(an_event())
        eventually(lambda: caught_up(trail))
        trail.append(an_event())
        eventually(lambda: caught_up(trail))


def test_the_runner_goes_on_after_the_database_has_cut_all_its_connections(trail: Trail) -> None:
    with running(trail):
        trail.append(an_event())
        eventually(lambda: caught_up(trail))
        admin = psycopg2.connect(trail.url)
        with admin, admin.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        admin.close()
        for database in (trail.ingest, trail.reader):
            database.close()
        trail.append(an_event(), an_event())
        eventually(lambda: caught_up(trail))
    assert trail.rows(COUNTS) == [(3, 3)]


def test_projections_at_different_checkpoints_meet(trail: Trail) -> None:
    trail.append(*(an_event(patients=[{"id": "p"}]) for _ in range(30)))
    trail.project(PatientProjector())
    trail.append(*(an_event(patients=[{"id": "p"}]) for _ in range(30)))
    trail.project()
    assert {each.position for each in trail.read.projections()} == {59}
    patient, user = trail.read.patient("p"), trail.read.user("dr-smith")
    assert patient is not None
    assert user is not None
    assert patient.events == user.events == 60


def test_the_reader_may_not_write_a_read_model(trail: Trail) -> None:
    trail.given(an_event())
    with (
        trail.reader.transaction() as connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.Error),
    ):
        cursor.execute("DELETE FROM activity_v5.activity")


def test_the_runner_counts_what_it_applies(trail: Trail) -> None:
    registry = CollectorRegistry()
    trail.append(an_event(), an_event(), an_event(session="raise"), an_event())
    Runner(trail.projector, [Picky()], metrics=RunnerMetrics(registry)).catch_up()

    def value(name: str) -> float | None:
        return registry.get_sample_value(f"audit_trail_projector_{name}", {"projection": "picky"})

    assert (value("events_total"), value("position"), value("feeding")) == (2, 1, 1)
    Runner(trail.projector, [Picky()], metrics=RunnerMetrics(other := CollectorRegistry())).catch_up()
    assert other.get_sample_value("audit_trail_projector_failed", {"projection": "picky"}) == 1
    assert other.get_sample_value("audit_trail_projector_lag", {"projection": "picky"}) == 2
