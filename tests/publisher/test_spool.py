"""The spool keeps what it accepted, in order and with numbers without gaps, and drops nothing when it is full."""

from __future__ import annotations

import math
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import repeat
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from audit_trail_publisher.errors import ConfigurationError, SpoolFullError, SpoolUnavailableError
from audit_trail_publisher.identifiers import uuid7
from audit_trail_publisher.messages import Message, with_sequence
from audit_trail_publisher.relay.spool_backlog import SpoolBacklog
from audit_trail_publisher.spool import connection
from audit_trail_publisher.spool.file_lock import FileLock
from audit_trail_publisher.spool.spool import FILE, Spool
from audit_trail_publisher.transports.transport import Rejection
from tests.waiting import eventually

INSTANCE = ("patient-service", "a")


@pytest.fixture
def kept(spool: Path) -> Iterator[Spool]:
    found = Spool(spool, max_bytes=1 << 20, sequence=True)
    yield found
    found.close()


def message(key: str = "17", size: int = 0, instance: tuple[str, str] | None = INSTANCE) -> Message:
    body = b'{"source":{"service":"s"},"reason":"%s"}' % (b"x" * size)
    return Message(uuid7(), "record.read", key, body, instance)


def waiting(spool: Spool) -> list[Message]:
    return spool.head(10_000, 1 << 30)


def sequences(spool: Spool) -> list[int]:
    return [msgspec.json.decode(each.body)["source"]["sequence"] for each in waiting(spool)]


def test_events_wait_in_the_order_of_their_calls_and_survive_the_process(kept: Spool, spool: Path) -> None:
    added = [message() for _ in range(5)]
    for each in added:
        kept.add(each)
    kept.close()
    again = Spool(spool, max_bytes=1 << 20, sequence=True)
    assert [each.event_id for each in waiting(again)] == [each.event_id for each in added]
    assert again.status().events == 5
    assert again.spool_id() == kept.spool_id()
    again.close()


def test_threads_that_add_at_once_get_numbers_without_gaps(kept: Spool) -> None:
    def work() -> None:
        for _ in range(50):
            kept.add(message())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sequences(kept) == list(range(1, 401))
    assert kept.status().events == 400
    assert kept.status().bytes == sum(len(each.body) for each in waiting(kept))


def test_connections_that_open_a_new_spool_at_once_wait_for_each_other(tmp_path: Path) -> None:
    """SQLite itself does not wait while another connection gives the file its log."""

    def work(opened: connection.SpoolConnection, ready: threading.Barrier) -> bool:
        ready.wait()
        with closing(opened), opened.transaction() as database:
            return bool(database.execute("SELECT spool_id FROM spool").fetchone())

    with ThreadPoolExecutor(6) as pool:
        for attempt in range(100):
            file = tmp_path / str(attempt) / FILE
            ready = threading.Barrier(6)
            connections = [connection.SpoolConnection(file, "FULL") for _ in range(6)]
            assert all(pool.map(work, connections, repeat(ready)))


def test_several_processes_share_the_numbers_of_an_instance(spool: Path) -> None:
    """Here two connections, which SQLite keeps apart as it does those of two processes."""
    one, two = (Spool(spool, max_bytes=1 << 20, sequence=True) for _ in range(2))
    for at in range(20):
        (one if at % 3 else two).add(message())
    assert sequences(one) == list(range(1, 21))
    one.close()
    two.close()


def test_each_instance_has_its_own_numbers_and_numbers_are_optional(spool: Path, kept: Spool) -> None:
    kept.add(message())
    kept.add(message(instance=("patient-service", "b")))
    kept.add(message())
    assert sequences(kept) == [1, 1, 2]
    kept.add(message(instance=None))
    assert "sequence" not in msgspec.json.decode(waiting(kept)[-1].body)["source"]
    bare = Spool(spool, max_bytes=1 << 20, sequence=False)
    bare.add(message())
    assert "sequence" not in msgspec.json.decode(waiting(kept)[-1].body)["source"]
    bare.close()


def test_the_number_is_put_into_the_source_alone() -> None:
    """Whatever the event says elsewhere."""
    trap = b'{"type":"a","source":{"service":"s"},"reason":"\\"source\\":{","x":{"source":{}}}'

    decoded = msgspec.json.decode(with_sequence(trap, 7))
    assert decoded["source"] == {"sequence": 7, "service": "s"}
    assert decoded["x"] == {"source": {}}


def test_the_same_event_is_not_kept_twice_and_takes_no_second_number(kept: Spool) -> None:
    once = message()
    for each in (once, once, message()):
        kept.add(each)
    assert sequences(kept) == [1, 2]
    assert kept.status().events == 2


def test_a_full_spool_refuses_and_drops_nothing(spool: Path) -> None:
    small = Spool(spool, max_bytes=1000, sequence=True)
    added = []
    with pytest.raises(SpoolFullError, match="may hold 1000"):  # noqa: PT012 - one of the calls raises
        for _ in range(10):
            added.append(message(size=200))
            small.add(added[-1])
    assert 3 <= len(added) <= 5
    assert [each.event_id for each in waiting(small)] == [each.event_id for each in added[:-1]]
    small.settle(waiting(small), frozenset({added[0].event_id}), {})
    small.add(message(size=200))
    assert sequences(small) == list(range(2, len(added) + 1)), "a refused event takes no number"
    small.close()


