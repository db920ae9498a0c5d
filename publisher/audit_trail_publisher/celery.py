"""Celery 5: a task knows who has asked for it, and its failure is an event."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from celery import signals

from audit_trail_publisher.context import Context, current_context, dump_context, load_context, set_context
from audit_trail_publisher.errors import PublisherError
from audit_trail_publisher.generated.event import Actor, Outcome, Request
from audit_trail_publisher.options import require_choice
from audit_trail_publisher.trail import Trail

log = logging.getLogger(__name__)

HEADER = "audit_trail"
"""The header of a message with the context of its sender."""
METHOD = "TASK"
"""The method in the `request` of a task's event; its path is the task's name."""
_UID = "audit_trail"
_AROUND = "_audit_trail_around"

Record = Literal["failures", "all"]


class TaskAudit:
    """Carries the context from the sender of a task to its worker, and records tasks as `api.called`.

    ::

        TaskAudit(trail).install()  # in the module that both the senders and the workers import

    The context (actor, session, client, correlation id, purpose of use) is a header of the message: who can write to
    the broker can name any actor. A task that has no such header, as one of a schedule, acts as the service itself.

    `record`: `failures` records a task that failed, was killed or ran into its time limit, but no retry; `all` records
    those that succeeded as well. Arguments and results are never recorded. Celery logs an error of a signal's receiver
    and goes on: an event that can't be kept is logged here.
    """

    def __init__(self, trail: Trail, *, record: Record = "failures") -> None:
        require_choice("record", record, Record)
        self._trail = trail
        self._record = record

    def install(self) -> None:
        """Listen to Celery's signals. A second call, of any object, replaces the first."""
        receivers = [
            (signals.before_task_publish, self._send),
            (signals.task_prerun, self._begin),
            (signals.task_postrun, self._end),
            (signals.task_failure, self._failed),
        ]
        if self._record == "all":
            receivers.append((signals.task_success, self._succeeded))
        for signal, receiver in receivers:
            signal.disconnect(dispatch_uid=_UID)
            signal.connect(receiver, weak=False, dispatch_uid=_UID)

    def _send(self, headers: dict[str, Any] | None = None, **_: Any) -> None:
        if headers is not None:
            headers.setdefault(HEADER, dump_context())

    def _begin(self, task: Any, **_: Any) -> None:
        task.request.__dict__[_AROUND] = current_context()
        if not task.request.is_eager:  # the caller's own context holds
            set_context(self._context_of(task.request))

    def _end(self, task: Any, **_: Any) -> None:
        around = task.request.__dict__.pop(_AROUND, None)
        if around is not None:
            set_context(around)

    def _failed(
        self, sender: Any, task_id: str | None = None, exception: BaseException | None = None, **_: Any
    ) -> None:
        # The exception's text, and the arguments, may be about a patient.
        self._keep(sender, task_id, Outcome.SERIOUS_FAILURE, type(exception).__name__)

    def _succeeded(self, sender: Any, **_: Any) -> None:
        self._keep(sender, sender.request.id, Outcome.SUCCESS)

    def _keep(self, task: Any, task_id: str | None, outcome: Outcome, reason: str | None = None) -> None:
        # A worker's main process reports a killed task, and has not begun it.
        context = current_context() if task.request.is_eager else self._context_of(task.request)
        fields: dict[str, Any] = {
            "actor": context.actor or self._trail.itself,
            "session": context.session,
            "client": context.client,
            "correlation_id": context.correlation_id or task_id,
            "request": Request(method=METHOD, path=task.name),
            "outcome": outcome,
            "outcome_reason": reason,
        }
        try:
            self._trail.durable.api.called(**{name: value for name, value in fields.items() if value})
        except PublisherError as exc:
            log.error("the event of a task could not be recorded: %s", exc)  # noqa: TRY400 - it quotes no values

    def _context_of(self, request: Any) -> Context:
        carried = request.get(HEADER)
        if isinstance(carried, Mapping):
            try:
                return self._acting(load_context(carried), request)
            except msgspec.ValidationError:
                log.warning("the header %s of a task is not valid", HEADER)
        return self._acting(Context(), request)

    def _acting(self, context: Context, request: Any) -> Context:
        actor: Actor = context.actor or self._trail.itself
        return msgspec.structs.replace(
            context, actor=actor, correlation_id=context.correlation_id or request.id
        )
