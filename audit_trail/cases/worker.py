"""The thread that carries out commands about cases, and puts new alerts into cases.

Failures: a command that the state does not allow is **reject**, and its outcome says why; the database away, or another
process that was faster, is **retry**, with a growing pause. A kill between the append and the outcome changes nothing:
the next run finds the command done, because its event has the command's id. A defect, or a case that can't be read,
fails one command, and leaves one alert without a case until the next start of the process.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import structlog

from detection.cases.case_book import CaseBook
from detection.cases.new_alerts import AlertRow, NewAlerts
from domain.errors import (
    AccessDeniedError,
    AuditTrailError,
    LogInconsistentError,
    RejectedError,
    origin,
)
from event_store.aggregate_events import position_of
from event_store.backoff import Backoff
from event_store.case_commands import CHANNEL, Outcome, Result, WaitingCommand, complete, open_commands
from event_store.database import Database
from event_store.part_lock import PartLock
from projections.wakeup import WakeUp

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
"""The longest that a command or an alert waits when it was not announced."""
PART = "cases"
_PAUSES = (0.5, 30.0)
_JOIN_SECONDS = 10.0
_COMMANDS = 50
"""Commands of one round: alerts wait no longer than these take."""


class CaseWorker:
    """Works from `start` until `stop`. A second process waits until the first has ended."""

    def __init__(self, database: Database, book: CaseBook) -> None:
        self._database = database
        self._book = book
        self._lock = PartLock(database, PART)
        self._wakeup = WakeUp(database, CHANNEL)
        self._alerts = NewAlerts(database)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cases", daemon=True)

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
        """Carry out the commands that wait, then take new alerts. False when there was nothing to do here."""
        if not self._lock.hold():
            return False
        commands = open_commands(self._database, _COMMANDS)
        for each in commands:
            if self._stopping.is_set():
                return False
            complete(self._database, each.id, self._outcome(each))
        return self._alerts.hand_over(self._receive) > 0 or bool(commands)

    def close(self) -> None:
        """Let another process work."""
        self._wakeup.close()
        self._lock.close()

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
                    log.warning("cases_wait", error=str(exc), seconds=round(seconds, 1))
                    self._stopping.wait(seconds)
                except Exception as exc:  # noqa: BLE001 - the loop goes on after a defect
                    log.error("cases_failed", **origin(exc))  # noqa: TRY400 - a traceback can quote patient data
                    self._stopping.wait(backoff.next())
        finally:
            self.close()

    def _outcome(self, waiting: WaitingCommand) -> Outcome:
        """Carry out one command. Raises `AuditTrailError` when it is to be tried again."""
        try:
            command = waiting.checked()
            version = self._book.carry_out(command)
            with self._database.transaction(read_only=True) as connection:
                return Outcome(Result.DONE, position=position_of(connection, command.target, version))
        except RejectedError as exc:
            return Outcome(Result.REFUSED, exc.message, exc.field or None)
        except AccessDeniedError as exc:
            return Outcome(Result.DENIED, str(exc))
        except LogInconsistentError as exc:
            log.error("case_not_readable", command=str(waiting.id), error=str(exc))  # noqa: TRY400 - no defect here
            return Outcome(Result.FAILED, str(exc))
        except AuditTrailError:
            raise
        except Exception as exc:  # noqa: BLE001 - a defect fails this command only
            log.error("case_command_failed", command=str(waiting.id), **origin(exc))  # noqa: TRY400 - as above
            return Outcome(Result.FAILED, "an unexpected error, which is in the log of `ingest`")

    def _receive(self, alert: AlertRow) -> None:
        try:
            received = self._book.receive(alert.facts, alert.subject, datetime.now(UTC))
        except LogInconsistentError as exc:
            log.error("alert_in_no_case", alert=str(alert.id), error=str(exc))  # noqa: TRY400 - no defect here
            return
        except AuditTrailError:
            raise
        except Exception as exc:  # noqa: BLE001 - a defect keeps back no other alert
            log.error("alert_in_no_case", alert=str(alert.id), **origin(exc))  # noqa: TRY400 - as above
            return
        if received.new:
            log.info("alert_in_case", alert=str(alert.id), case=str(received.case))
