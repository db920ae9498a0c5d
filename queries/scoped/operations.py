"""What operators watch and decide, within the scope of one principal.

Roles without `read_messages` get no message: neither value nor key and headers, of which each may be about a patient.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from domain.access.grants import Operation
from domain.access.message_outline import outline
from domain.access.scope import Scope
from domain.errors import Reason, RejectedError
from domain.operation_request import MAX_REASON, Kind, OperationRequest
from domain.read_audit.query_log import QueryLog
from event_store.dead_letters import DeadLetter
from event_store.operation_requests import NewRequest, WorkerState
from queries.operations import (
    BuildInfo,
    Cosignature,
    FailingService,
    HeadPlace,
    Letter,
    LetterCounts,
    LetterPage,
    LogVerification,
    OpenFindings,
    Operations,
    RequestState,
    Source,
)

PAGE = 50
_NEEDED = {
    Kind.REBUILD: Operation.REBUILD,
    Kind.REQUEUE: Operation.DECIDE_DEAD_LETTERS,
    Kind.DISMISS: Operation.DECIDE_DEAD_LETTERS,
}


class ShownLetter:
    """One dead letter as the principal sees it. `outline` instead of the message, which is then None."""

    def __init__(self, found: Letter, *, whole: bool) -> None:
        letter = found.letter
        self.sizes = {
            "message": letter.value_cut.size if letter.value_cut else len(letter.value or b""),
            "key": letter.key_cut.size if letter.key_cut else len(letter.key or b""),
        }
        self.headers = len(letter.headers)
        self.whole = whole
        self.outline = [] if whole or letter.batch or letter.value_cut else outline(letter.value)
        self.can_be_requeued = letter.batch is None and not letter.is_cut
        self.found = found if whole else found._replace(letter=_without_message(letter))

    @property
    def letter(self) -> DeadLetter:
        """The dead letter."""
        return self.found.letter


def _without_message(letter: DeadLetter) -> DeadLetter:
    return replace(letter, value=None, key=None, headers=())


class ScopedOperations:
    """The methods of `Operations` for one principal. Every method blocks, and raises `AccessDeniedError`."""

    def __init__(
        self,
        operations: Operations,
        scope: Scope,
        query_log: QueryLog,
        patients_named: Callable[[DeadLetter], list[str]],
    ) -> None:
        self._operations = operations
        self._scope = scope
        self._query_log = query_log
        self._patients_named = patients_named

    def may(self, operation: Operation) -> bool:
        """Whether any role allows the operation."""
        return self._scope.may(operation)

    def live_builds(self) -> dict[str, BuildInfo]:
        """As `ScopedModels.projections`, not recorded: it holds no event data."""
        self._scope.require(Operation.READ_STATUS)
        return self._operations.live_builds()

    def sources(self) -> list[Source]:
        """The services that report, and when each was last heard: names of programs, and no event."""
        self._scope.require(Operation.READ_STATUS)
        return self._operations.sources()

    def failing_services(self) -> list[FailingService]:
        """The services that are down now."""
        self._scope.require(Operation.READ_STATUS)
        return self._operations.failing_services()

    def places(self) -> list[HeadPlace]:
        """Where signed heads are published."""
        self._require_integrity()
        return self._operations.places()

    def cosignatures(self) -> list[Cosignature]:
        """What witnesses have signed."""
        self._require_integrity()
        return self._operations.cosignatures()

    def verification(self) -> tuple[LogVerification | None, OpenFindings | None]:
        """How far the guard has verified the log, and what it has found."""
        self._require_integrity()
        return self._operations.verification(), self._operations.open_findings()

    def last_recorded(self) -> datetime | None:
        """When the newest event of all was recorded."""
        self._scope.require(Operation.READ_STATUS)
        return self._operations.last_recorded()

    def letter_counts(self) -> LetterCounts:
        """How many dead letters there are; not recorded, because it reveals no message."""
        self._scope.require(Operation.READ_DEAD_LETTERS)
        return self._operations.letter_counts()

    def letters(
        self, *, before: int | None = None, reason: Reason | None = None, topic: str | None = None
    ) -> LetterPage:
        """A page of dead letters, the newest first, without their messages."""
        asked: dict[str, Any] = {"before": before, "reason": reason and reason.value, "topic": topic}
        self._require(Operation.READ_DEAD_LETTERS, "dead_letters", asked)
        found = self._operations.letters(before=before, limit=PAGE, reason=reason, topic=topic)
        given = {name: value for name, value in asked.items() if value is not None}
        self._query_log.add("dead_letters", given, len(found.rows))
        return found

    def letter(self, id: int) -> ShownLetter | None:
        """One dead letter: whole for those who may read messages, else its outline."""
        self._require(Operation.READ_DEAD_LETTERS, "dead_letter", {"id": id})
        return self._shown("dead_letter", id, whole=self._scope.may(Operation.READ_MESSAGES))

    def message(self, id: int) -> ShownLetter | None:
        """One dead letter whole."""
        self._require(Operation.READ_MESSAGES, "dead_letter_message", {"id": id})
        return self._shown("dead_letter_message", id, whole=True)

    def _shown(self, query: str, id: int, *, whole: bool) -> ShownLetter | None:
        found = self._operations.letter(id)
        patients = self._patients_named(found.letter) if found is not None and whole else []
        self._query_log.add(query, {"id": id}, int(found is not None), patients)
        return None if found is None else ShownLetter(found, whole=whole)

    def ask(self, kind: Kind, target: str, reason: str) -> OperationRequest:
        """Ask for an operation. Raises `RejectedError` for what the person can correct."""
        self._require(_NEEDED[kind], kind.value, {"target": target})
        principal = self._scope.principal
        text = reason.strip()
        if not text:
            raise RejectedError(Reason.MISSING_FIELD, "say why: the reason is kept for ever", field="reason")
        if len(text) > MAX_REASON or not all(each.isprintable() or each in "\r\n\t" for each in text):
            raise RejectedError(
                Reason.INVALID_FIELD, f"at most {MAX_REASON} characters of text", field="reason"
            )
        if not target.isprintable():
            raise RejectedError(Reason.INVALID_FIELD, "not the name of a projection", field="projection")
        if kind is Kind.REQUEUE:
            self._refuse_incomplete(target)
        new = NewRequest(kind, target, text, principal.actor, principal.session)
        return self._operations.request(new)

    def _refuse_incomplete(self, target: str) -> None:
        found = self._operations.letter(int(target))
        if found is not None and not ShownLetter(found, whole=True).can_be_requeued:
            raise RejectedError(
                Reason.INVALID_FIELD,
                "only a part of this message is kept, so it can't be published again: dismiss it",
                field="requeue",
            )

    def requests(self, before: int | None = None) -> list[OperationRequest]:
        """The newest requests of all."""
        self._scope.require(Operation.READ_DEAD_LETTERS)
        return self._operations.requests(PAGE, before)

    def request_state(self, id: int) -> RequestState | None:
        """One request."""
        self._scope.require(Operation.READ_DEAD_LETTERS)
        return self._operations.request_state(id)

    def workers(self) -> dict[str, WorkerState]:
        """The processes that carry out requests."""
        self._scope.require(Operation.READ_STATUS)
        return self._operations.workers()

    def _require_integrity(self) -> None:
        self._scope.require(Operation.READ_STATUS)
        self._scope.require(Operation.READ_PROOFS)

    def _require(self, operation: Operation, query: str, parameters: dict[str, Any]) -> None:
        with self._query_log.record_denial(query, lambda: (parameters, ())):
            self._scope.require(operation)
