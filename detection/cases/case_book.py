"""The book of cases: puts alerts into cases, and carries out commands. It alone appends their events.

Failures: a command that the state does not allow is **reject**; a database that is away, or another process that was
faster several times, is **retry**. An append is all or nothing, and what was done before is not done again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

from eventsourcing.application import AggregateNotFoundError, Application, LRUCache
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import IntegrityError, Mapper, OperationalError

from detection.cases.actor_cases import ActorCases
from detection.cases.alerts import AlertFacts, Subject, about_actor
from detection.cases.case import Case
from detection.cases.stored_events import CaseEvents, UnknownTopicError
from detection.cases.suppression import Suppression
from domain.cases.access import require_command, require_role
from domain.cases.commands import AnswerQuestion, CaseCommand, EndSuppression, OpenCase, Suppress
from domain.errors import (
    AccessDeniedError,
    ConflictError,
    FencedError,
    Reason,
    RejectedError,
    UnavailableError,
)

_ATTEMPTS = 5
"""How often a decision is made anew because another process has appended to the same aggregate."""
_CACHED = 500
"""Aggregates that stay in memory. The events after those that are known are read each time."""

Found = TypeVar("Found", bound=Aggregate)
Result = TypeVar("Result")


class Received(NamedTuple):
    """The case of an alert. `new`: this call has put it there."""

    case: UUID
    new: bool


class CaseBook(Application[UUID]):
    """The cases and suppressions of one log. Not thread-safe.

    `key` is the text of a key file; every append signs the log's head.
    """

    def __init__(self, url: str, key: str) -> None:
        super().__init__(
            env={
                "PERSISTENCE_MODULE": "event_store.recorder",
                "DATABASE_URL": url,
                "LOG_KEY": key,
                "AGGREGATE_CACHE_MAXSIZE": str(_CACHED),
                # Copying a case of a thousand alerts takes longer than all else: `_decide` forgets it after an error.
                "DEEPCOPY_FROM_AGGREGATE_CACHE": "n",
                "IS_SNAPSHOTTING_ENABLED": "n",
            }
        )

    def construct_mapper(self) -> Mapper[UUID]:
        """The stored form of the events, which is not the library's own."""
        return CaseEvents()

    def receive(self, alert: AlertFacts, subject: Subject, at: datetime) -> Received:
        """Put an alert into a case, once. A second call changes nothing.

        It joins the newest case of its subject while `Case.admits` it, and opens a case that names the earlier one
        otherwise.
        """
        return self._decide(lambda: self._receive(alert, subject, at))

    def carry_out(self, command: CaseCommand) -> int:
        """Carry out a command, once. Returns the version of the aggregate at which its event lies.

        Raises `AccessDeniedError`, or a `RejectedError` that says what to change.
        """
        return self._decide(lambda: self._carry_out(command))

    def _receive(self, alert: AlertFacts, subject: Subject, at: datetime) -> Received:
        cases = self._find(ActorCases, subject.id) or ActorCases.begin(subject, at)
        if alert.id in cases.alerts:
            return Received(cases.alerts[alert.id], new=False)
        case = self._find(Case, cases.newest) if cases.newest else None
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
        case = self._find(Case, command.target)
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
        existing = self._find(Case, command.target)
        if existing is not None:
            return _version(existing, command)
        subject = about_actor(body.actor)
        cases = self._find(ActorCases, subject.id) or ActorCases.begin(subject, command.requested_at)
        newest = self._find(Case, cases.newest) if cases.newest else None
        if newest is not None and newest.is_open:
            raise ConflictError(
                Reason.CONFLICT, f"case {newest.id} about this actor is open: add to it", field="actor"
            )
        case = Case.open_by_hand(command, body, subject, cases.newest)
        cases.open(case.id, command.requested_at)
        self.save(cases, case)
        return case.commands[command.id]

    def _suppress(self, command: CaseCommand, body: Suppress | EndSuppression) -> int:
        found = self._find(Suppression, command.target)
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

    def _find(self, kind: type[Found], id: UUID) -> Found | None:
        """The aggregate, None if nothing has this id. Raises `ConflictError` if something else has it."""
        try:
            found: Aggregate = self.repository.get(id)
        except AggregateNotFoundError:
            return None
        except UnknownTopicError as exc:
            raise _taken() from exc
        if not isinstance(found, kind):
            raise _taken()
        return found

    def _decide(self, decide: Callable[[], Result]) -> Result:
        for _ in range(_ATTEMPTS):
            try:
                return decide()
            except (RejectedError, AccessDeniedError):
                raise  # before anything was changed
            except IntegrityError:
                self._forget()  # and decide anew
            except OperationalError as exc:
                self._forget()
                raise UnavailableError(str(exc)) from exc
            except BaseException:
                self._forget()
                raise
        raise FencedError("other processes append to the same case all the time; try again")

    def _forget(self) -> None:
        """Read all aggregates anew: those in memory have events that the log may lack."""
        self.repository.cache = LRUCache(_CACHED)


def _version(found: Case | Suppression, command: CaseCommand) -> int:
    """The version that the command gave `found`. Raises `ConflictError` when another command has created it."""
    if command.id not in found.commands:
        raise _taken()
    return found.commands[command.id]


def _taken() -> ConflictError:
    return ConflictError(Reason.CONFLICT, "this is the id of something else", field="target")
