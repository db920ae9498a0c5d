"""Processes of a service share a spool, also forked ones, and the start of a service tells how it ended before."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from audit_trail_publisher.errors import SpoolUnavailableError
from audit_trail_publisher.presence import Presence, boot_id
from tests.publisher import service_process
from tests.publisher.conftest import Make
from tests.publisher.scripted_api import Event, ScriptedApi
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def start(spool: Path, api: ScriptedApi) -> Iterator[Start]:
    """`start(mode)`: a process of a service on the test's spool and API."""
    with ExitStack() as stack:

        def run(mode: str) -> subprocess.Popen[str]:
            paths = os.pathsep.join([str(ROOT), str(ROOT / "publisher"), os.environ.get("PYTHONPATH", "")])
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", service_process.__name__, mode, str(spool), api.url],
                    cwd=ROOT,
                    env=os.environ | {"PYTHONPATH": paths},
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            return process

        yield run


def of_records(events: list[Event]) -> list[str]:
    return [event["event_id"] for event in events if event["type"] == "record.read"]


def lifecycle(api: ScriptedApi) -> list[Event]:
    """Once each: a process that is killed may not have noted what the API has accepted."""
    once = {event["event_id"]: event for event in api.accepted}
    return [event for event in once.values() if event["type"].startswith("service.")]


def test_forked_processes_record_beside_their_parent(start: Start, api: ScriptedApi) -> None:
    process = start("forks")
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    promised = printed.split()
    assert len(promised) == len(set(promised)) == 10 + 100 + 10 + 4 * 20 + 2 * 5
    assert sorted(of_records(api.accepted)) == sorted(promised)
    assert [event["source"]["sequence"] for event in api.accepted] == list(range(1, len(promised) + 3))
    for patient in {event["patients"][0]["id"] for event in api.accepted if event.get("patients")}:
        mine = [e for e in api.accepted if e.get("patients") == [{"id": patient}]]
        assert [int(event["resources"][0]["id"]) for event in mine] == list(range(len(mine)))
    assert [event["type"] for event in lifecycle(api)] == ["service.started", "service.stopped"]


def test_no_thread_imports_a_module(spool: Path, api: ScriptedApi) -> None:
    """A process that is forked during an import has half of the module: its relay could never send."""
    code = (
        "import sys; from audit_trail_publisher import Publisher;"
        "trail = Publisher('s', spool=sys.argv[1], url=sys.argv[2], close_seconds=20.0);"
        "loaded = set(sys.modules); trail.start(); trail.close(); print(*sorted(set(sys.modules) - loaded))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, spool, api.url.replace("127.0.0.1", "localhost")],
        env=os.environ | {"PYTHONPATH": str(ROOT / "publisher")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "\n"
    assert len(api.accepted) == 2


def test_a_child_sends_when_its_parent_is_gone(start: Start, api: ScriptedApi) -> None:
    process = start("orphan")
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    *promised, last = printed.split()
    assert last == "sent"
    # The parent may have been killed between the answer of the API and its note of it.
    assert sorted(set(of_records(api.accepted))) == sorted(promised)
    assert len(promised) == 15


def test_start_and_stop_of_a_service_are_recorded_once(api: ScriptedApi, make: Make) -> None:
    one, two = (make(url=api.url, lifecycle=True, close_seconds=20.0) for _ in range(2))
    one.start()
    one.start()
    two.start()
    one.close()
    two.close()
    assert [event["type"] for event in api.accepted] == ["service.started", "service.stopped"]
    assert api.accepted[0]["actor"] == {"kind": "service", "id": "patient-service"}
    assert api.accepted[0]["attributes"] == {"boot_id": boot_id()}
    assert len(boot_id()) == 36


def test_an_unclean_stop_is_recognised_at_the_next_start(start: Start, api: ScriptedApi) -> None:
    process = start("hangs")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.kill()
    process.wait()
    for _ in range(2):
        assert start("works").wait(60) == 0
    assert [event["type"] for event in lifecycle(api)] == [
        *("service.started", "service.restarted", "service.stopped"),
        *("service.started", "service.stopped"),
    ]
    [stop] = lifecycle(api)[1]["attributes"]["unclean_stops"]
    assert stop["process"] == process.pid
    assert stop["boot_id"] == boot_id()
    assert "machine_restarted" not in stop
    assert stop["started_at"] <= stop["last_seen_at"] <= lifecycle(api)[1]["occurred_at"]


def test_a_start_of_the_machine_between_is_recognised(spool: Path) -> None:
    spool.mkdir()
    gone = Presence(spool)
    gone.begin()
    assert gone._own is not None
    own = gone._own.path
    own.write_text(own.read_text().replace(boot_id(), "an-earlier-one"))
    gone.after_fork()  # as the end of the process, it closes the file and says nothing
    next_one = Presence(spool)
    only, [stop] = next_one.begin()
    assert only
    assert stop.machine_restarted
    assert stop.boot_id == "an-earlier-one"
    assert Presence(spool).begin() == (False, [stop]), "until it is recorded"
    next_one.forget([stop])
    assert Presence(spool).begin() == (False, [])


def test_a_file_that_a_process_did_not_finish_is_no_obstacle(spool: Path) -> None:
    (spool / "processes").mkdir(parents=True)
    (spool / "processes" / "x.json").write_bytes(b'{"process":')
    (spool / "processes" / "y.json").write_bytes(b'{"process": 1, "boot_id": "\xff\xff"}')
    only, stops = Presence(spool).begin()
    assert (only, [stop.process for stop in stops]) == (True, [0, 0])


def test_a_process_that_can_not_register_leaves_no_trace_and_may_try_again(spool: Path) -> None:
    presence = Presence(spool)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))  # as a full disk: files can be made, and not written
    try:
        with pytest.raises(SpoolUnavailableError, match="too large"):
            presence.begin()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not presence.begun
    assert presence.begin() == (True, [])


