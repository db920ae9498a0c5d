"""Where an export is put together: a folder beside its target, which survives a kill at any moment.

What the state file says is on the disk; anything beyond it is cut away when the export goes on. The finished file takes
its name by one rename, after its manifest: a file under the target's name is always whole and has its manifest.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from domain.errors import ConfigurationError
from projections.export import Snapshot

_FILE_MODE, _FOLDER_MODE = 0o600, 0o700
"""Exports hold personal data: they are their owner's alone."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How far an export is. `beyond` is the key of the last row, `size` the bytes of text, `parts` those of Parquet."""

    exported: str
    filter: dict[str, Any]
    format: str
    created_at: datetime
    snapshot: Snapshot
    beyond: list[Any] | None = None
    rows: int = 0
    size: int = 0
    parts: int = 0


class Work:
    """The folder of one export. Only one process at a time has it."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.manifest = target.with_name(f"{target.name}.manifest.json")
        self.folder = target.with_name(f"{target.name}.partial")
        self.data = self.folder / "data"
        self._state = self.folder / "state.json"

    @property
    def begun(self) -> bool:
        """Whether an export has kept a state here."""
        return self._state.exists()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and keep others out. Raises `ConfigurationError` when another export has it."""
        if not self.target.parent.is_dir():
            raise ConfigurationError(f"there is no folder {self.target.parent}")
        if self.target.exists() and not self.target.is_file():
            raise ConfigurationError(f"{self.target} is no file that could be replaced")
        self.folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        if self.folder.stat().st_uid != os.geteuid():
            raise ConfigurationError(f"{self.folder} belongs to somebody else")
        with _opened(self.folder / "lock", "ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise ConfigurationError(f"another export is writing {self.target}") from exc
            try:
                yield
            finally:
                if not self.begun:  # what was refused leaves nothing behind
                    shutil.rmtree(self.folder, ignore_errors=True)

    def state(self) -> State | None:
        """The state that was kept last, None when there is none or when its data has been moved away."""
        try:
            state = msgspec.json.decode(self._state.read_bytes(), type=State)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as exc:
            raise ConfigurationError(f"{self._state} can't be read; --force begins anew") from exc
        size = self.data.stat().st_size if self.data.exists() else 0
        return (
            None if size < state.size or any(not self.part(n).exists() for n in range(state.parts)) else state
        )

    def keep(self, state: State) -> None:
        """Replace the state file, on the disk before this returns. What it speaks of must be there already."""
        self.write(self._state, msgspec.json.encode(state))

    def part(self, number: int) -> Path:
        """A part of a Parquet export."""
        return self.folder / f"part-{number:06}.parquet"

    def write(self, path: Path, data: bytes) -> None:
        """A file that is either whole or not there."""
        fresh = path.with_name(f"{path.name}.new")
        with _opened(fresh, "wb") as file:
            file.write(data)
            settle(file)
        fresh.rename(path)

    def clear(self) -> None:
        """Begin anew; the lock stays."""
        for path in self.folder.iterdir():
            if path.name != "lock":
                path.unlink()

    @contextmanager
    def appending(self, size: int) -> Iterator[Any]:
        """The data file, cut to `size` bytes and open at its end."""
        with _opened(self.data, "ab") as file:
            file.truncate(size)
            yield file

    @contextmanager
    def replacing(self) -> Iterator[Any]:
        """The data file, empty."""
        with _opened(self.data, "wb") as file:
            yield file
            settle(file)

    def publish(self, manifest: bytes) -> None:
        """Give the data its name. An older export of that name goes first, so that no manifest stands beside another's
        data.
        """
        fresh = self.folder / "manifest.json"
        self.write(fresh, manifest)
        self.target.unlink(missing_ok=True)
        fresh.rename(self.manifest)
        self.data.rename(self.target)
        folder = os.open(self.target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        shutil.rmtree(self.folder)


def settle(file: Any) -> None:
    """What was written is on the disk when this returns."""
    file.flush()
    os.fsync(file.fileno())


def _opened(path: Path, mode: str) -> Any:
    """A file that has its mode before its first byte."""

    def private(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW, _FILE_MODE)

    return open(path, mode, opener=private)