def test_a_blocked_call_goes_on_when_there_is_room(spool: Path) -> None:
    small = Spool(spool, max_bytes=500, sequence=False)
    first, second = message(size=300), message(size=300)
    small.add(first)
    began = time.monotonic()
    with pytest.raises(SpoolFullError):
        small.add(second, wait=0.2)
    assert time.monotonic() - began >= 0.2
    done = threading.Event()

    def blocked() -> None:
        small.add(second, wait=math.inf)
        done.set()

    thread = threading.Thread(target=blocked)
    thread.start()
    assert not done.wait(0.1)
    small.settle([first], frozenset({first.event_id}), {})
    thread.join(20)
    assert done.is_set()
    assert [each.event_id for each in waiting(small)] == [second.event_id]
    small.close()


def test_a_full_disk_is_a_full_spool(kept: Spool) -> None:
    """SQLite reports both the same way: here the database may not grow."""
    kept.add(message())
    with kept._durable.reading() as database:
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(SpoolFullError, match="disk"):  # noqa: PT012 - one of the calls raises
        for _ in range(100):
            kept.add(message(size=4000))
    before = kept.status().events
    with kept._durable.reading() as database:
        database.execute("PRAGMA max_page_count = 1000000")
    kept.add(message())
    assert kept.status().events == before + 1
    assert sequences(kept) == list(range(1, before + 2))


def test_new_events_leave_the_relay_the_room_to_remove_what_was_sent(
    kept: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a full disk would stay full: to remove an event needs room as well."""
    kept.add(message())
    monkeypatch.setattr(connection, "RESERVE", 1 << 62)
    with pytest.raises(SpoolFullError, match="disk"):
        kept.add(message())
    [one] = waiting(kept)
    kept.settle([one], frozenset({one.event_id}), {})
    assert kept.status().events == 0
    monkeypatch.undo()
    kept.add(message())
    assert sequences(kept) == [2]


def test_an_interrupted_write_keeps_none_of_its_events(kept: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the threads that waited for it would believe that theirs are on the disk."""
    kept.add(message())
    results: list[BaseException | None] = []

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(kept._group), "_insert", interrupted)
        with pytest.raises(KeyboardInterrupt):
            kept.add(message())
    with kept._durable.lock:  # both wait, and one writes for both
        threads = [threading.Thread(target=lambda: results.append(_error(kept))) for _ in range(2)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(kept._group._waiting) == 2)
    for thread in threads:
        thread.join()
    assert results == [None, None]
    assert sequences(kept) == [1, 2, 3]


def _error(spool: Spool) -> BaseException | None:
    try:
        spool.add(message())
    except BaseException as exc:  # noqa: BLE001 - the test looks at it
        return exc
    return None


def test_rejected_events_stay_until_somebody_decides(kept: Spool) -> None:
    added = [message() for _ in range(4)]
    for each in added:
        kept.add(each)
    why = Rejection("conflict", "event_id", "taken")
    ids = [each.event_id for each in added]
    kept.settle(waiting(kept), frozenset({ids[0]}), {ids[1]: why, ids[2]: why, ids[3]: why})
    status = kept.status()
    assert (status.events, status.bytes, status.rejected, status.delivered) == (0, 0, 3, 1)
    assert [(each.event_id, each.reason, each.field) for each in kept.rejected(10)] == [
        (each, "conflict", "event_id") for each in ids[1:]
    ]
    assert msgspec.json.decode(kept.rejected(1)[0].body)["source"]["sequence"] == 2
    assert kept.rejection(ids[1]) == why
    assert kept.resend([ids[2], uuid4()]) == 1
    assert [each.event_id for each in waiting(kept)] == [ids[2]]
    assert kept.discard(ids[1], "n.operator", "sent by hand")
    assert not kept.discard(ids[1], "n.operator", "sent by hand")
    assert [each.event_id for each in kept.rejected(10)] == [ids[3]]
    assert kept.resend([]) == 1
    assert kept.status().events == 2
    assert kept.status().bytes == sum(len(each.body) for each in waiting(kept))


def test_an_event_that_was_rejected_and_recorded_again_is_counted_once(kept: Spool) -> None:
    """Its caller may repeat it. An operator who sends the rejected one again must not make the spool look fuller."""
    one = message(instance=None)
    kept.add(one)
    kept.settle([one], frozenset(), {one.event_id: Rejection("conflict", "", "")})
    kept.add(one)
    assert kept.resend([]) == 1
    assert (kept.status().events, kept.status().bytes) == (1, len(one.body))
    assert kept.rejected(10) == []


def test_a_batch_is_bounded_in_events_and_bytes_and_never_empty(kept: Spool) -> None:
    for _ in range(5):
        kept.add(message(size=1000))
    assert len(kept.head(3, 1 << 20)) == 3
    assert len(kept.head(10, 2500)) == 2
    assert len(kept.head(10, 10)) == 1


