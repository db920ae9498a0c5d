"""The account of a server when Audit Trail runs as root, and the folders that this account can reach."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from audit_trail.embedded.process import Account
from domain.errors import ConfigurationError

UNPRIVILEGED = "nobody"


def unprivileged_account() -> Account | None:
    """The account for a server that refuses to run as root; None when this process is not root.

    It is `nobody` because every system has it: an account of our own would mean changing the machine's user database,
    which a container or a managed machine often forbids.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError as exc:
        raise ConfigurationError(
            f"As root, Audit Trail starts PostgreSQL as the account {UNPRIVILEGED}, which this machine lacks. "
            "Create it, or run Audit Trail as a user other than root."
        ) from exc
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def barrier(path: Path, account: Account) -> Path | None:
    """The first folder on the path, `path` included, that `account` may not enter, or None."""
    resolved = path.resolve()
    for folder in (*reversed(resolved.parents), resolved):
        if not _may_pass(folder.stat(), account):
            return folder
    return None


def _may_pass(status: os.stat_result, account: Account) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def give(folder: Path, account: Account) -> None:
    """Make `account` the owner of a folder and its contents. Raises ConfigurationError when that is refused.

    A file with a second hard link is refused: an earlier owner of the folder could have linked a file of root's.
    """
    try:
        for _, _, files, descriptor in os.fwalk(folder):
            os.chown(descriptor, account.uid, account.gid)
            for name in files:
                _give_file(name, descriptor, folder, account)
    except OSError as exc:
        raise ConfigurationError(
            f"{folder} can't be given to the account {account.name}: {exc}. Run Audit Trail as a user other than root."
        ) from exc


def _give_file(name: str, parent: int, folder: Path, account: Account) -> None:
    state = os.stat(name, dir_fd=parent, follow_symlinks=False)
    if stat.S_ISREG(state.st_mode) and state.st_nlink > 1:
        raise ConfigurationError(f"{name} in {folder} is a hard link to another file: remove it")
    os.chown(name, account.uid, account.gid, dir_fd=parent, follow_symlinks=False)
