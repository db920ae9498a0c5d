"""The list of somebody's exports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from msgspec import Struct

from dashboard import links
from dashboard.explorer.export_offer import NAMES
from dashboard.explorer.matches import counted
from dashboard.explorer.ranges import Range
from dashboard.render import View
from dashboard.viewer import Moment, Viewer
from domain.errors import RejectedError, TooSlowError
from queries.export_jobs.job import Job, JobState
from queries.filters.event_filter import EventFilter
from queries.scoped.read_models import ScopedModels

_STATES = {
    JobState.WAITING: "Waits for its turn",
    JobState.RUNNING: "Runs",
    JobState.DONE: "Ready",
    JobState.FAILED: "Failed",
    JobState.CANCELLED: "Cancelled",
    JobState.EXPIRED: "Expired: nobody can download its file any more",
}


class ExportRow(Struct, frozen=True, kw_only=True):
    """A job. The links are empty for what can't be done with it."""

    at: Moment
    format: str
    chips: list[tuple[str, str]]
    explore: str
    state: str
    failed: bool
    progress: str
    done: int
    of: int
    bytes: int
    rows: int
    sha256: str
    as_of_position: int | None
    note: str
    reason: str
    expires: Moment | None
    file: str
    cancel: str
    delete: str


class ExportList(View, frozen=True, kw_only=True):
    """The page. `temporary`: the files are in a folder that ends with the server's process."""

    template: ClassVar[str] = "exports.html"
    live_template: ClassVar[str] = "exports_live.html"
    rows: list[ExportRow]
    running: bool
    temporary: bool


def export_list(viewer: Viewer, jobs: Sequence[Job], *, temporary: bool) -> ExportList:
    """The page of the viewer's jobs."""
    return ExportList(
        viewer=viewer,
        title="Exports",
        rows=[_row(viewer, job) for job in jobs],
        running=any(job.is_open for job in jobs),
        temporary=temporary,
    )


def rows_expected(
    models: ScopedModels, viewer: Viewer, wanted: EventFilter, times: Range, max_days: int
) -> int | None:
    """How many events match within the range, if the explorer would count them; blocks."""
    try:
        counts = counted(models, viewer, wanted, times.begin, times.end, max_days)
    except (RejectedError, TooSlowError):
        return None
    return None if counts is None else counts.events


def file_name(job: Job) -> str:
    """The name of the file that somebody downloads."""
    what = "audit-trail-evidence" if job.format.extension == "zip" else "audit-trail-events"
    return f"{what}-{_compact(job.created_at)}.{job.format.extension}"


def _compact(at: datetime) -> str:
    return at.strftime("%Y%m%dT%H%M%SZ")


def _row(viewer: Viewer, job: Job) -> ExportRow:
    state = JobState.EXPIRED if job.is_over(viewer.now) else job.state
    is_done = state is JobState.DONE
    return ExportRow(
        at=viewer.moment(job.created_at),
        format=NAMES[job.format],
        chips=[(name.replace("_", " "), _value(viewer, name, value)) for name, value in job.pairs],
        explore=links.explore(job.pairs),
        state=_STATES[state],
        failed=state is JobState.FAILED,
        progress=_progress(viewer, job),
        done=job.rows,
        of=job.of or 0,
        bytes=job.bytes,
        rows=job.rows,
        sha256=job.sha256,
        as_of_position=job.as_of_position,
        note=job.note,
        reason=job.reason,
        expires=viewer.moment(job.expires_at) if is_done and job.expires_at else None,
        file=links.export(job.id, "file") if is_done else "",
        cancel=links.export(job.id, "cancel") if job.is_open else "",
        delete="" if job.is_open else links.export(job.id, "delete"),
    )


def _value(viewer: Viewer, name: str, value: str) -> str:
    """A value of the filter. The ends of the range are times with an offset, as the explorer gives them."""
    if name not in {"from", "to"} or "T" not in value:
        return value
    at = datetime.fromisoformat(value)
    return value if at.tzinfo is None else viewer.moment(at).local


def _progress(viewer: Viewer, job: Job) -> str:
    if job.state is not JobState.RUNNING:
        return ""
    what = f"{viewer.locale.number(job.rows)} events {'proved' if job.step else 'read'}"
    return f"{what}, of about {viewer.locale.number(job.of)}" if job.of is not None else what
