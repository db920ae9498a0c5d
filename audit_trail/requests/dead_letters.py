"""Carries out decisions on dead letters, in `ingest`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from eventsourcing.persistence import IntegrityError, OperationalError

from audit_trail.requests.worker import Attempt
from domain.dead_letter import Resolution
from domain.errors import FencedError, UnavailableError
from domain.operation_request import Kind
from event_store.dead_letters import DeadLetter
from ingest.dead_letters import DeadLetterDesk

_DECIDED = {Kind.REQUEUE: Resolution.REQUEUED, Kind.DISMISS: Resolution.DISMISSED}


class DeadLetterRequests:
    """Requeues and dismisses, as `audit-trail dead-letters` does. `open_desk` opens the desk that may decide."""

    def __init__(
        self, open_desk: Callable[[], DeadLetterDesk], publish: Callable[[DeadLetter], None]
    ) -> None:
        self._open_desk = open_desk
        self._publish = publish

    def __call__(self, attempt: Attempt) -> str:
        """The result in words."""
        try:
            with closing(self._open_desk()) as desk:
                return self._decide(desk, attempt)
        except OperationalError as exc:
            raise UnavailableError(str(exc)) from exc
        except IntegrityError as exc:
            raise FencedError("somebody else decided at the same time") from exc

    def _decide(self, desk: DeadLetterDesk, attempt: Attempt) -> str:
        request = attempt.request
        id = int(request.target)
        letter, state, by, reason = desk.show(id)
        # An attempt that was killed after its decision was stored is not repeated.
        decided = request.attempts > 1 and (state, by, reason) == (
            _DECIDED[request.kind],
            request.by,
            request.reason,
        )
        if request.kind is Kind.DISMISS:
            if not decided:
                desk.dismiss(id, by=request.by, reason=request.reason)
            return "it was dismissed"
        if not decided:
            desk.requeue(id, self._publish, by=request.by, reason=request.reason)
        return f"it was published again to topic {letter.topic}"
