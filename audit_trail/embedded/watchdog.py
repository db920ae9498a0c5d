"""Run one command, and stop it when its supervisor is gone.

    python -m audit_trail.embedded.watchdog [--signal INT] [--grace SECONDS] -- COMMAND...

A supervisor that is killed with SIGKILL can't stop the command. So the command is a child of this watchdog, whose
standard input is a pipe from the supervisor: the kernel closes the pipe however the supervisor ends. At the end of that
file, or at SIGTERM, the watchdog sends the stop signal, waits for the grace period, and then sends SIGKILL.

It exits with the command's code, 128 + n after signal n, or 127 when the command could not be started. It imports only
the standard library, so that it can run isolated (`-I -S`) and starts in a few milliseconds.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from types import FrameType

NOT_STARTED = 127
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` name; return the exit code of this process."""
    options = _parser().parse_args(arguments)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    stop_signal = signal.Signals[f"SIG{options.signal}"]
    wake = _Wake()
    try:
        child = _start(command, options.user, stop_signal)
    except (OSError, subprocess.SubprocessError) as exc:
        sys.stderr.write(f"{command[0] if command else 'no command'}: cannot be started: {exc}\n")
        return NOT_STARTED
    if options.pid_fd is not None:
        os.write(options.pid_fd, f"{child.pid}\n".encode())
        os.close(options.pid_fd)
    _wait_for_end(child, wake)
    code = _stop(child, stop_signal, options.grace)
    return code if code >= 0 else 128 - code


class _Wake:
    """Signals, turned into bytes of a pipe, so that one select() waits for them and for standard input."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self.stop_wanted = False
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._request_stop)

    def _request_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stop_wanted = True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="watchdog", description="Run a command until the supervisor is gone."
    )
    parser.add_argument(
        "--signal", default="TERM", choices=("TERM", "INT", "QUIT"), help="signal that stops it"
    )
    parser.add_argument("--grace", type=float, default=30.0, help="seconds between that signal and SIGKILL")
    parser.add_argument("--user", type=_ids, help="UID:GID to run the command as")
    parser.add_argument("--pid-fd", type=int, help="descriptor to write the command's process id to")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    return parser


def _ids(text: str) -> tuple[int, int]:
    user, group = text.split(":")
    return int(user), int(group)


def _start(
    command: Sequence[str], user: tuple[int, int] | None, stop_signal: signal.Signals
) -> subprocess.Popen[bytes]:
    """Start the command in a session of its own, so that a terminal's Ctrl-C reaches the supervisor alone."""
    if not command:
        raise FileNotFoundError("no command given")
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        user=user[0] if user else None,
        group=user[1] if user else None,
        extra_groups=[] if user else None,
        preexec_fn=_end_with_parent(stop_signal),  # noqa: PLW1509 - the watchdog has one thread
    )


def _end_with_parent(stop_signal: signal.Signals) -> Callable[[], None] | None:
    """On Linux, the command gets the stop signal also when the watchdog itself is killed."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)

    def set_parent_death_signal() -> None:
        library.prctl(PR_SET_PDEATHSIG, int(stop_signal), 0, 0, 0)

    return set_parent_death_signal


def _wait_for_end(child: subprocess.Popen[bytes], wake: _Wake) -> None:
    """Return when the command has ended, when a stop is asked for, or when the supervisor is gone."""
    while child.poll() is None and not wake.stop_wanted:
        readable, _, _ = select.select([0, wake.reader], [], [])
        if wake.reader in readable:
            os.read(wake.reader, 4096)
        if 0 in readable and not os.read(0, 4096):
            return


def _stop(child: subprocess.Popen[bytes], stop_signal: signal.Signals, grace: float) -> int:
    if child.poll() is None:
        child.send_signal(stop_signal)
    try:
        return child.wait(grace)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