def test_the_files_of_a_spool_are_for_its_user_alone(kept: Spool, spool: Path) -> None:
    kept.add(message())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [spool, *spool.iterdir()]}
    assert modes == {"spool": 0o700, FILE: 0o600, f"{FILE}-wal": 0o600, f"{FILE}-shm": 0o600}


@pytest.mark.parametrize("name", [FILE, f"{FILE}-wal", f"{FILE}-shm"])
@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to], ids=["symlink", "hard link"])
def test_events_are_not_written_through_what_was_planted(
    spool: Path, server_folder: Path, name: str, plant: Callable[[Path, Path], None]
) -> None:
    elsewhere = server_folder / "elsewhere"
    elsewhere.touch()
    spool.mkdir()
    plant(spool / name, elsewhere)
    with pytest.raises(ConfigurationError, match="is a link"):
        Spool(spool, max_bytes=1 << 20, sequence=True).add(message())
    assert elsewhere.read_bytes() == b""


def test_a_folder_that_everybody_can_write_to_is_refused(spool: Path) -> None:
    spool.mkdir()
    spool.chmod(0o777)
    with pytest.raises(ConfigurationError, match="name a folder within it"):
        Spool(spool, max_bytes=1 << 20, sequence=True).add(message())
    assert list(spool.iterdir()) == []
    within = Spool(spool / "own", max_bytes=1 << 20, sequence=True)
    within.add(message())
    within.close()


def test_a_lock_is_not_taken_through_a_link(spool: Path, server_folder: Path) -> None:
    spool.mkdir()
    (spool / "relay.lock").symlink_to(server_folder / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        FileLock(spool / "relay.lock").acquire()
    assert not (server_folder / "elsewhere").exists()


def test_a_process_does_not_fork_while_its_relay_takes_the_lock(kept: Spool, spool: Path) -> None:
    """The child would hold the lock without knowing it, and nothing would be sent once the parent has ended."""
    spool.mkdir()
    taking, go_on = threading.Event(), threading.Event()

    def pauses() -> None:
        taking.set()
        go_on.wait(30)

    backlog = SpoolBacklog(kept, pauses)
    relay = threading.Thread(target=backlog.acquire)
    relay.start()
    assert taking.wait(30)
    fork = threading.Thread(target=backlog.before_fork)
    fork.start()
    fork.join(0.1)
    assert fork.is_alive(), "it waits"
    go_on.set()
    relay.join(30)
    fork.join(30)
    assert not fork.is_alive()
    assert not SpoolBacklog(kept, pauses).acquire(), "the parent has it"
    backlog.after_fork(child=False)
    backlog.release()


def test_an_event_is_on_the_disk_before_its_call_returns(kept: Spool) -> None:
    with kept._durable.reading() as database:
        assert database.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with kept._relay.reading() as database:
        assert database.execute("PRAGMA synchronous").fetchone() == (1,)  # NORMAL: what is lost is sent again


def test_the_locks_of_a_spool_hold_against_other_processes(kept: Spool, spool: Path) -> None:
    """The last connection to a database removes its log (WAL). Another process must see that it is not the last one.

    A process loses its POSIX locks on a file when it closes any descriptor of that file, as of a second `open`.
    """
    assert waiting(kept) == []
    kept.add(message())
    look = (
        "import sqlite3, sys; database = sqlite3.connect(sys.argv[1]);"
        "print(*database.execute('SELECT events FROM spool').fetchone())"
    )
    for events in (1, 2, 3):
        seen = subprocess.run(
            [sys.executable, "-c", look, spool / FILE], capture_output=True, text=True, check=True
        )
        assert seen.stdout == f"{events}\n"
        kept.add(message())


def test_a_spool_of_a_later_version_and_a_damaged_one_are_left_alone(spool: Path) -> None:
    spool.mkdir()
    with sqlite3.connect(spool / FILE) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(ConfigurationError, match="version 99"):
        Spool(spool, max_bytes=1000, sequence=True).add(message())
    damaged = b"this is no database" * 1000
    (spool / FILE).write_bytes(damaged)
    with pytest.raises(SpoolUnavailableError, match="SQLITE_NOTADB"):
        Spool(spool, max_bytes=1000, sequence=True).add(message())
    assert (spool / FILE).read_bytes() == damaged


def test_a_spool_that_is_removed_while_in_use_is_noticed(kept: Spool, spool: Path) -> None:
    kept.add(message())
    (spool / FILE).unlink()
    with pytest.raises(SpoolUnavailableError, match="removed or replaced"):
        kept.add(message())
    for left in spool.iterdir():
        left.unlink()
    kept.add(message())
    assert sequences(kept) == [1]


def test_a_folder_that_can_not_be_made_is_said(server_folder: Path) -> None:
    (server_folder / "file").write_bytes(b"")
    with pytest.raises(SpoolUnavailableError, match="Not a directory"):
        Spool(server_folder / "file" / "spool", max_bytes=1000, sequence=True).add(message())
