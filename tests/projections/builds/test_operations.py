"""What an operator does to a projection while a runner keeps it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from threading import Timer

import msgspec
import pytest

from domain.errors import ConfigurationError, FencedError, UnavailableError
from domain.event import AuditEvent, RecordedEvent
from projections.builds.advisory_lock import advisory_lock
from projections.builds.operations import pause, reset, resume, retry, skip
from projections.builds.status import describe
from projections.builds.switching import drop
from projections.models.user import UserProjector
from projections.rebuild.load import begin_build
from projections.registry import list_builds, register
from projections.tables import Column, Kind, Row, Table
from queries.summaries.results import ProjectionStatus
from tests.projections.runners import COUNTS, Picky, caught_up, running, running_these
from tests.trail import Trail, an_event
from tests.waiting import eventually

KEPT = "SELECT array_agg(position ORDER BY position) FROM picky_v1{build}.picky"


class NewerUser(UserProjector):
    version = UserProjector.version + 1


class OtherUser(UserProjector):
    """The same version with another table."""

    tables = (UserProjector.tables[0], Table("user_more", ("position",), (Column("position", Kind.BIGINT),)))

    def rows(self, events: Sequence[RecordedEvent]) -> Mapping[str, list[Row]]:
        return {
            "user_action": super().rows(events)["user_action"],
            "user_more": [(each.position,) for each in events],
        }


def status(trail: Trail, name: str) -> ProjectionStatus:
    return next(each for each in trail.read.projections() if each.name == name and each.live)


def told(trail: Trail, projector: UserProjector) -> str:
    return "\n".join(describe(trail.reader, {projector.name: projector}, [projector.name]))


def test_newer_code_leaves_the_old_tables_alone_and_says_what_to_run(trail: Trail) -> None:
    trail.given(an_event())
    trail.append(an_event())
    trail.project(NewerUser())
    assert (status(trail, "user").version, status(trail, "user").position) == (3, 0)
    assert "projections rebuild user" in told(trail, NewerUser())
    assert trail.read.user("dr-smith") is not None


def test_status_says_the_rate_of_one_that_is_behind_and_since_when_another_stands(trail: Trail) -> None:
    trail.given(an_event())
    assert re.search(
        r"position 0, 0 events behind the log; last moved \d+ s ago", told(trail, UserProjector())
    )
    trail.append(*(an_event(minute=at) for at in range(20)))
    assert re.search(
        r"position 0, 20 events behind the log; last moved \d+ s ago", told(trail, UserProjector())
    )
    feeding = Timer(0.3, trail.project)
    feeding.start()
    try:
        assert re.search(r"20 events behind the log; \d+ events/s, \d+ s left", told(trail, UserProjector()))
    finally:
        feeding.join()


def test_older_or_different_code_refuses_to_write_and_the_others_go_on(new_trail: Trail) -> None:
    new_trail.project(NewerUser())
    new_trail.given(an_event())
    assert status(new_trail, "user").position == -1
    assert status(new_trail, "activity").position == 0
    assert "newer program" in told(new_trail, UserProjector())


def test_a_projector_whose_tables_changed_under_the_same_version_refuses(trail: Trail) -> None:
    trail.given(an_event())
    trail.append(an_event())
    trail.project(OtherUser())
    assert status(trail, "user").position == 0
    assert "raise the projector's version" in told(trail, OtherUser())


def test_a_name_that_is_none_and_a_table_of_another_projection_are_refused(trail: Trail) -> None:
    class Spaced(UserProjector):
        name = "my user"

    class Thief(UserProjector):
        name = "thief"

    register(trail.projector, UserProjector())
    with pytest.raises(ConfigurationError, match="names no projection"):
        register(trail.projector, Spaced())
    with pytest.raises(ConfigurationError, match="user_action belongs to another projection"):
        register(trail.projector, Thief())


def test_a_paused_projection_waits_and_a_running_runner_follows_the_order(trail: Trail) -> None:
    with running(trail):
        trail.append(an_event())
        eventually(lambda: caught_up(trail))
        pause(trail.projector, "user")
        trail.append(an_event())
        eventually(lambda: status(trail, "activity").position == 1)
        assert (status(trail, "user").position, status(trail, "user").state) == (0, "paused")
        resume(trail.projector, "user")
        eventually(lambda: caught_up(trail))
    assert trail.rows(COUNTS) == [(2, 2)]


def test_a_reset_begins_anew_under_a_running_runner_that_is_idle(trail: Trail) -> None:
    with running(trail):
        trail.append(an_event(), an_event())
        eventually(lambda: caught_up(trail))
        pause(trail.projector, "user")
        assert reset(trail.projector, UserProjector()) == 2
        assert (status(trail, "user").position, status(trail, "user").state) == (-1, "paused")
        resume(trail.projector, "user")
        eventually(lambda: status(trail, "user").lag == 0)
    assert trail.rows("SELECT sum(events)::int FROM user_v3_b2.user_action") == [(2,)]
    with trail.reader.transaction(read_only=True) as connection:
        builds = [(each.build, each.live) for each in list_builds(connection) if each.name == "user"]
    assert builds == [(1, False), (2, True)]


def test_what_another_process_holds_is_refused_with_its_holder(trail: Trail) -> None:
    register(trail.projector, UserProjector())
    with advisory_lock(trail.projector, ["user"], "rebuild"):
        with pytest.raises(FencedError, match=r"rebuild, process \d+ on .*, since 20"):
            reset(trail.projector, UserProjector())
        with advisory_lock(trail.projector, ["patient"], "rebuild"):
            pass
    reset(trail.projector, UserProjector())


def test_a_poison_event_is_skipped_once_with_a_decision_that_the_trail_gets(trail: Trail) -> None:
    events = [an_event(), an_event(session="raise"), an_event(), an_event(session="raise")]
    trail.append(*events)
    picky = Picky()
    trail.project(picky)
    sent: list[bytes] = []

    def away(_: bytes) -> None:
        raise UnavailableError("the broker is away")

    with pytest.raises(ConfigurationError, match="not stopped at position 2"):
        skip(trail.projector, "picky", 2, by="ada", reason="broken", publish=sent.append)
    with pytest.raises(ConfigurationError, match="somebody"):
        skip(trail.projector, "picky", 1, by=" ", reason="broken", publish=sent.append)
    with pytest.raises(UnavailableError):
        skip(trail.projector, "picky", 1, by="ada", reason="broken", publish=away)
    assert status(trail, "picky").failed_position == 1
    skip(trail.projector, "picky", 1, by="eve", reason="other", publish=sent.append)
    trail.project(picky)
    assert status(trail, "picky").failed_position == 3
    assert trail.rows(KEPT.format(build="")) == [([0, 2],)]

    [event] = [msgspec.json.decode(each, type=AuditEvent) for each in sent]
    assert (event.type, event.actor.id, event.reason) == ("projection.event_skipped", "ada", "broken")
    assert event.attributes["skipped_event_id"] == str(events[1].event_id)
    with pytest.raises(ConfigurationError, match="not stopped"):
        skip(trail.projector, "picky", 1, by="ada", reason="broken", publish=sent.append)


def test_retry_tries_the_event_again_before_its_pause_is_over(new_trail: Trail) -> None:
    new_trail.append(an_event(session="raise"))
    picky = Picky()
    with running_these(new_trail, picky):
        eventually(
            lambda: bool(new_trail.read.projections()) and status(new_trail, "picky").state == "failed"
        )
        picky.refuses.clear()
        assert retry(new_trail.projector, "picky") == 1
        eventually(lambda: status(new_trail, "picky").lag == 0, seconds=4)


def test_a_reset_projection_leaves_out_what_was_skipped(trail: Trail) -> None:
    trail.append(an_event(), an_event(session="raise"), an_event())
    trail.project(Picky())
    skip(trail.projector, "picky", 1, by="ada", reason="broken", publish=lambda _: None)
    reset(trail.projector, Picky())
    trail.project(Picky())
    assert status(trail, "picky").lag == 0
    assert trail.rows(KEPT.format(build="_b2")) == [([0, 2],)]


def test_a_projection_whose_builds_were_all_dropped_begins_anew_under_a_running_runner(
    new_trail: Trail,
) -> None:
    new_trail.append(an_event())
    begin_build(new_trail.projector, UserProjector())
    with running(new_trail):
        eventually(lambda: len(new_trail.read.projections()) == 5)
        assert [each.live for each in new_trail.read.projections() if each.name == "user"] == [False]
        assert drop(new_trail.projector, "user") == [1]
        eventually(lambda: caught_up(new_trail))
