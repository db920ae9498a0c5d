"""Folders and settings for the servers of the tests: in memory where there is room, without the safety of a disk."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from audit_trail.embedded.postgres import EmbeddedPostgres

POSTGRES_VARIABLE = "AUDIT_TRAIL_TEST_POSTGRES"
"""The folder of another PostgreSQL that the tests run on, with `bin` in it."""

FAST = {
    # What a crash of the machine would lose costs time at every commit, and no test crashes the machine.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # The data folder may be in memory.
    "max_wal_size": "256MB",
}
_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder in it gets a name of its own
_ROOM = 4 << 30


def postgres_server(data_dir: Path, settings: Mapping[str, str] | None = None) -> EmbeddedPostgres:
    """A server of the PostgreSQL under test: the embedded one, or the one that POSTGRES_VARIABLE names."""
    return EmbeddedPostgres(data_dir, settings=settings, installation=_other_postgres())


def postgres_major() -> int:
    """The major version of the PostgreSQL under test."""
    other = _other_postgres()
    if other is None:
        return 18
    told = subprocess.run(
        [other / "bin" / "postgres", "--version"], capture_output=True, text=True, check=True
    )
    return int(re.findall(r"\d+", told.stdout)[0])


def _other_postgres() -> Path | None:
    folder = os.environ.get(POSTGRES_VARIABLE)
    return Path(folder) if folder else None


@contextmanager
def folder_for_servers() -> Iterator[Path]:
    """Like tmp_path, but one that a server can enter when the tests run as root and the server as another account.

    A copy of a database is 400 files, which take 0.2 s of processor time on a disk and 0.02 s in memory.
    """
    with tempfile.TemporaryDirectory(prefix="audit-trail-test-", dir=_memory()) as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


def _memory() -> Path | None:
    """Where files are kept in memory; None where that is small, as in a container, or runs no programs."""
    try:
        free = shutil.disk_usage(_MEMORY).free
        flags = os.statvfs(_MEMORY).f_flag
    except OSError:
        return None
    usable = free >= _ROOM and not flags & os.ST_NOEXEC and os.access(_MEMORY, os.W_OK)
    return _MEMORY if usable else None
