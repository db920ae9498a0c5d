"""The folder of all jobs, which several processes may share: one folder inside for each job, named by its id.

A process that will run a job, or runs it, holds the lock of its folder (flock). The system frees the lock when the
process ends, however it ends. So a job that waits or runs, and whose lock is free, was interrupted. No clock decides.

The data has its name only when it is complete, and the state says `done` only after that. A job disappears by one
rename; whatever a kill leaves is removed at the next sweep.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Self

import msgspec
import structlog
from msgspec.structs import replace

from domain.errors import ConfigurationError, ConflictError, Reason
from event_store.files.folders import Folder, settle
from queries.export_jobs.job import Job, JobState, Owner, is_id, of_prefix

log = structlog.get_logger(__name__)

INTERRUPTED = "interrupted by a restart: start it again"
MOST_OPEN = 5
"""Jobs of one person that wait or run."""
MOST_KEPT = 100
"""Jobs of one person in the list."""
DATA, PARTIAL, _STATE, _LOCK, _CANCEL = "data", "data.partial", "state.json", "lock", "cancel"
_NEW, _GONE = ".new-", ".gone-"
_MOST_STATE = 4 << 20


class HeldJob:
    """A job that this process will run, or runs. Nobody else changes it until `release`."""

    def __init__(self, folder: Folder, job: Job, keep: timedelta, held: ExitStack) -> None:
        self.job = job
        self.folder = folder
        self._keep = keep
        self._held = held

    @property
    def path(self) -> Path:
        """The path of its folder."""
        return self.folder.path

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody, in any process, has cancelled it."""
        return self.folder.state(_CANCEL) is not None

    def save(self, **changes: Any) -> None:
        """Change the state; it is on the disk when this returns."""
        self.job = replace(self.job, **changes)
        _save(self.folder, self.job)

    @contextmanager
    def writing(self) -> Iterator[IO[bytes]]:
        """The data, empty, under the name of incomplete data. It is on the disk at the end of the block."""
        with self.folder.open_file(PARTIAL, "wb") as file:
            yield file
            settle(file)

    def publish(self, name: str, at: datetime, **changes: Any) -> None:
        """Give the complete data its name, and end the job."""
        self.folder.rename(name, DATA)
        self.folder.settle()
        self.job = self.job.ended(JobState.DONE, at, self._keep, **changes)
        _save(self.folder, self.job)

    def fail(self, state: JobState, reason: str, at: datetime) -> None:
        """Remove all data and end the job. A disk that is full now has room for the state, but it may not."""
        _remove_data(self.folder)
        self.job = self.job.ended(state, at, self._keep, reason=reason)
        try:
            _save(self.folder, self.job)
        except OSError as exc:  # the next reader finds it interrupted
            log.error("export_job_state_unsaved", job=self.job.id, reason=exc.strerror)  # noqa: TRY400 - expected

    def release(self) -> None:
        """Let others change it."""
        self._held.close()


