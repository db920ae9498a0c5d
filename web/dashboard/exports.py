"""The routes of exports: start one, list, cancel, download, delete. Everybody sees the own ones alone."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import IO, Any
from urllib.parse import parse_qsl

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from dashboard.explorer.addresses import RANGE
from dashboard.explorer.export_offer import why_not
from dashboard.explorer.ranges import range_of
from dashboard.exports import export_list, file_name, rows_expected
from dashboard.viewer import Viewer
from domain.access.coverage import covers
from domain.access.grants import Operation
from domain.errors import AccessDeniedError, ConflictError, Reason, RejectedError
from domain.read_audit.events import Stage
from domain.read_audit.export_files import deleted_event, expired_event
from domain.read_audit.query_log import LoggedQuery
from queries.export.manifest import query_of
from queries.export.request import ExportRequest
from queries.export_jobs.job import Job, JobFormat, JobState, new_id, owner_of
from queries.export_jobs.runner import ExportJobs
from queries.filters.event_filter import during
from queries.thread_pool import Threads
from web.dashboard.addresses import filter_of_pairs
from web.dashboard.host import Host
from web.parameters.filter_query import renamed
from web.read_audit.access_record import AccessRecord, AccessRecorder, access_record_of
from web.read_audit.export_record import JobRecord
from web.settings import WebSettings

log = structlog.get_logger(__name__)

_PATH = "/exports"
_PIECE = 1 << 20
_NOT_FOUND = "There is no such export, or it is not yours."
_LOST = (
    "This file was made with rights that you don't have any more. Export again: the new file has what you may see"
    " now."
)


class ExportPages:
    """The pages of exports. Without `recorder`, which is for tests only, nothing is recorded."""

    def __init__(
        self,
        host: Host,
        jobs: ExportJobs,
        recorder: AccessRecorder | None,
        settings: WebSettings,
    ) -> None:
        self._host = host
        self._access = host.access
        self._threads = host.threads
        self._jobs = jobs
        self._recorder = recorder
        self._max_days = settings.limits.max_unindexed_days

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route(_PATH, self.list, methods=["GET"]),
            Route(_PATH, self.begin, methods=["POST"]),
            Route(f"{_PATH}/{{id}}/file", self.file, methods=["GET"]),
            Route(f"{_PATH}/{{id}}/cancel", self.cancel, methods=["POST"]),
            Route(f"{_PATH}/{{id}}/delete", self.delete, methods=["POST"]),
        ]

    def start(self) -> None:
        """Begin to delete what is over. Only on the event loop."""
        self._jobs.start(partial(self._record_expiry, loop=asyncio.get_running_loop()))

    async def close(self) -> None:
        """End all jobs of this process."""
        await asyncio.to_thread(self._jobs.close)

    async def list(self, request: Request) -> Response:
        """The own jobs. Opening the page is recorded, and its updates are not: they tell nothing of any event."""
        viewer = await self._exporter(request)
        jobs = await self._threads.run(self._jobs.folder.jobs, owner_of(viewer.principal))
        record = access_record_of(request)
        if record is not None and "part" not in request.query_params:
            record.query_log.add("own_exports", {}, len(jobs))
        return await self._host.shown(
            request, export_list(viewer, jobs, temporary=self._jobs.folder.temporary)
        )

    async def begin(self, request: Request) -> Response:
        """Start a job with the filter and the range of the explorer, and show the list.

        The start is recorded before the job exists.
        """
        viewer = await self._exporter(request)
        form = parse_qsl((await request.body()).decode("utf-8", "replace"))
        pairs = [pair for pair in form if pair[0] != "format"]
        format = _format(dict(form).get("format", ""), viewer)
        times = range_of(pairs, viewer)
        filter = filter_of_pairs([pair for pair in pairs if pair[0] not in RANGE])
        try:
            wanted = ExportRequest(format=format.rows, filter=during(filter, times.begin, times.end))
            scoped = await self._access.export_of(request, wanted)
            models = await self._access.models_of(request)
            expected = await self._threads.run(
                rows_expected, models, viewer, wanted.filter, times, self._max_days
            )
        except RejectedError as exc:
            raise renamed(exc) from exc
        owner = owner_of(viewer.principal)
        id = new_id(owner)
        job = Job(
            id=id,
            owner=owner,
            format=format,
            pairs=tuple(pairs),
            query=query_of(wanted) | {"format": format.value},
            grants=viewer.scope.grants(Operation.EXPORT),
            created_at=viewer.now,
            of=expected,
        )
        access_record = self._background_record(request)
        record = None if access_record is None else JobRecord(access_record, job.query | {"job": id})
        if access_record is not None:
            started = LoggedQuery("export", job.query | {"job": id}, 0)
            await access_record.write_queries([started], stage=Stage.STARTED)
        try:
            await self._threads.run(self._jobs.submit, job, scoped.request, scoped, record)
        except (ConflictError, OSError) as exc:
            if record is not None:
                await self._threads.run(record.ended, 0, "not started")
            if isinstance(exc, ConflictError):
                raise
            log.error("export_job_not_started", reason=exc.strerror)  # noqa: TRY400 - a full disk is no defect
            return self._host.notice(
                request, 503, "Not now", f"The export could not be started: {exc.strerror}."
            )
        return self._host.to(_PATH)

    async def cancel(self, request: Request) -> Response:
        """End a job that waits or runs."""
        _, job = await self._own(request)
        if job is None:
            return self._host.not_found(request, _NOT_FOUND)
        if job.is_open:
            await self._threads.run(self._jobs.cancel, job)
        return self._host.to(_PATH)

    async def delete(self, request: Request) -> Response:
        """Delete a job and its file. The deletion of a file is recorded first."""
        viewer, job = await self._own(request)
        if job is None:
            return self._host.not_found(request, _NOT_FOUND)
        if job.is_open:
            raise ConflictError(Reason.CONFLICT, "the export still runs: cancel it first")
        if job.state is JobState.DONE and self._recorder is not None:
            details = self._recorder.open(request.scope).details()
            event = deleted_event(job.id, _file(job), viewer.principal, details, self._recorder.source)
            await self._recorder.recording.keep([event])
        await self._threads.run(self._jobs.folder.remove, job)
        return self._host.to(_PATH)

    async def file(self, request: Request) -> Response:
        """The file. It is sent if the rights of now include those with which it was made, and once it is recorded.

        Raises `UnavailableError` without the database.
        """
        viewer, job = await self._own(request)
        if job is None or job.state is not JobState.DONE or job.is_over(viewer.now):
            return self._host.not_found(request, _NOT_FOUND)
        # While the trail can't be asked, a session that another process has ended is still accepted.
        models = await self._access.models_of(request)
        await self._threads.run(models.positions)
        record = access_record_of(request)
        if not covers(viewer.scope.grants(Operation.EXPORT), job.grants):
            if record is not None:
                record.query_log.deny("download_export", job.described())
            return self._host.notice(request, 403, "You may not see this", _LOST)
        file = await self._threads.run(self._jobs.folder.open_data, job)
        if file is None:
            return self._host.not_found(request, _NOT_FOUND)
        if record is not None:
            record.query_log.add("download_export", job.described(), job.rows)
        await self._threads.run(self._jobs.folder.count_download, job)
        return _Download(job, file, self._threads, record)

    def _record_expiry(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        """Record that the file of a job is deleted; blocks. Raises `UnrecordedError`."""
        if self._recorder is None:
            return
        event = expired_event(job.id, _file(job), datetime.now(UTC), self._recorder.source)
        asyncio.run_coroutine_threadsafe(self._recorder.recording.keep([event]), loop).result()

    async def _exporter(self, request: Request) -> Viewer:
        viewer = await self._host.viewer_of(request)
        viewer.scope.require(Operation.EXPORT)
        return viewer

    async def _own(self, request: Request) -> tuple[Viewer, Job | None]:
        """The job in the path, if it is one of the viewer's."""
        viewer = await self._exporter(request)
        id = request.path_params["id"]
        return viewer, await self._threads.run(self._jobs.folder.job, id, owner_of(viewer.principal))

    def _background_record(self, request: Request) -> AccessRecord | None:
        """The access record of the job, which goes on after the request."""
        principal = request.scope["state"]["principal"]
        return None if self._recorder is None else self._recorder.open(request.scope, principal)


