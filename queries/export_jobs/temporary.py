"""A private temporary folder for the jobs of one process. The next start removes what a killed process has left."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from domain.errors import ConfigurationError
from event_store.files.folders import Folder
from queries.export_jobs.job_folder import JobFolder

_PREFIX = "audit-trail-exports-"
_LOCK = "process"


@contextmanager
def temporary_folder(*, keep: timedelta, most_bytes: int) -> Iterator[JobFolder]:
    """The folder, removed at the end. Raises `ConfigurationError` when there can't be one."""
    _remove_left()
    try:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
    except OSError as exc:
        raise ConfigurationError(f"there can be no temporary folder for exports: {exc.strerror}") from exc
    try:
        with Folder.open(path) as folder, folder.locked(_LOCK, wait=True):
            yield JobFolder(folder, keep=keep, most_bytes=most_bytes, temporary=True)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _remove_left() -> None:
    """Remove the folders of this user whose process has ended: a process holds the lock of its own."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError, ConfigurationError), Folder.open(path, follow=False) as folder:
            folder.require_own()
            if not folder.names():
                continue  # made at this moment
            with folder.locked(_LOCK, wait=False):
                shutil.rmtree(path)
