"""The work folder of an export, beside its target. It survives a kill at any moment.

Everything that the state file counts is on the disk; a resumed export cuts off the rest. The finished file gets its
name by one rename, after its manifest: a file under the target's name is always complete and has its manifest.

Others may write to the target's folder. So both folders are used through their descriptors, and a link in the place of
a file or folder of the export is never followed: see `event_store.files.folders`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import msgspec

from domain.errors import ConfigurationError
from event_store.files.folders import Folder, settle
from queries.export.pipeline import Snapshot

DATA, _STATE, _MANIFEST, _LOCK = "data", "state.json", "manifest.json", "lock"
_OURS = re.compile(
    r"lock|data|part-[0-9]{6,}\.parquet|state\.json|manifest\.json"
    r"|\.(part-[0-9]{6,}\.parquet|state\.json|manifest\.json)\.[0-9a-f]{16}"
)
"""The files that an export makes in its folder, and the drafts that a kill leaves. Nothing else is ever removed."""
_MOST_STATE = 64 << 20
"""The most bytes of a state or a manifest, which hold filters and the columns of a table."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How far an export is, as state.json. `beyond` is the key of the last row, `size` counts bytes of NDJSON or CSV.

    `parts` counts the parts of Parquet.
    """

    exported: str
    filter: dict[str, Any]
    format: str
    created_at: datetime
    snapshot: Snapshot
    beyond: list[Any] | None = None
    rows: int = 0
    size: int = 0
    parts: int = 0

    @property
    def after(self) -> tuple[Any, ...] | None:
        """The key of the last row, None before the first."""
        return None if self.beyond is None else tuple(self.beyond)


class Work:
    """The folder of one export, `target`.partial, used by one process at a time. Use it with `with`."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.manifest = target.with_name(f"{target.name}.manifest.json")
        self.folder = target.with_name(f"{target.name}.partial")
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Raise `ConfigurationError` when the target's folder is missing or can't be used."""
        if not self.target.parent.is_dir():
            raise ConfigurationError(f"there is no folder {self.target.parent}")
        self._around = self._open.enter_context(Folder.open(self.target.parent))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def begun(self) -> bool:
        """Whether an export has saved a state here."""
        return self._around.state(f"{self.folder.name}/{_STATE}") is not None

    @property
    def target_exists(self) -> bool:
        """Whether the target's name is taken, by a file, a link or anything else."""
        return self._around.state(self.target.name) is not None

    def finished(self) -> bytes | None:
        """The manifest of a finished export; None when there is none."""
        if not self._around.has_file(self.target.name) or not self._around.has_file(self.manifest.name):
            return None
        return self._around.read(self.manifest.name, _MOST_STATE)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and keep others out.

        Raises `ConfigurationError` when another export uses the folder, or when something that no export made is
        in its place.
        """
        for path in (self.target, self.manifest):
            self._around.has_file(path.name)
        with self._around.subfolder(self.folder.name) as self._inside:
            self._require_ours()
            try:
                with self._inside.locked(_LOCK, wait=False):
                    try:
                        yield
                    finally:
                        if not self._inside.has_file(_STATE):  # a refused export leaves nothing behind
                            self._remove()
            except BlockingIOError as exc:
                raise ConfigurationError(f"another export is writing {self.target}") from exc

    def _require_ours(self) -> None:
        for name in self._inside.names():
            if _OURS.fullmatch(name) is None:
                raise ConfigurationError(f"{self.folder} has files that no export made: remove that folder")
            self._inside.has_file(name)

    def state(self) -> State | None:
        """The state that was saved last; None when there is none, or when its data is missing."""
        if not self._inside.has_file(_STATE):
            return None
        try:
            state = msgspec.json.decode(self._inside.read(_STATE, _MOST_STATE), type=State)
        except msgspec.DecodeError as exc:
            raise ConfigurationError(f"{self.folder / _STATE} can't be read; --force starts again") from exc
        data = self._inside.state(DATA)
        size = data.st_size if data else 0
        missing = any(not self._inside.has_file(part_name(number)) for number in range(state.parts))
        return None if size < state.size or missing else state

    def keep(self, state: State) -> None:
        """Save the state; it is on the disk when this returns. The data that it counts must be there already."""
        self._inside.replace(_STATE, msgspec.json.encode(state))

    def keep_part(self, number: int, data: bytes) -> None:
        """Write a part of a Parquet export, completely or not at all."""
        self._inside.replace(part_name(number), data)

    def reading_part(self, number: int) -> Any:
        """A part of a Parquet export, open."""
        return self._inside.open_file(part_name(number), "rb")

    def clear(self) -> None:
        """Remove everything but the lock."""
        for name in self._inside.names():
            if name != _LOCK:
                self._inside.remove(name)

    @contextmanager
    def appending(self, size: int) -> Iterator[Any]:
        """The data file, cut to `size` bytes and open at its end."""
        with self._inside.open_file(DATA, "ab") as file:
            file.truncate(size)
            yield file

    @contextmanager
    def replacing(self) -> Iterator[Any]:
        """The data file, empty."""
        with self._inside.open_file(DATA, "wb") as file:
            yield file
            settle(file)

    def reading(self) -> Any:
        """The data file, open."""
        return self._inside.open_file(DATA, "rb")

    def publish(self, manifest: bytes) -> None:
        """Give the data its name.

        An older export of that name is removed first, so that no manifest stands beside another export's data.
        """
        self._inside.replace(_MANIFEST, manifest)
        for path in (self.target, self.manifest):
            self._around.has_file(path.name)
        self._around.remove(self.target.name)
        self._inside.rename(_MANIFEST, self.manifest.name, self._around)
        self._inside.rename(DATA, self.target.name, self._around)
        self._around.settle()
        self._remove()

    def _remove(self) -> None:
        for name in self._inside.names():
            self._inside.remove(name)
        self._around.remove_empty(self.folder.name)


def part_name(number: int) -> str:
    """The name of a part of a Parquet export."""
    return f"part-{number:06}.parquet"
