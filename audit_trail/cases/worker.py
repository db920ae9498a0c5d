"""The worker of cases: it carries out commands about them, and puts new alerts into cases.

A defect, or a case that can't be read, leaves one alert without a case until the next start of the process.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from audit_trail.cases.command_worker import CommandWorker, LaterError
from detection.cases.case_book import CaseBook
from detection.cases.new_alerts import AlertRow, NewAlerts
from detection.live.rule_groups import require_rule_group
from domain.cases.commands import AskEmployee, CaseCommand, Suppress
from domain.cases.employee_asked import asked_event
from domain.errors import AuditTrailError, LogInconsistentError, UnavailableError, origin
from domain.event import AuditEvent
from domain.reviews.commands import ReviewCommand
from domain.validation import decode_event, encode_event
from event_store.database import Database

log = structlog.get_logger(__name__)

PART = "cases"


class CaseWorker(CommandWorker):
    """The worker of cases. `publish` gets the event that an employee was asked, again after a kill."""

    def __init__(
        self, database: Database, book: CaseBook, publish: Callable[[AuditEvent], None] | None = None
    ) -> None:
        super().__init__(database, PART, reviews=False)
        self._book = book
        self._publish = publish
        self._alerts = NewAlerts(database)

    def carry_out(self, command: CaseCommand | ReviewCommand) -> int:
        """See `CaseBook.carry_out`. A new suppression must be one that the rules can match.

        That an employee was asked is published before the outcome is written.
        """
        assert isinstance(command, CaseCommand)
        if isinstance(command.body, Suppress) and not self._book.has_suppression(command.target):
            require_rule_group(self._database, command.body)
        if self._publish is None or not isinstance(command.body, AskEmployee):
            return self._book.carry_out(command)
        event = asked_event(command, command.body)
        decode_event(encode_event(event))  # what ingest would not take is refused before anything is stored
        version = self._book.carry_out(command)
        try:
            self._publish(event)
        except UnavailableError as exc:
            raise LaterError(str(exc)) from exc
        return version

    def other_work(self) -> bool:
        """Put new alerts into cases."""
        return self._alerts.hand_over(self._receive) > 0

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
