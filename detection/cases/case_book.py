"""The book of cases: puts alerts into cases, and carries out commands. It alone appends their events.

Failures: a command that the state does not allow is **reject**; a database that is away, or another process that was
faster several times, is **retry**. An append is all or nothing, and what was done before is not done again.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from eventsourcing.persistence import Mapper

from detection.cases.actor_cases import ActorCases
from detection.cases.alerts import AlertFacts, Subject, about_actor
from detection.cases.book import Book, taken
from detection.cases.case import Case
from detection.cases.stored_events import CaseEvents
from detection.cases.suppression import Suppression
from domain.access.scope import Scope
from domain.cases.access import require_command, require_role, unseen_actors
from domain.cases.commands import AnswerQuestion, CaseCommand, EndSuppression, OpenCase, Suppress
from domain.errors import AccessDeniedError, ConflictError, Reason, RejectedError


class Received(NamedTuple):
    """The case of an alert. `new`: this call has put it there."""

    case: UUID
    new: bool


class CaseBook(Book):
    """The cases and suppressions of one log."""

    def construct_mapper(self) -> Mapper[UUID]:
        """The stored form of the events, which is not the library's own."""
        return CaseEvents()

    def receive(self, alert: AlertFacts, subject: Subject, at: datetime) -> Received:
        """Put an alert into a case, once. A second call changes nothing.

        It joins the newest case of its subject while `Case.admits` it, and opens a case that names the earlier one
        otherwise.
        """
        return self.decide(lambda: self._receive(alert, subject, at))

    def carry_out(self, command: CaseCommand) -> int:
        """Carry out a command, once. Returns the version of the aggregate at which its event lies.

        Raises `AccessDeniedError`, or a `RejectedError` that says what to change.
        """
        return self.decide(lambda: self._carry_out(command))

    def has_suppression(self, id: UUID) -> bool:
        """Whether a suppression has this id."""
        return self.decide(lambda: self.find(Suppression, id)) is not None

    def _receive(self, alert: AlertFacts, subject: Subject, at: datetime) -> Received:
        cases = self.find(ActorCases, subject.id) or ActorCases.begin(subject, at)
        if alert.id in cases.alerts:
            return Received(cases.alerts[alert.id], new=False)
        case = self.find(Case, cases.newest) if cases.newest else None
        if case is not None and case.admits(alert):
            case.join(alert, at=at)
        else:
            case = Case.open(alert, subject, at=at, earlier=cases.newest)
        cases.receive(alert.id, case.id, at)
        self.save(cases, case)
        return Received(case.id, new=True)

    def _carry_out(self, command: CaseCommand) -> int:
        body = command.body
        require_role(command.by, body)
        if isinstance(body, OpenCase):
            return self._open(command, body)
        if isinstance(body, Suppress | EndSuppression):
            return self._suppress(command, body)
        case = self.find_only(Case, command.target)
        if case is not None and not isinstance(body, AnswerQuestion):
            # The id of a case follows from its first alert: a refusal would tell a reviewer that it exists.
            case = None if case.actor in unseen_actors(Scope(command.by)) else case
        if case is None:
            if isinstance(body, AnswerQuestion):  # needs no role, so the answer must not say what exists
                raise AccessDeniedError
            raise RejectedError(Reason.INVALID_FIELD, "there is no such case", field="target")
        if command.id not in case.commands:
            require_command(command.by, body, actor=case.actor, asked=case.asked)
            case.change(command, body)
            self.save(case)
        return case.commands[command.id]

    def _open(self, command: CaseCommand, body: OpenCase) -> int:
        require_command(command.by, body, actor=body.actor)
        existing = self.find(Case, command.target)
        if existing is not None:
            return _version(existing, command)
        subject = about_actor(body.actor)
        cases = self.find(ActorCases, subject.id) or ActorCases.begin(subject, command.requested_at)
        newest = self.find(Case, cases.newest) if cases.newest else None
        if newest is not None and newest.is_open:
            raise ConflictError(
                Reason.CONFLICT, f"case {newest.id} about this actor is open: add to it", field="actor"
            )
        case = Case.open_by_hand(command, body, subject, cases.newest)
        cases.open(case.id, command.requested_at)
        self.save(cases, case)
        return case.commands[command.id]

    def _suppress(self, command: CaseCommand, body: Suppress | EndSuppression) -> int:
        find = self.find if isinstance(body, Suppress) else self.find_only
        found = find(Suppression, command.target)
        if found is not None and (command.id in found.commands or isinstance(body, Suppress)):
            return _version(found, command)
        if isinstance(body, Suppress):
            found = Suppression.start(command, body)
        elif found is None:
            raise RejectedError(Reason.INVALID_FIELD, "there is no such suppression", field="target")
        else:
            found.end(command, body)
        self.save(found)
        return found.commands[command.id]


def _version(found: Case | Suppression, command: CaseCommand) -> int:
    """The version that the command gave `found`. Raises `ConflictError` when another command has created it."""
    if command.id not in found.commands:
        raise taken()
    return found.commands[command.id]
