"""Requests of operators: what was asked for, how far it is, and what it waits for."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from msgspec import Struct

from dashboard.render import View
from dashboard.texts import duration
from dashboard.viewer import Moment, Viewer
from domain.operation_request import Kind, OperationRequest, State
from queries.operations import RequestState, WorkerState

_ALIVE = timedelta(seconds=30)
"""A worker gives a sign of life every 2 seconds."""
_WORDS = {
    Kind.REBUILD: "Rebuild of projection {target}",
    Kind.REQUEUE: "Requeue of dead letter {target}",
    Kind.DISMISS: "Dismissal of dead letter {target}",
}


class RequestRow(Struct, frozen=True, kw_only=True):
    """One request in words. `waits` says what an open request waits for; empty when it is being done, or has ended."""

    id: int
    link: str
    text: str
    state: str
    failed: bool
    open: bool
    by: str
    roles: str
    reason: str
    requested_at: Moment
    finished_at: Moment | None
    said: str
    waits: str
    attempts: int
    about_link: str


class RequestPage(View, frozen=True, kw_only=True):
    """One request, followed live until its end."""

    template: ClassVar[str] = "request.html"
    live_template: ClassVar[str] = "request_live.html"
    row: RequestRow


def request_row(request: OperationRequest, worker: WorkerState | None, viewer: Viewer) -> RequestRow:
    """A request as a page writes it. `worker` is the process of its part; None if none was ever seen."""
    by = request.requester
    return RequestRow(
        id=request.id,
        link=f"/operations/requests/{request.id}",
        text=_WORDS[request.kind].format(target=request.target),
        state=request.state.value,
        failed=request.state is State.FAILED,
        open=request.is_open,
        by=by.name or request.by,
        roles=", ".join(by.roles),
        reason=request.reason,
        requested_at=viewer.moment(request.requested_at),
        finished_at=None if request.finished_at is None else viewer.moment(request.finished_at),
        said=request.progress if request.result is None else request.result,
        waits=_waits(request, worker) if request.is_open else "",
        attempts=request.attempts,
        about_link="" if request.kind is Kind.REBUILD else f"/operations/dead-letters/{request.target}",
    )


def _waits(request: OperationRequest, worker: WorkerState | None) -> str:
    """What a request waits for. Nothing is promised for a part that is not running."""
    part = request.kind.part
    if worker is None:
        kafka = ", or it has no Kafka settings" if request.kind is Kind.REBUILD else ""
        return f"waits for `{part}`, which was never seen: it does not run{kafka}"
    if worker.unseen >= _ALIVE:
        return f"waits for `{part}`; it was last seen {duration(worker.unseen)} ago, on {worker.host}"
    return f"`{part}` takes it within seconds" if request.state is State.REQUESTED else ""


def request_page(found: RequestState, viewer: Viewer) -> RequestPage:
    """The page of one request."""
    row = request_row(found.request, found.worker, viewer)
    return RequestPage(viewer=viewer, title=row.text, row=row)
