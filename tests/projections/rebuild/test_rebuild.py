"""A rebuild: the same rows as live, whatever is killed, and nobody who reads sees any of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.errors import ConfigurationError, FencedError, UnavailableError
from domain.event import AuditEvent
from projections.builds.advisory_lock import advisory_lock
from projections.models.user import UserProjector
from tests.projections.rebuild.rebuilds import ALL, assert_same, builds, rebuild_now, some_events
from tests.trail import Trail, an_event

_FEW = st.sampled_from(["a", "b", "Ü", "z"])
_PATIENTS = st.lists(_FEW.map(lambda given: {"id": given}), max_size=2)
_NUMBERED: st.SearchStrategy[dict[str, Any]] = st.just({}) | st.builds(
    dict, instance=st.sampled_from(["1", "2"]), sequence=st.integers(1, 15)
)
_TYPES = st.sampled_from(
    ["record.read", "user.logged_in", "user.logged_out", "api.called", "service.restarted", "device.connected",
     "device.disconnected", "configuration.changed", "health_check.failed"]
)  # fmt: skip


@st.composite
def events(draw: st.DrawFn) -> AuditEvent:
    fields: dict[str, Any] = {
        "actor": {"id": draw(_FEW), "kind": draw(st.sampled_from(["user", "service", "device"]))},
        "patients": draw(_PATIENTS),
        "purpose_of_use": draw(st.lists(st.integers(0, 40).map(lambda n: f"P{n:02}"), max_size=20)),
        "resources": [{"type": draw(st.sampled_from(["Service", "Observation"])), "id": draw(_FEW)}],
        "device": {"id": draw(_FEW), "software_version": draw(_FEW)},
        "source": {"service": draw(_FEW), **draw(_NUMBERED)},
        "request": {"method": "GET", "duration_ms": draw(st.sampled_from([0.1, 7.3, 1e6]))},
        "changes": draw(st.lists(st.builds(dict, path=_FEW, before=st.none() | st.floats(0, 9)), max_size=2)),
        "session": draw(st.none() | _FEW),
    }
    if draw(st.booleans()):
        fields["actor"]["name"] = draw(_FEW)
        fields["device"]["name"] = draw(_FEW)
    return an_event(draw(_TYPES), draw(st.integers(-600, 600)), **fields)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@for_all(st.lists(events(), max_size=40), st.integers(1, 30))
def test_a_rebuild_gives_the_rows_of_the_live_tables_whatever_the_ranges(
    trail: Trail, happened: list[AuditEvent], width: int
) -> None:
    if happened:
        trail.append(*happened)
    trail.project(batch=7)
    assert [each.failure for each in rebuild_now(trail, width=width).outcomes] == [""] * len(ALL)
    assert_same(trail)


def test_processes_load_ranges_side_by_side(trail: Trail) -> None:
    trail.given(*some_events(200))
    rebuilt = rebuild_now(trail, in_process=0)
    assert ("loading", 200) in rebuilt.told.steps
    assert_same(trail)


@pytest.mark.parametrize("count", [0, 1])
def test_an_empty_log_and_one_event_are_rebuilt(trail: Trail, count: int) -> None:
    trail.given(*some_events(count)) if count else trail.project()
    assert [each.failure for each in rebuild_now(trail).outcomes] == [""] * len(ALL)
    assert_same(trail)


def test_a_projection_that_never_ran_is_built(new_trail: Trail) -> None:
    new_trail.append(*some_events(30))
    [outcome] = rebuild_now(new_trail, "user").outcomes
    assert (outcome.build, outcome.position, outcome.failure) == (1, 29, "")
    assert new_trail.rows("SELECT sum(events)::int FROM user_v3.user_action") == [(30,)]


def test_newer_code_is_live_once_it_is_built_and_the_runner_goes_on_with_it(trail: Trail) -> None:
    trail.given(*some_events(30))
    newer = Newer()
    rebuild_now(trail, "user", source=_newer)
    assert [(each.version, each.live) for each in builds(trail, "user")] == [(3, False), (4, True)]
    trail.append(*some_events(5, seed=2))
    trail.project(newer)
    assert builds(trail, "user")[-1].position == 34
    with pytest.raises(ConfigurationError, match="newer program"):
        rebuild_now(trail, "user")


class Newer(UserProjector):
    version = UserProjector.version + 1


def _newer() -> Sequence[UserProjector]:
    return [Newer()]


def test_a_second_rebuild_is_told_who_is_at_it(trail: Trail) -> None:
    trail.given(*some_events(3))
    with (
        advisory_lock(trail.projector, ["user"], "rebuild"),
        pytest.raises(FencedError, match="rebuild, process"),
    ):
        rebuild_now(trail, "patient", "user")
    assert [each.failure for each in rebuild_now(trail, "patient", "user").outcomes] == ["", ""]


def test_a_name_that_is_none_is_refused(trail: Trail) -> None:
    with pytest.raises(ConfigurationError, match="'nobody'"):
        rebuild_now(trail, "nobody")


def test_the_rebuild_is_attested_once_and_nothing_is_live_before_that(trail: Trail) -> None:
    trail.given(*some_events(30))

    def away(_: bytes) -> None:
        raise UnavailableError("the broker is away")

    with pytest.raises(UnavailableError, match="broker"):
        rebuild_now(trail, "user", publish=away)
    waiting = builds(trail, "user")[-1]
    assert (waiting.state, waiting.live, waiting.attested_at) == ("ready", False, None)
    built = trail.rows("SELECT * FROM user_v3_b2.user_action")
    trail.given(*some_events(5, seed=3))
    [event] = rebuild_now(trail, "user").events
    assert event.type == "projection.rebuilt"
    told = event.attributes
    assert (told["projection"], told["version"], told["build"], told["log_size"]) == ("user", 3, 2, 30)
    assert len(told["log_root"]) == len(told["code_sha256"]) == 64
    assert told["tables"]["user_action"]["rows"] == len(built) > 0
    assert builds(trail, "user")[-1].build == 2
    assert builds(trail, "user")[-1].live
    assert_same(trail, UserProjector())
