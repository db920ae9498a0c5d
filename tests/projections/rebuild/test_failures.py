"""Whatever is killed, restarted, stopped or in the way: a rebuild goes on, and the live service is untouched."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from domain.errors import ConfigurationError, FencedError, UnavailableError
from domain.event import RecordedEvent
from event_store.migrations import migrate
from projections.builds.operations import pause, skip
from projections.builds.switching import drop, switch
from projections.models.user import UserProjector
from projections.projector import Projector
from projections.rebuild.coordinator import rebuild
from projections.rebuild.load import new_build
from projections.rebuild.verification import verify
from projections.rebuild.worker import Answer, Loader, LoadTask
from projections.registry import built_in
from projections.tables import Row
from tests.projections.rebuild import rebuild_process
from tests.projections.rebuild.rebuilds import (
    ALL,
    Rebuilt,
    Told,
    assert_same,
    builds,
    parts_of,
    rebuild_now,
    rows_of,
    some_events,
)
from tests.projections.runners import Picky, caught_up, running
from tests.servers import FAST, postgres_server
from tests.trail import Trail, an_event
from tests.waiting import eventually


def start(trail: Trail, sent: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", rebuild_process.__name__, trail.url, str(sent)],
        cwd=Path(rebuild_process.__file__).parents[3],
        start_new_session=True,
    )


def done_ranges(trail: Trail) -> int:
    return int(trail.rows("SELECT count(*) FROM audit_trail.projection_range WHERE done")[0][0])


def test_killed_at_random_moments_it_goes_on_where_it_was(trail: Trail, tmp_path: Path) -> None:
    trail.given(*some_events(1500))
    sent = tmp_path / "sent"
    chance = random.Random()
    kept = [0]
    for _ in range(3):
        process = start(trail, sent)
        until = time.monotonic() + 30
        while process.poll() is None and done_ranges(trail) <= kept[-1] and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(chance.random() * 0.1)
        process.kill()  # the coordinator alone: its workers are left to find out
        if process.wait() == 0:
            break
        kept.append(done_ranges(trail))
        if kept[-1] == 0:
            break  # all was loaded by then
    assert len(kept) > 1
    process = start(trail, sent)
    assert process.wait(60) == 0
    assert_same(trail)
    ids = [json.loads(line)["event_id"] for line in sent.read_text().splitlines()]
    assert len(set(ids)) == sum(len(builds(trail, name)) - 1 for name in ALL)


@pytest.mark.thorough
def test_killed_and_run_again_at_once_it_goes_on_beside_workers_that_were_left(
    trail: Trail, tmp_path: Path
) -> None:
    trail.given(*some_events(3000))
    sent = tmp_path / "sent"
    process = start(trail, sent)
    kills, before = 0, 0
    while kills < 5:
        until = time.monotonic() + 30
        while process.poll() is None and done_ranges(trail) <= before and time.monotonic() < until:
            time.sleep(0.002)
        if process.poll() is not None:
            break
        before = done_ranges(trail)
        process.kill()
        process.wait()
        kills += 1
        process = start(trail, sent)
    assert kills > 2
    assert process.wait(60) == 0
    assert_same(trail)


def test_a_range_that_another_process_has_done_is_left_alone(trail: Trail) -> None:
    trail.given(*some_events(30))
    build = new_build(trail.projector, UserProjector())
    with trail.projector.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_trail.projection_range (name, build, first, last) VALUES ('user', %s, 0, 29)",
            (build.build,),
        )
    loaders = [Loader(trail.projector, built_in(), {"user": build}) for _ in range(2)]
    task = LoadTask(0, 29, ("user",))
    threads = [threading.Thread(target=loader.load, args=(task,)) for loader in loaders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaders[0].load(task) == Answer(task)
    with trail.projector.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT sum(events)::int FROM {build.schema}.partial_user_action")
        assert cursor.fetchall() == trail.rows("SELECT sum(events)::int FROM user_v3.user_action")
    with pytest.raises(FencedError, match="is gone"):
        loaders[0].load(LoadTask(7, 9, ("user",)))


def test_workers_end_when_their_coordinator_is_killed(trail: Trail, tmp_path: Path) -> None:
    trail.given(*some_events(1500))
    process = start(trail, tmp_path / "sent")
    eventually(lambda: done_ranges(trail) > 0)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.wait()
    assert workers
    eventually(lambda: not any(alive(pid) for pid in workers))


def alive(pid: str) -> bool:
    try:
        return b"multiprocessing" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.thorough
def test_a_worker_that_is_killed_costs_its_range_alone(trail: Trail) -> None:
    trail.given(*some_events(1500))

    def kill_children() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            children = Path(f"/proc/self/task/{os.getpid()}/children")
            for pid in children.read_text().split():
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                if b"multiprocessing.spawn" in command and done_ranges(trail) > 5:
                    os.kill(int(pid), signal.SIGKILL)
                    killed.append(pid)
                    return
            time.sleep(0.02)

    killed: list[str] = []
    killer = threading.Thread(target=kill_children)
    killer.start()
    rebuild_now(trail, in_process=0)
    killer.join()
    assert killed
    assert_same(trail)


@pytest.mark.thorough
def test_a_database_that_is_killed_is_waited_for(server_folder: Path) -> None:
    with postgres_server(server_folder / "postgres", settings=FAST) as server:
        migrate(server.url)
        trail = Trail(server.url)
        trail.given(*some_events(1500))
        # Projectors commit without waiting for the disk: what the old build lost here, nobody would bring back to it.
        with closing(psycopg2.connect(server.url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute("CHECKPOINT")
        restarted: list[bool] = []

        def restart() -> None:
            eventually(lambda: done_ranges(trail) > 3)
            server.kill()
            server.start()
            restarted.append(True)

        restarter = threading.Thread(target=restart)
        rebuilt = Rebuilt()
        restarter.start()
        rebuild(parts_of(trail, rebuilt, in_process=0), ALL)
        restarter.join()
        assert restarted
        assert any("the database is away" in line for line in rebuilt.told.said)
        trail.project()
        assert_same(trail)
        trail.close()


def append_some(trail: Trail, seed: int) -> None:
    """Append events, up to some thousand: on a slow machine a rebuild that gets new ones all the time would not end."""
    if trail.size < 2_000:
        trail.append(*some_events(15, seed=seed))


def test_under_ingest_no_query_fails_or_goes_back_and_no_event_is_missed(trail: Trail) -> None:
    trail.append(*some_events(300))
    stopping = threading.Event()
    seen: list[int] = []
    lock = threading.Lock()
    troubles: list[BaseException] = []

    def guarded(work: object) -> threading.Thread:
        def run() -> None:
            try:
                while not stopping.is_set():
                    work()  # type: ignore[operator]
            except BaseException as exc:  # noqa: BLE001 - told below
                troubles.append(exc)

        return threading.Thread(target=run)

    def write() -> None:
        with lock:
            append_some(trail, seed=len(seen))
        time.sleep(0.05)

    def query() -> None:
        last, counted = -1, 0
        while not stopping.is_set():
            user = trail.read.user("u1")
            assert user is not None
            assert user.as_of_position >= last
            assert user.events >= counted
            last, counted = user.as_of_position, user.events
            seen.append(last)
            time.sleep(0.005)  # the workers of a rebuild give way to everybody else on the machine

    with running(trail):
        eventually(lambda: caught_up(trail))
        threads = [guarded(write), guarded(write), guarded(query), guarded(query)]
        for thread in threads:
            thread.start()
        for number in range(2):
            outcomes = rebuild_now(trail, in_process=0 if number == 1 else 20_000, width=50).outcomes
            assert [each.failure for each in outcomes] == [""] * len(ALL)
        stopping.set()
        for thread in threads:
            thread.join()
        assert not troubles, troubles
        eventually(lambda: all(each.lag == 0 for each in trail.read.projections() if each.live))
    assert trail.rows("SELECT sum(events)::int FROM user_v3_b3.user_action") == [(trail.size,)]
    rebuild_now(trail, width=500)
    trail_now = {each.name: builds(trail, each.name)[-2:] for each in built_in()}
    for projector in built_in():
        before, live = trail_now[projector.name]
        assert rows_of(trail, projector, before) == rows_of(trail, projector, live)


def test_a_poison_event_stops_its_rebuild_alone_and_what_was_skipped_is_left_out(trail: Trail) -> None:
    poisoned = some_events(40)
    poisoned[13] = an_event(session="raise")
    poisoned[27] = an_event(session="database")
    trail.append(*poisoned)
    source = _with_picky
    for position, failure in ((13, "KeyError at runners.py"), (27, "InvalidTextRepresentation")):
        outcomes = {each.name: each for each in rebuild_now(trail, "picky", "user", source=source).outcomes}
        assert f"stopped at position {position}: {failure}" in outcomes["picky"].failure
        assert not outcomes["user"].failure
        assert builds(trail, "picky")[-1].failed_position == position
        skip(trail.projector, "picky", position, by="ada", reason="broken", publish=lambda _: None)
    assert not rebuild_now(trail, "picky", source=source).outcomes[0].failure
    kept = [row[0] for row in trail.rows("SELECT position FROM picky_v1.picky ORDER BY position")]
    assert kept == [position for position in range(40) if position not in {13, 27}]


def _with_picky() -> Sequence[Projector]:
    return [Picky(), *built_in()]


def test_a_switch_goes_back_and_forth_without_going_back_in_position(trail: Trail) -> None:
    trail.given(*some_events(20))
    rebuild_now(trail, "user")
    trail.given(*some_events(20, seed=2))
    assert switch(trail.projector, "user", UserProjector()) == (2, 1)
    assert [(each.live, each.position) for each in builds(trail, "user")] == [(True, 39), (False, 39)]
    trail.given(*some_events(20, seed=3))
    assert switch(trail.projector, "user", UserProjector(), to=2) == (1, 2)
    assert_same_positions(trail)
    with pytest.raises(ConfigurationError, match="build 2 of projection user is live"):
        switch(trail.projector, "user", UserProjector(), to=2)


def assert_same_positions(trail: Trail) -> None:
    before, live = builds(trail, "user")
    assert live.position >= before.position
    assert live.live


def test_a_build_of_other_code_is_served_only_as_it_is(trail: Trail) -> None:
    class Newer(UserProjector):
        version = UserProjector.version + 1

    trail.given(*some_events(20))
    rebuild_now(trail, "user", source=lambda: [Newer()])
    with pytest.raises(ConfigurationError, match="--stale"):
        switch(trail.projector, "user", Newer())
    assert switch(trail.projector, "user", Newer(), stale=True) == (2, 1)


def test_a_drop_waits_for_queries_that_are_older_and_never_takes_the_live_build(trail: Trail) -> None:
    trail.given(*some_events(20))
    with trail.reader.transaction(read_only=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        rebuild_now(trail, "user")
        with pytest.raises(UnavailableError, match="older than the switch"):
            drop(trail.projector, "user", wait_seconds=0.3)
        cursor.execute("SELECT count(*) FROM user_v3.user_action")
    with pytest.raises(ConfigurationError, match="is live"):
        drop(trail.projector, "user", number=2)
    assert drop(trail.projector, "user") == [1]
    assert drop(trail.projector, "user") == []
    assert [each.build for each in builds(trail, "user")] == [2]


def test_a_paused_projection_stays_paused_after_its_rebuild(trail: Trail) -> None:
    trail.given(*some_events(20))
    pause(trail.projector, "user")
    rebuild_now(trail, "user")
    assert [(each.live, each.paused) for each in builds(trail, "user")] == [(False, False), (True, True)]


def test_verify_finds_the_table_that_somebody_changed(trail: Trail) -> None:
    trail.given(*some_events(60))
    parts = parts_of(trail, Rebuilt())
    assert verify(parts, "user").different == []
    admin = psycopg2.connect(trail.url)
    with admin, admin.cursor() as cursor:
        cursor.execute("UPDATE user_v3.user_action SET events = events + 1 WHERE user_id = 'u1'")
    admin.close()
    found = verify(parts, "user")
    assert found.different == ["user_action"]
    assert found.position == 59
    assert len(builds(trail, "user")) == 1


class Changed(UserProjector):
    """The same tables from other code, in the middle of a rebuild."""

    def rows(self, events: Sequence[RecordedEvent]) -> Mapping[str, list[Row]]:
        return {"user_action": list(super().rows(events)["user_action"])}


def test_what_other_code_has_begun_is_not_gone_on_with(trail: Trail) -> None:
    trail.given(*some_events(20))

    def stop(step: str) -> None:
        if step.startswith("merging"):
            raise FencedError("stopped here")

    rebuilt = Rebuilt()
    rebuilt.told = Told(stop)
    with pytest.raises(FencedError):
        rebuild(parts_of(trail, rebuilt, source=lambda: [Changed()]), ["user"])
    assert [each.state for each in builds(trail, "user")] == ["ready", "indexing"]
    rebuild_now(trail, "user")
    assert_same(trail, UserProjector())