def test_very_many_unclean_stops_are_one_event(spool: Path, api: ScriptedApi, make: Make) -> None:
    """A service that is killed again and again before its start is recorded must be able to start once more."""
    (spool / "processes").mkdir(parents=True)
    for at in range(6000):
        (spool / "processes" / f"{at:05}.json").touch()
        os.utime(spool / "processes" / f"{at:05}.json", (at, at))
    trail = make(url=api.url, lifecycle=True)
    trail.start()
    eventually(lambda: trail.health().spool_events == 0)
    [event] = api.accepted
    attributes = event["attributes"]
    assert (len(attributes["unclean_stops"]), attributes["unclean_stops_before"]) == (100, 5900)
    assert attributes["unclean_stops"][-1]["last_seen_at"].startswith("1970-01-01T01:39:59")
    trail.close()
    assert list((spool / "processes").glob("*.json")) == []


def test_a_forked_process_records_from_async_code(start: Start, api: ScriptedApi) -> None:
    """It has none of the threads of its parent, which has used all of them."""
    process = start("async")
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    promised = printed.split()
    assert len(promised) == 40
    assert sorted(of_records(api.accepted)) == sorted(promised)


def test_close_finishes_the_calls_of_async_code_that_have_begun(api: ScriptedApi, make: Make) -> None:
    trail = make(url=api.url, close_seconds=20.0)

    async def leaves() -> None:
        for at in range(50):
            trail.aio.record.read(resource=("Observation", str(at)), actor="dr-smith")
        trail.close()

    asyncio.run(leaves())
    assert len({event["event_id"] for event in api.accepted}) == 50


def test_a_process_that_registered_while_another_ends_is_not_overlooked(spool: Path) -> None:
    first, second = Presence(spool), Presence(spool)
    first.begin()
    second.begin()
    with first.ending() as last:
        assert not last
    with second.ending() as last:
        assert last
    with second.ending() as last:
        assert not last, "it has ended already"


def test_events_of_a_publisher_without_lifecycle_are_those_of_its_calls(api: ScriptedApi, make: Make) -> None:
    trail = make(url=api.url)
    trail.start()
    trail.user.logged_in(actor="dr-smith")
    eventually(lambda: trail.health().spool_events == 0)
    trail.close()
    assert [event["type"] for event in api.accepted] == ["user.logged_in"]


def test_a_fork_without_pythons_hooks_is_refused(make: Make, api: ScriptedApi, monkeypatch: Any) -> None:
    """A server written in C may fork so. What SQLite would then do is not defined."""
    trail = make(url=api.url)
    trail.user.logged_in(actor="dr-smith")
    pid = os.getpid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: pid + 1)
        with pytest.raises(Exception, match="lazy-apps"):
            trail.user.logged_in(actor="dr-smith")
    trail.user.logged_in(actor="dr-smith")
