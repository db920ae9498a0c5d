"""The data folder of a server, locked by one supervisor at a time."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from domain.errors import ConfigurationError
from event_store.files.folders import Folder

PASSABLE = 0o711
"""Permissions of a new folder: other accounts may pass through it, but not list it. Existing folders keep theirs."""


class ServerFolder:
    """A folder and its lock. The kernel frees the lock however the supervisor ends.

    So a server that still runs in the folder when another supervisor gets the lock is an orphan, and may be stopped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._held = ExitStack()

    def acquire(self) -> None:
        """Create the folder when it is absent, and lock it.

        Raises ConfigurationError when another supervisor has locked it, or when others may write to it.
        """
        try:
            with ExitStack() as holding:
                folder = holding.enter_context(Folder.make(self.path, PASSABLE))
                folder.require_own()
                holding.enter_context(folder.locked("lock", wait=False))
                self._held = holding.pop_all()
        except BlockingIOError as exc:
            raise ConfigurationError(
                f"{self.path} is in use by another Audit Trail; stop that, or name another data folder"
            ) from exc
        except OSError as exc:
            raise ConfigurationError(f"the data folder {self.path} can't be used: {exc.strerror}") from exc

    def release(self) -> None:
        """Unlock the folder."""
        self._held.close()


def write_file(path: Path, text: str, permissions: int = 0o644) -> None:
    """Write a file of a server's folder, complete or not at all, and follow no link.

    Raises `ConfigurationError`.
    """
    try:
        with Folder.open(path.parent) as folder:
            folder.replace(path.name, text.encode(), permissions)
    except OSError as exc:
        raise ConfigurationError(f"{path} can't be written: {exc.strerror}") from exc
