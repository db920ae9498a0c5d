"""Heads as files: the newest as `checkpoint`, and every published one in a folder of its day."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from domain.errors import UnavailableError
from event_store.heads import MOST_HEAD_BYTES, StoredHead


class HeadFolder:
    """A folder, best on a disk that the database's administrators can't write to."""

    name = "folder"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def published(self) -> Sequence[bytes]:
        """The newest one, and the last one of the newest day, should `checkpoint` have been put back."""
        try:
            newest = [self._folder / "checkpoint", *sorted(self._folder.glob("*-*-*/*.checkpoint"))[-1:]]
            return [_beginning(file) for file in newest if file.is_file()]
        except OSError as exc:
            raise UnavailableError(f"the folder of heads can't be read: {exc.strerror}") from exc

    def publish(self, head: StoredHead) -> None:
        """Write both files, each as a whole or not at all."""
        day = self._folder / f"{head.signed_at:%Y-%m-%d}"
        try:
            day.mkdir(parents=True, exist_ok=True)
            _replace(day / f"{head.size:020d}.checkpoint", head.checkpoint)
            _replace(self._folder / "checkpoint", head.checkpoint)
        except OSError as exc:
            raise UnavailableError(f"the folder of heads can't be written: {exc.strerror}") from exc


def _beginning(file: Path) -> bytes:
    """No head is longer, and what is cut does not verify."""
    with file.open("rb") as opened:
        return opened.read(MOST_HEAD_BYTES)


def _replace(file: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "wb") as temporary:
            temporary.write(data)
            temporary.flush()
            os.fchmod(temporary.fileno(), 0o644)  # heads hold nothing that is secret
            os.fsync(temporary.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