class _Download(Response):
    """A file, piece by piece. It is closed at the end, also when nothing could be sent."""

    def __init__(self, job: Job, file: IO[bytes], threads: Threads, record: AccessRecord | None) -> None:
        digest = base64.b64encode(bytes.fromhex(job.sha256)).decode()
        super().__init__(
            media_type=job.format.media_type,
            headers={
                "Content-Disposition": f'attachment; filename="{file_name(job)}"',
                "Repr-Digest": f"sha-256=:{digest}:",  # RFC 9530, section 3
            },
        )
        self.headers["Content-Length"] = str(job.bytes)
        self._file = file
        self._threads = threads
        self._record = record

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Send it, unless its download could not be recorded."""
        with self._file as file:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            more = scope["method"] != "HEAD"
            while more and not (self._record is not None and self._record.withheld):
                piece = await self._threads.run(file.read, _PIECE)
                more = bool(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": more})


def _format(text: str, viewer: Viewer) -> JobFormat:
    try:
        format = JobFormat(text)
    except ValueError as exc:
        raise RejectedError(Reason.INVALID_FIELD, "choose a format", field="format") from exc
    why = why_not(format, viewer)
    if why and format is JobFormat.EVIDENCE:
        raise AccessDeniedError(Operation.EXPORT)
    if why:
        raise ConflictError(Reason.INVALID_FIELD, why.rstrip("."), field="format")
    return format


def _file(job: Job) -> Mapping[str, Any]:
    return job.described() | {"downloads": job.downloads}
