"""A process that checks chunks: `python -m event_store.verify.worker`. It communicates by pickles over pipes.

Only its parent can write to it. It ends when its input ends, so also when the parent is killed. A separate process
imports only what it needs, whatever program runs the verification.
"""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

from domain.errors import AuditTrailError, UnavailableError
from event_store.database import Database
from event_store.tlog.notes import VerifierKey
from event_store.verify.chunks import ChunkTask, Result, check_chunk

APPLICATION = "audit-trail-verify"


class Start(NamedTuple):
    """The first message to a worker. The URL is sent over the pipe because other users can read command lines."""

    url: str
    role: str | None
    keys: tuple[VerifierKey, ...]


class Worker:
    """The parent's side. Not thread-safe."""

    def __init__(self, start: Start) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this very module
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._send(start)

    def check(self, task: ChunkTask) -> Result:
        """The result of a task. Raises the errors of the worker."""
        self._send(task)
        try:
            answer = pickle.load(self._process.stdout)  # type: ignore[arg-type]  # noqa: S301 - our own child's  # nosec B301
        except (EOFError, pickle.UnpicklingError) as exc:
            raise UnavailableError("a verification process ended unexpectedly; run it again") from exc
        if isinstance(answer, AuditTrailError):
            raise answer
        result: Result = answer
        return result

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _send(self, message: object) -> None:
        pipe = self._process.stdin
        try:
            pickle.dump(message, pipe)  # type: ignore[arg-type]
            pipe.flush()  # type: ignore[union-attr]
        except BrokenPipeError as exc:
            raise UnavailableError("a verification process ended unexpectedly; run it again") from exc


def main() -> None:
    """Answer tasks until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    start: Start = pickle.load(source)  # noqa: S301 - the parent's  # nosec B301
    database = Database(start.url, start.role, size=1, application_name=APPLICATION)
    while True:
        try:
            task: ChunkTask = pickle.load(source)  # noqa: S301 - the parent's  # nosec B301
        except EOFError:
            return
        pickle.dump(_answer(database, task, start.keys), sink)
        sink.flush()


def _answer(database: Database, task: ChunkTask, keys: Sequence[VerifierKey]) -> Result | AuditTrailError:
    try:
        return check_chunk(database, task, keys)
    except AuditTrailError as exc:
        return exc


if __name__ == "__main__":
    main()
