"""The folders of a spool are for the user of the service alone: events are personal data."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from audit_trail_publisher.errors import ConfigurationError


def make_private(folder: Path) -> None:
    """Make `folder` when it is missing, for this user alone.

    Raises `ConfigurationError` for a folder in which anybody could put other files in the place of the spool's.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status, me = folder.stat(), os.geteuid()
    if status.st_mode & stat.S_IWOTH:
        raise ConfigurationError(
            "everybody can write into the folder of the spool: name a folder within it, which is made for this user"
            " alone"
        )
    if me and status.st_uid not in {0, me}:
        raise ConfigurationError("the folder of the spool belongs to another user")


def require_plain(file: Path) -> None:
    """Raise `ConfigurationError` when `file` is there, and is a link or no regular file."""
    try:
        status = file.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise ConfigurationError(f"{file.name} in the folder of the spool is a link, or no regular file")