class JobFolder:
    """All jobs. `keep`: how long a file is kept. `most_bytes`: what all jobs together may occupy."""

    def __init__(self, folder: Folder, *, keep: timedelta, most_bytes: int, temporary: bool = False) -> None:
        self.keep = keep
        self.most_bytes = most_bytes
        self.temporary = temporary
        self._folder = folder

    @classmethod
    @contextmanager
    def opened(cls, path: Path, *, keep: timedelta, most_bytes: int) -> Iterator[Self]:
        """The folder at `path`, made if it is missing. Raises `ConfigurationError` when it can't be used."""
        path = path.absolute()
        try:
            folder = Folder.open(path) if path.exists() else Folder.make(path)
        except OSError as exc:
            raise _unusable(path, exc) from exc
        with folder:
            try:
                probe = f"{_NEW}{secrets.token_hex(8)}"
                folder.subfolder(probe).close()
                folder.remove_empty(probe)
            except OSError as exc:
                raise _unusable(path, exc) from exc
            yield cls(folder, keep=keep, most_bytes=most_bytes)

    def create(self, job: Job) -> HeldJob:
        """Make the folder of a new job, and hold it.

        Raises `ConflictError` when its owner has too many, or all together occupy too much, and `OSError`.
        """
        held = ExitStack()
        draft = f"{_NEW}{job.id}"
        try:
            with self._folder.locked(_LOCK, wait=True):
                self._require_room(job.owner)
                inner = held.enter_context(self._folder.subfolder(draft))
                inner.path = self._folder.path / job.id
                held.enter_context(inner.locked(_LOCK, wait=False))
                _save(inner, job)
                self._folder.rename(draft, job.id)
                self._folder.settle()
        except BaseException:
            held.close()
            with suppress(OSError):
                self._folder.remove_folder(draft)
            raise
        return HeldJob(inner, job, self.keep, held)

    def _require_room(self, owner: Owner) -> None:
        jobs = self.jobs(owner)
        if sum(job.is_open for job in jobs) >= MOST_OPEN:
            raise ConflictError(
                Reason.CONFLICT, f"you have {MOST_OPEN} exports that wait or run: wait for one, or cancel one"
            )
        if len(jobs) >= MOST_KEPT:
            raise ConflictError(Reason.CONFLICT, f"you have {MOST_KEPT} exports: delete one first")
        if self.used_bytes() >= self.most_bytes:
            raise ConflictError(Reason.CONFLICT, "the exports of all people take all the room that they may")

    def jobs(self, owner: Owner) -> list[Job]:
        """The jobs of one person, the newest first."""
        found = [self.job(name, owner) for name in of_prefix(self._folder.names(), owner)]
        return sorted((job for job in found if job), key=lambda job: (job.created_at, job.id), reverse=True)

    def job(self, id: str, owner: Owner) -> Job | None:
        """A job of this person; None for one of somebody else, and for a text that is no id."""
        if not is_id(id) or not id.startswith(owner.prefix):
            return None
        with self._inside(id) as inner:
            job = None if inner is None else self._settled(inner)
        return job if job is not None and job.owner == owner else None

    def request_cancel(self, job: Job) -> None:
        """Ask the process that holds the job to end it."""
        with self._inside(job.id) as inner:
            if inner is not None:
                inner.open_file(_CANCEL, "ab").close()

    def open_data(self, job: Job) -> IO[bytes] | None:
        """The complete file, open; None when it is gone."""
        with self._inside(job.id) as inner:
            if inner is None:
                return None
            try:
                file: IO[bytes] = inner.open_file(DATA, "rb")
            except FileNotFoundError:
                return None
            return file

    def count_download(self, job: Job) -> None:
        """Count a download, for the event of the deletion. A full disk does not stop a download."""
        with self._inside(job.id) as inner, suppress(OSError):
            if inner is not None:
                with inner.locked(_LOCK, wait=True):
                    if (found := _load(inner)) is not None:
                        _save(inner, replace(found, downloads=found.downloads + 1))

    def remove(self, job: Job) -> None:
        """Remove a job and its file from the disk."""
        self._remove(job.id)

    def used_bytes(self) -> int:
        """What the files of all jobs occupy together."""
        return self._folder.size()

    def sweep(self, now: datetime, expired: Callable[[Job], None]) -> None:
        """Delete what is over, and what a kill has left. `expired` records that a file is deleted, before it is.

        A file whose deletion can't be recorded stays until the next sweep. Nobody can download it any more.
        """
        with self._folder.locked(_LOCK, wait=True):  # nobody is making one
            for name in self._folder.names():
                if name.startswith((_NEW, _GONE)):
                    with suppress(FileNotFoundError):  # another process removes it too
                        self._folder.remove_folder(name)
        for name in filter(is_id, self._folder.names()):
            with self._inside(name) as inner:
                if inner is not None and self._is_over(inner, now, expired):
                    self._remove(name)

    def _is_over(self, inner: Folder, now: datetime, expired: Callable[[Job], None]) -> bool:
        """Whether a job can be forgotten. A finished one stays in the list for a while, without its file."""
        job = self._settled(inner)
        if job is None or job.expires_at is None or job.expires_at > now:
            return False
        if job.state is not JobState.DONE:
            return True
        try:
            with inner.locked(_LOCK, wait=False):
                job = _load(inner)
                if job is not None and job.state is JobState.DONE:
                    expired(job)
                    _remove_data(inner)
                    _save(inner, replace(job, state=JobState.EXPIRED, expires_at=now + self.keep))
        except BlockingIOError:
            pass  # another process does it
        return False

    def _settled(self, inner: Folder) -> Job | None:
        """The job. One that waits or runs, and is held by nobody, was interrupted: it has failed from now on."""
        job = _load(inner)
        if job is None or not job.is_open:
            return job
        try:
            with inner.locked(_LOCK, wait=False):
                job = _load(inner)  # it may have ended before the lock was free
                if job is None or not job.is_open:
                    return job
                job = job.ended(JobState.FAILED, datetime.now(UTC), self.keep, reason=INTERRUPTED)
                _remove_data(inner)
                with suppress(OSError):  # on a full disk it is found again
                    _save(inner, job)
        except BlockingIOError:
            pass
        return job

    @contextmanager
    def _inside(self, id: str) -> Iterator[Folder | None]:
        """The folder of a job; None when it is gone."""
        inner = self._folder.existing(id)
        if inner is None:
            yield None
            return
        with inner:
            yield inner

    def _remove(self, id: str) -> None:
        gone = f"{_GONE}{id}"
        with suppress(FileNotFoundError):
            self._folder.rename(id, gone)
            self._folder.settle()
            self._folder.remove_folder(gone)


def _unusable(path: Path, exc: OSError) -> ConfigurationError:
    return ConfigurationError(f"exports can't be kept in {path}: {exc.strerror or exc}")


def _save(folder: Folder, job: Job) -> None:
    folder.replace(_STATE, msgspec.json.encode(job))


def _load(folder: Folder) -> Job | None:
    try:
        return msgspec.json.decode(folder.read(_STATE, _MOST_STATE), type=Job)
    except (FileNotFoundError, msgspec.DecodeError):
        return None  # removed at this moment, or of another release


def _remove_data(folder: Folder) -> None:
    """Remove everything but the lock and the state."""
    for name in folder.names():
        if name in {_LOCK, _STATE}:
            continue
        try:
            folder.remove(name)
        except IsADirectoryError:
            folder.remove_folder(name)
