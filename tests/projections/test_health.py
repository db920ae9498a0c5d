"""What a runner says of itself: in its log, and to whoever asks whether it is ready."""

from __future__ import annotations

import pytest
import structlog

from projections import health
from projections.builds.operations import pause, resume
from projections.health import RunnerHealth
from projections.models.patient import PatientProjector
from projections.registry import register
from projections.runner import Runner
from tests.projections.runners import Picky, caught_up, running, running_these
from tests.trail import Trail, an_event
from tests.waiting import eventually


def test_a_runner_says_once_that_it_starts_has_caught_up_and_stops(trail: Trail) -> None:
    with structlog.testing.capture_logs() as lines:
        trail.append(an_event())
        with running(trail):
            eventually(lambda: any(line["event"] == "caught_up" for line in lines))
            trail.append(an_event())
            eventually(lambda: caught_up(trail))
    said = [line["event"] for line in lines]
    assert said == ["runner_started", "caught_up", "runner_stopped"]
    assert lines[0]["projections"] == ["activity", "patient", "user", "device", "service"]


def test_a_runner_that_has_caught_up_is_ready(trail: Trail) -> None:
    assert RunnerHealth().problems() == ["it is starting"]
    trail.append(an_event())
    with running(trail) as [runner]:
        eventually(lambda: caught_up(trail))
        eventually(lambda: runner.health.problems() == [])
        assert runner.health.state() == "ready"
    assert runner.health.problems() == ["it is starting"]


def test_a_poison_event_and_an_operators_pause_are_problems_until_they_are_over(trail: Trail) -> None:
    position = trail.append(an_event(session="raise"))[0]
    picky, patient = Picky(), PatientProjector()
    with running_these(trail, picky, patient) as [runner]:
        stopped = f"projection picky is stopped by the event at position {position}: KeyError"
        eventually(lambda: [each.startswith(stopped) for each in runner.health.problems()] == [True])
        pause(trail.projector, "patient")
        eventually(lambda: len(runner.health.problems()) == 2)
        assert "projection patient is paused by an operator" in runner.health.problems()[1]
        resume(trail.projector, "patient")
        picky.refuses.clear()
        eventually(lambda: runner.health.problems() == [])


def test_a_projection_whose_code_is_another_version_is_a_problem(trail: Trail) -> None:
    register(trail.projector, PatientProjector())

    class Newer(PatientProjector):
        version = PatientProjector.version + 1

    with running_these(trail, Newer()) as [runner]:
        eventually(lambda: any("needs rebuild" in each for each in runner.health.problems()))


def test_a_projection_that_is_behind_and_does_not_move_is_a_problem(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "STALLED_SECONDS", 0.0)
    trail.append(an_event())
    projector = PatientProjector()
    register(trail.projector, projector)
    runner = Runner(trail.projector, [projector])
    runner._read_registry()
    runner.health.step_completed()
    eventually(lambda: any("is 1 events behind, and has not moved" in p for p in runner.health.problems()))
    runner._close()


def test_a_runner_without_a_sign_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "SILENT_SECONDS", 0.0)
    found = RunnerHealth()
    found.step_completed()
    eventually(lambda: "the database does not answer" in "".join(found.problems()))
    found.waits("the database is away")
    assert found.problems() == ["the database is away"]


def test_the_second_of_two_runners_is_a_standby_and_goes_on_when_the_first_ends(
    trail: Trail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "STANDBY_SECONDS", 0.0)
    projector = PatientProjector()
    trail.append(an_event())
    standby = Runner(trail.projector, [projector])
    standby._read_registry()
    Runner(trail.projector, [projector]).catch_up()
    with structlog.testing.capture_logs() as lines:
        standby._read_registry()
        standby.health.step_completed()
        assert (standby.health.state(), standby.health.problems()) == ("standby", [])
        trail.append(an_event())
        standby.catch_up()
        trail.append(an_event())
        standby.catch_up()
        standby._read_registry()
        standby._close()
    assert standby.health.state() == "ready"
    assert [line["event"] for line in lines if line["event"] != "caught_up"] == ["standby", "standby_ended"]
