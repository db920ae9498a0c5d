"""Runs jobs in threads of their own, at most two at once, and deletes what is over.

A job runs in the process that accepted it, with the rights that its owner had then. Another process that shares the
folder can only ask for its end.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import structlog

from domain.errors import (
    AuditTrailError,
    ConfigurationError,
    LogInconsistentError,
    RejectedError,
    TooSlowError,
    UnavailableError,
    UnrecordedError,
    origin,
)
from queries.export.pipeline import Export, ExportAccess, Exports
from queries.export.record import ExportRecord
from queries.export.request import ExportRequest
from queries.export_jobs.job import Job, JobFormat, JobState
from queries.export_jobs.job_folder import INTERRUPTED, PARTIAL, HeldJob, JobFolder
from queries.export_jobs.making import Kits, Progress, Room, chosen_events, write_evidence, write_rows

log = structlog.get_logger(__name__)

MOST_RUNNING = 2
"""Jobs at once in one process."""
SWEEP_SECONDS = 60.0
_LOOK_SECONDS = 0.5
"""How often it looks for jobs that another process wants cancelled."""
_CLOSE_SECONDS = 0.05
_CANCELLED = "cancelled"
_FULL_CODES = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL = "the disk for exports is full: delete others, or start it again later"
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (UnrecordedError, "it could not be recorded what this export discloses: start it again later"),
    (TooSlowError, "the database took too long: choose a shorter range of times"),
    (UnavailableError, "the database was away: start it again"),
)
"""The first that fits."""
_UNEXPECTED = "an unexpected error; it is in the server's log"


class _StoppedError(Exception):
    """The job was cancelled, or the process ends."""


class _Work:
    """A job that this process has accepted. `stop` is why it must end, if it must."""

    def __init__(
        self, held: HeldJob, request: ExportRequest, access: ExportAccess | None, record: ExportRecord | None
    ) -> None:
        self.held = held
        self.request = request
        self.access = access
        self.record = record
        self.stop = ""
        self.export: Export | None = None

    def stop_if_asked(self) -> None:
        if self.stop:
            raise _StoppedError

    def end(self, why: str) -> None:
        """Ask it to end; a running statement of the database ends at once."""
        self.stop = self.stop or why
        if self.export is not None:
            self.export.cancel()


class ExportJobs:
    """The jobs of one process. `kits` makes evidence kits; `close` ends them all."""

    def __init__(self, exports: Exports, folder: JobFolder, kits: Kits) -> None:
        self.folder = folder
        self._exports = exports
        self._kits = kits
        self._threads = ThreadPoolExecutor(MOST_RUNNING, "export-job")
        self._work: dict[str, _Work] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._watch: threading.Thread | None = None

    def start(self, expired: Callable[[Job], None]) -> None:
        """Begin to delete what is over. `expired` records a deletion, before it happens; it may raise."""
        self._watch = threading.Thread(
            target=self._keep_watch, args=(expired,), name="export-jobs", daemon=True
        )
        self._watch.start()

    def submit(
        self,
        job: Job,
        request: ExportRequest,
        access: ExportAccess | None = None,
        record: ExportRecord | None = None,
    ) -> None:
        """Accept a job: it runs when a thread is free. Raises `ConflictError` and `OSError`, see `JobFolder.create`.

        `request` has the scope of `access`. `record` is written in a thread of the job.
        """
        work = _Work(self.folder.create(job), request, access, record)
        with self._lock:
            self._work[job.id] = work
        try:
            self._threads.submit(self._run, work)
        except RuntimeError:  # the process ends
            self._fail(work, JobState.FAILED, INTERRUPTED)
            self._release(work)

    def cancel(self, job: Job) -> None:
        """End a job that waits or runs, in whichever process."""
        self.folder.request_cancel(job)
        with self._lock:
            work = self._work.get(job.id)
            if work is not None:
                work.end(_CANCELLED)

    def close(self) -> None:
        """End all jobs of this process: they have failed, and say why. The caller closes the folder."""
        self._ending.set()
        if self._watch is not None:
            self._watch.join()
        # Repeated: between two statements of a job there is nothing to cancel.
        while self._work:
            with self._lock:
                for work in self._work.values():
                    work.end(INTERRUPTED)
            time.sleep(_CLOSE_SECONDS)
        self._threads.shutdown()

    def _run(self, work: _Work) -> None:
        held = work.held
        try:
            if work.stop:
                if work.record is not None:
                    work.record.ended(0, work.stop)
                raise _StoppedError  # noqa: TRY301 - the same end as of a running job
            held.save(state=JobState.RUNNING, began_at=datetime.now(UTC))
            facts = self._make(work)
            held.publish(PARTIAL, datetime.now(UTC), **facts)
        except Exception as exc:  # noqa: BLE001 - the top of a job: its owner is told, and the process lives on
            state = JobState.CANCELLED if work.stop == _CANCELLED else JobState.FAILED
            self._fail(work, state, work.stop or _reason(exc))
        finally:
            self._release(work)

    def _make(self, work: _Work) -> dict[str, Any]:
        held, room = work.held, Room(self.folder.used_bytes, self.folder.most_bytes)
        progress = Progress(held, work.stop_if_asked)
        with self._exports.open(work.request, access=work.access, record=work.record) as export:
            with self._lock:
                work.export = export
            try:
                work.stop_if_asked()
                snapshot = export.snapshot
                held.save(as_of_position=snapshot.as_of_position, log_size=snapshot.log_size)
                if held.job.format is not JobFormat.EVIDENCE:
                    return write_rows(held, export, room, progress)
                positions = chosen_events(export, progress)
            finally:
                with self._lock:
                    work.export = None
        held.save(step="proving", rows=0, of=len(positions))
        return write_evidence(held, positions, snapshot.as_of_position, self._kits, room, progress)

    def _fail(self, work: _Work, state: JobState, reason: str) -> None:
        try:
            work.held.fail(state, reason, datetime.now(UTC))
        except OSError as exc:
            log.error("export_job_not_removed", job=work.held.job.id, reason=exc.strerror)  # noqa: TRY400 - expected

    def _release(self, work: _Work) -> None:
        with self._lock:
            del self._work[work.held.job.id]
            work.held.release()

    def _keep_watch(self, expired: Callable[[Job], None]) -> None:
        looks = 0
        while not self._ending.is_set():
            if looks % round(SWEEP_SECONDS / _LOOK_SECONDS) == 0:
                self._sweep(expired)
            looks += 1
            self._ending.wait(_LOOK_SECONDS)
            with self._lock:
                for work in self._work.values():
                    if work.stop or work.held.is_cancelled:
                        work.end(_CANCELLED)

    def _sweep(self, expired: Callable[[Job], None]) -> None:
        try:
            self.folder.sweep(datetime.now(UTC), expired)
        except (OSError, AuditTrailError) as exc:
            log.warning("export_jobs_not_swept", **origin(exc))


def _reason(exc: Exception) -> str:
    """Why a job failed, for its owner. It holds nothing of the server's inside."""
    for kind, said in _REASONS:
        if isinstance(exc, kind):
            return said
    cause = exc if isinstance(exc, OSError) else exc.__cause__
    if isinstance(cause, OSError):
        return _FULL if cause.errno in _FULL_CODES else f"the file could not be written ({cause.strerror})"
    if isinstance(exc, RejectedError | LogInconsistentError | ConfigurationError):
        return str(exc)
    log.error("export_job_failed", **origin(exc))
    return _UNEXPECTED
