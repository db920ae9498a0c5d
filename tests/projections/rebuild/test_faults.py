"""What is wrong with a projector's code is said as what it is, and the number of a build is one build's for ever."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence

import psycopg2
import pytest

from domain.errors import ConfigurationError
from domain.event import RecordedEvent
from event_store.migrations import migrate
from event_store.statement_errors import DuplicateRowError
from projections.builds.status import describe
from projections.builds.switching import drop, switch
from projections.errors import LimitError
from projections.models.user import UserProjector
from projections.tables import Column, Kind, Row, Table
from tests.projections.rebuild.rebuilds import Listed, builds, rebuild_now, some_events
from tests.projections.runners import Picky
from tests.trail import Trail, an_event


class Twice:
    """An append-only table whose rows of one session have one key."""

    name = "twice"
    version = 1
    tables = (
        Table("twice", ("session",), (Column("session", Kind.TEXT), Column("position", Kind.BIGINT))),
        Table("twice_log", ("position",), (Column("position", Kind.BIGINT),)),
    )

    def rows(self, events: Sequence[RecordedEvent]) -> Mapping[str, list[Row]]:
        return {
            "twice": [(each.event.session or str(each.position), each.position) for each in events],
            "twice_log": [(each.position,) for each in events],
        }


DUPLICATE = r"stopped at position 5: table twice: two rows have one key \(session\): give the table"


def test_two_rows_of_one_key_stop_their_projection_alone_and_say_what_to_do(trail: Trail) -> None:
    events = [an_event(session="s" if at in {2, 5, 6} else None) for at in range(9)]
    trail.append(*events)
    source = Listed(Twice(), UserProjector())
    for _ in range(2):  # the second finds the build as the first has left it
        outcomes = {each.name: each for each in rebuild_now(trail, "twice", "user", source=source).outcomes}
        assert re.match(DUPLICATE, outcomes["twice"].failure)
        assert not outcomes["twice"].skippable
        assert not outcomes["user"].failure
        [build] = builds(trail, "twice")
        assert (build.state, build.failure) == ("indexing", outcomes["twice"].failure)
        told = list(describe(trail.reader, {"twice": Twice()}, ["twice"]))
        assert f"    {build.failure}" in told
    drop(trail.projector, "twice")
    trail.project(Twice())
    [build] = builds(trail, "twice")
    assert re.match(DUPLICATE, f"stopped at position {build.failed_position}: {build.failure}")


class Exiting(Picky):
    """Code that ends its process: the polite way, which is an exception, and the other."""

    name = "exiting"
    tables = (Table("exiting", ("position",), (Column("position", Kind.BIGINT), Column("note", Kind.JSON))),)

    def rows(self, events: Sequence[RecordedEvent]) -> Mapping[str, list[Row]]:
        if any(each.event.session == "exit" for each in events):
            sys.exit("a patient's name")
        if any(each.event.session == "end" for each in events):
            os._exit(17)
        return {"exiting": [(each.position, b"1") for each in events]}


@pytest.mark.parametrize("in_process", [0, 20_000])
def test_code_that_exits_is_stopped_at_its_event(trail: Trail, in_process: int) -> None:
    trail.append(*(an_event(session="exit" if at == 31 else None) for at in range(50)))
    [outcome] = rebuild_now(trail, "exiting", source=Listed(Exiting()), in_process=in_process).outcomes
    assert re.match(r"stopped at position 31: SystemExit at test_faults.py:\d+$", outcome.failure)
    drop(trail.projector, "exiting")
    trail.project(Exiting())
    [build] = builds(trail, "exiting")
    assert (build.position, build.failed_position) == (30, 31)
    assert (build.failure or "").startswith("SystemExit at test_faults.py:")


def test_code_that_ends_its_worker_is_told_from_short_memory(trail: Trail) -> None:
    trail.append(*(an_event(session="end" if at == 31 else None) for at in range(50)))
    with pytest.raises(ConfigurationError, match=r"exit code 17 while loading positions 30 to 39 of exiting"):
        rebuild_now(trail, "exiting", source=Listed(Exiting()), in_process=0)


class Slow(Picky):
    """Code that takes too long for more than a few events, and for one of some sessions."""

    name = "slow"
    tables = (Table("slow", ("position",), (Column("position", Kind.BIGINT), Column("note", Kind.JSON))),)

    def rows(self, events: Sequence[RecordedEvent]) -> Mapping[str, list[Row]]:
        if len(events) > 3 or any(each.event.session == "slow" for each in events):
            raise LimitError(7, "the SELECT took longer than 30 s")
        return {"slow": [(each.position, b"1") for each in events]}


@pytest.mark.parametrize("in_process", [0, 20_000])
def test_code_that_takes_too_long_for_a_chunk_is_loaded_with_smaller_ones(
    trail: Trail, in_process: int
) -> None:
    trail.append(*some_events(50))
    [outcome] = rebuild_now(trail, "slow", source=Listed(Slow()), in_process=in_process).outcomes
    assert (outcome.failure, outcome.position) == ("", 49)


def test_an_event_that_takes_too_long_alone_stops_the_projection_there(trail: Trail) -> None:
    trail.append(*(an_event(session="slow" if at == 31 else None) for at in range(50)))
    [outcome] = rebuild_now(trail, "slow", source=Listed(Slow())).outcomes
    assert outcome.failure.startswith("stopped at position 31: the SELECT took longer than 30 s")
    assert outcome.skippable


def test_the_number_of_a_build_is_never_given_again(trail: Trail) -> None:
    trail.given(*some_events(20))
    numbers = [rebuild_now(trail, "user").outcomes[0].build]
    for _ in range(2):
        switch(trail.projector, "user", UserProjector(), to=1)
        drop(trail.projector, "user")
        numbers.append(rebuild_now(trail, "user").outcomes[0].build)
    assert numbers == [2, 3, 4]
    with pytest.raises(DuplicateRowError), trail.projector.transaction() as connection:
        connection.cursor().execute(
            "INSERT INTO audit_trail.projection (name, build, version, schema_name) VALUES ('user', 3, 1, 'user_v1_b3')"
        )


def test_a_database_of_before_numbers_were_kept_goes_on_from_its_highest(trail: Trail) -> None:
    trail.given(*some_events(20))
    rebuild_now(trail, "user")
    admin = psycopg2.connect(trail.url)
    with admin, admin.cursor() as cursor:
        cursor.execute(
            "DROP TRIGGER counted ON audit_trail.projection; DROP FUNCTION audit_trail.count_build();"
            " DROP TABLE audit_trail.projection_number;"
            " DELETE FROM audit_trail.migration WHERE name = '0005_build_numbers'"
        )
    admin.close()
    assert migrate(trail.url) == ["0005_build_numbers"]
    switch(trail.projector, "user", UserProjector(), to=1)
    drop(trail.projector, "user")
    assert rebuild_now(trail, "user").outcomes[0].build == 3
