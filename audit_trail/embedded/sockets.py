"""A private folder with a short path for a server's Unix socket."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from audit_trail.embedded.accounts import barrier, give
from audit_trail.embedded.folder import write_file
from audit_trail.embedded.process import Account
from domain.errors import ConfigurationError
from event_store.files.folders import Folder, read_file

PREFIX = "audit-trail-"
PATH_LIMIT = (
    85  # bytes; the kernel allows 107 (sun_path in unix(7)), and PostgreSQL adds "/.s.PGSQL.5432.lock"
)
RANDOM_PART = 8  # characters that mkdtemp adds
_MOST_BYTES = 4096


class SocketFolder:
    """The folder, mode 0700. Its path is chosen once, so that a server's address outlives a restart.

    `record` is a file that keeps the path, so that the next run can remove what a killed one left behind. The folder
    is made in the temporary folder, or in `fallback` when that one's path is too long or closed to `account`.
    """

    def __init__(self, record: Path, fallback: Path) -> None:
        self._record = record
        self._fallback = fallback
        self._path: Path | None = None

    @property
    def path(self) -> Path:
        """The folder. Raises ConfigurationError before it was first made."""
        if self._path is None:
            raise ConfigurationError("the embedded PostgreSQL has no URL before its first start")
        return self._path

    def make(self, account: Account | None) -> None:
        """Make the folder, owned by `account`."""
        remove_left_behind(self._record)
        if self._path is None:
            self._path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._parent(account)))
        else:
            self._path.mkdir(mode=0o700)
        write_file(self._record, str(self._path))
        if account:
            give(self._path, account)

    def remove(self) -> None:
        """Remove the folder and what is in it."""
        if self._path:
            shutil.rmtree(self._path, ignore_errors=True)

    def _parent(self, account: Account | None) -> Path:
        for candidate in (Path(tempfile.gettempdir()), self._fallback):
            short = len(os.fsencode(candidate / PREFIX)) + RANDOM_PART <= PATH_LIMIT
            if short and not (account and barrier(candidate, account)):
                return candidate
        raise ConfigurationError(
            "the temporary folder's path is too long for a socket, or closed to the server; set TMPDIR"
        )


def remove_left_behind(record: Path) -> None:
    """Remove the folder that a killed run recorded. Only what is certainly ours: someone may have edited the record."""
    try:
        path = Path(read_file(record, _MOST_BYTES).decode())
    except (OSError, ConfigurationError, UnicodeDecodeError):
        return
    if not path.name.startswith(PREFIX):
        return
    with suppress(OSError, ConfigurationError), Folder.open(path, follow=False) as folder:
        for name in folder.names():
            if name.startswith(".s.PGSQL."):
                folder.remove(name)
        path.rmdir()  # refused by the system when it is not empty
