"""PostgreSQL's files on disk: created once, owned by the server's account."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from audit_trail.embedded.accounts import give
from audit_trail.embedded.process import Account
from domain.errors import ConfigurationError

SUPERUSER = "postgres"


def prepare(cluster: Path, programs: Path, account: Account | None, *, durable: bool) -> None:
    """Make the cluster when there is none, and make sure that `account` (None: this user) owns it.

    `durable` writes a new one through to the disk. Raises ConfigurationError when that can't be done.
    """
    if cluster.exists():
        _take_ownership(cluster, account)
    else:
        _make(cluster, programs, account, durable=durable)


def _make(cluster: Path, programs: Path, account: Account | None, *, durable: bool) -> None:
    """Create the cluster, complete or not at all: initdb works under another name."""
    unfinished = cluster.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if account:
        give(unfinished, account)
    options = ["-U", SUPERUSER, "-E", "UTF8", "--locale=C", "--auth-local=trust", "--auth-host=reject"]
    if not durable:
        options.append("--no-sync")
    try:
        done = subprocess.run(
            [programs / "initdb", "-D", unfinished, *options, "--no-instructions"],
            capture_output=True,
            text=True,
            cwd=cluster.parent,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        raise ConfigurationError(f"initdb can't be started: {exc}") from exc
    if done.returncode:
        raise ConfigurationError(f"no database could be made in {cluster.parent}: {done.stderr.strip()}")
    unfinished.rename(cluster)


def _take_ownership(cluster: Path, account: Account | None) -> None:
    """Take over the files of another user's run, as root. Another user can't."""
    owner = cluster.stat().st_uid
    if account:
        if owner != account.uid:
            give(cluster, account)
    elif owner != os.geteuid():
        raise ConfigurationError(
            f"{cluster} belongs to user {owner}. Run as that user or as root, or name another data folder."
        )
