"""Which processes of a service run, and which have ended without a word.

Each process holds a lock on a file of its own in the spool's folder `processes`. The lock ends with the process, in
whatever way that ends. The file of a process that did not stop in order stays, and tells the next start about it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import msgspec
from msgspec import Struct

from audit_trail_publisher.spool.connection import translated
from audit_trail_publisher.spool.file_lock import FileLock
from audit_trail_publisher.spool.folder import make_private

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SEEN_EVERY = 10.0
"""Seconds between two signs of life."""


class UncleanStop(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a process that did not stop in order."""

    process: int
    started_at: datetime
    last_seen_at: datetime
    """Within ten seconds before its end, by the clock of the machine."""
    boot_id: str = ""
    machine_restarted: bool = False
    """Whether the machine was started again since."""


class _Process(Struct, frozen=True):
    process: int
    started_at: datetime
    boot_id: str


class Presence:
    """The presence of this process among the processes of one spool."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "processes"
        self._own: FileLock | None = None
        self._seen_at = 0.0

    @property
    def begun(self) -> bool:
        """Whether this process has registered."""
        return self._own is not None

    def begin(self) -> tuple[bool, list[UncleanStop]]:
        """Register this process. Whether it is the only one, and which have ended without a word.

        `forget` them once they are recorded.
        """
        with translated(), self._alone():
            ended, running = self._others()
            own = FileLock(self._folder / f"{uuid4().hex}.json")
            own.acquire()
            try:
                own.path.write_bytes(msgspec.json.encode(_Process(os.getpid(), datetime.now(UTC), boot_id())))
            except BaseException:
                own.path.unlink(missing_ok=True)
                own.release()
                raise
            self._own = own
        return running == 0, [stop for _, stop in ended]

    def forget(self, stops: list[UncleanStop]) -> None:
        """The end of these processes is recorded."""
        with translated(), self._alone():
            for path, stop in self._others()[0]:
                if stop in stops:
                    path.unlink(missing_ok=True)

    def seen(self) -> None:
        """A sign of life, now and then."""
        if self._own is not None and time.monotonic() - self._seen_at > _SEEN_EVERY:
            self._seen_at = time.monotonic()
            os.utime(self._own.path)

    @contextmanager
    def ending(self) -> Iterator[bool]:
        """The end of this process: whether it is the last one. Nobody registers until the block ends."""
        if self._own is None:
            yield False
            return
        with translated(), self._alone():
            yield self._others()[1] == 0
            own, self._own = self._own, None
            own.path.unlink(missing_ok=True)
            own.release()

    def after_fork(self) -> None:
        """In a child, which has not registered."""
        if self._own is not None:
            self._own.forget()
            self._own = None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        make_private(self._folder.parent)
        make_private(self._folder)
        lock = FileLock(self._folder / "lock")
        lock.acquire(wait=True)
        try:
            yield
        finally:
            lock.release()

    def _others(self) -> tuple[list[tuple[Path, UncleanStop]], int]:
        """The files of processes that have ended, with what they say, and how many others run."""
        ended: list[tuple[Path, UncleanStop]] = []
        running = 0
        for path in sorted(self._folder.glob("*.json")):
            if self._own is not None and path == self._own.path:
                continue
            lock = FileLock(path)
            if lock.acquire():
                ended.append((path, _unclean_stop(path)))
                lock.release()
            else:
                running += 1
        return ended, running


def boot_id() -> str:
    """The id of this start of the machine; empty where the system has none."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


def _unclean_stop(path: Path) -> UncleanStop:
    seen = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    try:
        process = msgspec.json.decode(path.read_bytes(), type=_Process)
    except (msgspec.DecodeError, UnicodeDecodeError):  # it ended while it wrote the file
        return UncleanStop(process=0, started_at=seen, last_seen_at=seen)
    now = boot_id()
    return UncleanStop(
        process=process.process,
        started_at=process.started_at,
        last_seen_at=seen,
        boot_id=process.boot_id,
        machine_restarted=bool(now) and now != process.boot_id,
    )
