"""Heads as files: the newest as `checkpoint`, and every published head in a folder of its day."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from domain.errors import UnavailableError
from event_store.files.folders import Folder
from event_store.heads import MAX_HEAD_BYTES, StoredHead

_NEWEST = "checkpoint"
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PUBLIC_FILE, _PUBLIC_FOLDER = 0o644, 0o755
"""Heads contain no secrets."""


class HeadFolder:
    """A folder, preferably on a disk that the database administrators can't write to. Links in it are not followed."""

    name = "folder"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def published(self) -> Sequence[bytes]:
        """The newest head, and the last head of the newest day, in case `checkpoint` was replaced by an older one."""
        if not self._folder.exists():
            return []
        try:
            with Folder.open(self._folder, follow=False) as folder:
                newest = [folder.read(_NEWEST, MAX_HEAD_BYTES)] if folder.has_file(_NEWEST) else []
                return [*newest, *_last(folder)]
        except OSError as exc:
            raise UnavailableError(f"the folder of heads can't be read: {exc.strerror}") from exc

    def publish(self, head: StoredHead) -> None:
        """Write both files, each atomically.

        Raises `ConfigurationError` when a link or another special file is in the way.
        """
        try:
            with Folder.make(self._folder, _PUBLIC_FOLDER) as folder:
                with folder.subfolder(f"{head.signed_at:%Y-%m-%d}", _PUBLIC_FOLDER) as day:
                    day.replace(f"{head.size:020d}.{_NEWEST}", head.checkpoint, _PUBLIC_FILE)
                folder.replace(_NEWEST, head.checkpoint, _PUBLIC_FILE)
        except OSError as exc:
            raise UnavailableError(f"the folder of heads can't be written: {exc.strerror}") from exc


def _last(folder: Folder) -> Iterator[bytes]:
    for name in reversed([name for name in folder.names() if _DAY.fullmatch(name)]):
        with folder.subfolder(name) as day:
            heads = [
                each for each in day.names() if each.endswith(f".{_NEWEST}") and not each.startswith(".")
            ]
            if heads:
                yield day.read(heads[-1], MAX_HEAD_BYTES)
                return
