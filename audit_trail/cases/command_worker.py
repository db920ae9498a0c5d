"""A thread that carries out commands of the queue, until it is stopped.

Failures: a command that the state does not allow is **reject**, and its outcome says why; the database away, or another
process that was faster, is **retry**, with a growing pause. A kill between the append and the outcome changes nothing:
the next run finds the command done, because its event has the command's id. A defect, or an aggregate that can't be
read, fails one command.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

import structlog
from msgspec.structs import replace

from detection.context.staff_ids import StaffIds
from domain.cases.commands import CaseCommand
from domain.errors import (
    AccessDeniedError,
    AuditTrailError,
    LogInconsistentError,
    RejectedError,
    UnavailableError,
    origin,
)
from domain.reviews.commands import ReviewCommand
from event_store.aggregate_events import position_of
from event_store.backoff import Backoff
from event_store.case_commands import CHANNEL, Outcome, Result, WaitingCommand, complete, open_commands
from event_store.database import Database
from event_store.part_lock import PartLock
from projections.wakeup import WakeUp

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
"""The longest that a command or an alert waits when it was not announced."""
_PAUSES = (0.5, 30.0)
_JOIN_SECONDS = 10.0
_COMMANDS = 50
"""Commands of one round: other work waits no longer than these take."""


class LaterError(UnavailableError):
    """One command waits for a service that others do not need."""


class CommandWorker(ABC):
    """Works from `start` until `stop`. A second process waits until the first has ended.

    `reviews`: it takes the commands about reviews, and not those about cases.
    """

    def __init__(self, database: Database, part: str, *, reviews: bool) -> None:
        self._database = database
        self._part = part
        self._reviews = reviews
        self._lock = PartLock(database, part)
        self._wakeup = WakeUp(database, CHANNEL)
        self._staff = StaffIds(database)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=part, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the command that is being carried out."""
        self._stopping.set()
        self._wakeup.stop()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)

    def step(self) -> bool:
        """Carry out the commands that wait, then do the other work. False when there was nothing to do here."""
        if not self._lock.hold():
            return False
        commands = open_commands(self._database, _COMMANDS, reviews=self._reviews)
        waiting: LaterError | None = None
        for each in commands:
            if self._stopping.is_set():
                return False
            try:
                complete(self._database, each.id, self._outcome(each))
            except LaterError as exc:
                waiting = exc
        worked = self.other_work() or bool(commands)
        if waiting is not None:
            raise waiting
        return worked

    def close(self) -> None:
        """Let another process work."""
        self._wakeup.close()
        self._lock.close()

    @abstractmethod
    def carry_out(self, command: CaseCommand | ReviewCommand) -> int:
        """Carry out one command, once. Returns the version of the aggregate at which its event lies."""

    @abstractmethod
    def other_work(self) -> bool:
        """What the worker does beside commands. False when there was nothing to do."""

    def _run(self) -> None:
        backoff = Backoff(*_PAUSES)
        try:
            while not self._stopping.is_set():
                try:
                    self._wakeup.listen()
                    if not self.step():
                        self._wakeup.wait(POLL_SECONDS)
                    backoff.reset()
                except AuditTrailError as exc:
                    seconds = backoff.next()
                    log.warning("commands_wait", part=self._part, error=str(exc), seconds=round(seconds, 1))
                    self._stopping.wait(seconds)
                except Exception as exc:  # noqa: BLE001 - the loop goes on after a defect
                    log.error("commands_failed", part=self._part, **origin(exc))  # noqa: TRY400 - a traceback can quote patient data
                    self._stopping.wait(backoff.next())
        finally:
            self.close()

    def _outcome(self, waiting: WaitingCommand) -> Outcome:
        """Carry out one command. Raises `AuditTrailError` when it is to be tried again."""
        try:
            given = waiting.checked()
            command = replace(given, by=self._staff.with_all_ids(given.by))
            version = self.carry_out(command)
            with self._database.transaction(read_only=True) as connection:
                return Outcome(Result.DONE, position=position_of(connection, command.target, version))
        except RejectedError as exc:
            return Outcome(Result.REFUSED, exc.message, exc.field or None)
        except AccessDeniedError as exc:
            return Outcome(Result.DENIED, str(exc))
        except LogInconsistentError as exc:
            log.error("aggregate_not_readable", command=str(waiting.id), error=str(exc))  # noqa: TRY400 - no defect here
            return Outcome(Result.FAILED, str(exc))
        except AuditTrailError:
            raise
        except Exception as exc:  # noqa: BLE001 - a defect fails this command only
            log.error("command_failed", command=str(waiting.id), **origin(exc))  # noqa: TRY400 - as above
            return Outcome(Result.FAILED, "an unexpected error, which is in the log of `ingest`")
