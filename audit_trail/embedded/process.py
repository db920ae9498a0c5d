"""A process that can't outlive its supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from audit_trail.embedded import watchdog
from domain.errors import ConfigurationError
from event_store.files.folders import Folder

WATCHDOG = Path(watchdog.__file__)
WATCHDOG_MARGIN = (
    10.0  # seconds beyond the grace period, for a watchdog on a machine that is short of processor time
)


class Account(NamedTuple):
    """An operating system account that a process runs as."""

    name: str
    uid: int
    gid: int


class WatchedProcess:
    """One command under a watchdog (`audit_trail.embedded.watchdog`): it ends when this process ends, even by SIGKILL.

    `log`: the file to which its standard output and error are appended; without it they go where those of this process
    go. `stop_signal` asks the command to end, and `grace` is the number of seconds until SIGKILL. The object can be
    started again after the command has ended.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        name: str = "",
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace: float = 30.0,
        account: Account | None = None,
    ) -> None:
        self.command = [os.fspath(part) for part in command]
        self.name = name or Path(self.command[0]).name
        self.log = log
        self.pid = 0
        self._environment = dict(environment) if environment is not None else None
        self._cwd = cwd
        self._stop_signal = stop_signal
        self._grace = grace
        self._account = account
        self._watchdog: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start the command and return once it runs; `pid` is its process id.

        Raises ConfigurationError when it can't be started, or already runs.
        """
        if self.running:
            raise ConfigurationError(f"{self.name} already runs as process {self.pid}")
        reader, writer = os.pipe()
        try:
            self._watchdog = self._spawn(writer)
        finally:
            os.close(writer)
        with os.fdopen(reader) as pid_line:
            self.pid = int(pid_line.read() or 0)
        if not self.pid:
            self.stop()
            raise ConfigurationError(f"{self.name} could not be started. {self.log_tail()}".strip())
        return self

    def _spawn(self, pid_fd: int) -> subprocess.Popen[bytes]:
        options = [f"--signal={self._stop_signal.name.removeprefix('SIG')}", f"--grace={self._grace}"]
        options.append(f"--pid-fd={pid_fd}")
        if self._account:
            options.append(f"--user={self._account.uid}:{self._account.gid}")
        output = _open_log(self.log) if self.log else None
        try:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", WATCHDOG, *options, "--", *self.command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=self._environment,
                cwd=self._cwd,
                pass_fds=(pid_fd,),
                start_new_session=True,
            )
        finally:
            if output:
                output.close()

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._watchdog is not None and self.poll() is None

    def poll(self) -> int | None:
        """The exit code (128 + n after signal n), or None while it runs or when it was never started."""
        code = self._watchdog.poll() if self._watchdog else None
        if code is not None:
            self.request_stop()
        return code

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; return the exit code. Raises TimeoutError after `timeout` seconds."""
        if self._watchdog is None:
            raise ConfigurationError(f"{self.name} was never started")
        try:
            code = self._watchdog.wait(timeout)
        except subprocess.TimeoutExpired as exc:
            raise TimeoutError(f"{self.name} still runs after {timeout} s") from exc
        self.request_stop()
        return code

    def request_stop(self) -> None:
        """Ask it to end and return at once, so that several processes can end at the same time.

        It closes the watchdog's pipe. It may be called again, also when the process has ended.
        """
        if self._watchdog and self._watchdog.stdin:
            self._watchdog.stdin.close()

    def stop(self) -> int | None:
        """End it, gracefully within the grace period, and wait for that; return the exit code."""
        if self._watchdog is None:
            return None
        self.request_stop()
        try:
            return self._watchdog.wait(self._grace + WATCHDOG_MARGIN)
        except subprocess.TimeoutExpired:
            self.send_signal(signal.SIGKILL)
            return self._watchdog.wait()

    def kill(self) -> None:
        """End it as a crash would, with SIGKILL, and wait until it is gone."""
        self.send_signal(signal.SIGKILL)
        self.stop()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the command itself, not to its watchdog. Does nothing when it has ended."""
        if self.running:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return  # it ended before the signal came

    def log_tail(self, lines: int = 20) -> str:
        """The last lines of its log file, for an error message; empty without a log file."""
        if self.log is None or not self.log.exists():
            return ""
        with self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 65536))
            text = file.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _open_log(path: Path) -> BinaryIO:
    """Open a log for its owner alone: a server may log data that others must not read."""
    if path == Path(os.devnull):
        return path.open("ab")
    with Folder.open(path.parent) as folder:
        opened: BinaryIO = folder.open_file(path.name, "ab")
        return opened
