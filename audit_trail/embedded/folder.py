"""The folder that a server keeps its data in, held by one supervisor at a time."""

from __future__ import annotations

import fcntl
from io import TextIOWrapper
from pathlib import Path

from domain.errors import ConfigurationError


class ServerFolder:
    """A folder and its lock. The kernel frees the lock however the supervisor ends.

    So who gets the lock knows that a server which still runs in the folder is an orphan, and may stop it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: TextIOWrapper | None = None

    def acquire(self) -> None:
        """Create the folder when absent, and hold it. Raises ConfigurationError when another supervisor does."""
        _create(self.path)
        lock = (self.path / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            lock.close()
            raise ConfigurationError(
                f"{self.path} is in use by another Audit Trail; stop that, or name another data folder"
            ) from exc
        self._lock = lock

    def release(self) -> None:
        """Let others have it."""
        if self._lock:
            self._lock.close()
            self._lock = None


def _create(folder: Path) -> None:
    """What we create ourselves other accounts may pass through, but not list; what was there stays as it is."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        for each in reversed(missing):
            each.mkdir(exist_ok=True)
            each.chmod(0o711)
    except OSError as exc:
        raise ConfigurationError(f"the data folder {folder} can't be created: {exc}") from exc
