"""The thread of `project` that activates sets of rules and publishes alerts.

Failures: the database or Kafka away is **retry**, with a growing pause; a fault in the folder of rules **stops** its
activation alone, visibly: the last set goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import structlog

from detection.live.alert_reader import UnpublishedAlerts
from detection.live.alerts import raised_event
from detection.live.rule_folder import FolderState, changes, folder_state, wanted_documents
from detection.live.rule_sets import (
    activation_event,
    newest_activation,
    note_fault,
    published,
    read_documents,
    set_digest,
    store_activation,
    unpublished,
)
from domain.errors import AuditTrailError, ConfigurationError, origin
from domain.event import AuditEvent
from event_store.backoff import Backoff
from event_store.database import Database
from event_store.part_lock import PartLock

log = structlog.get_logger(__name__)

PART = "detect"
POLL_SECONDS = 0.5
"""The longest that an alert waits for its event."""
_WHOLE_SECONDS = 5.0
"""Between two looks at everything, also when the checkpoint stands still."""
_AT_ONCE = 200
_PAUSES = (0.5, 10.0)
_JOIN_SECONDS = 10.0

Publish = Callable[[Sequence[AuditEvent]], None]


class DetectionDesk:
    """Works from `start` until `stop`. A second process waits until the first has ended."""

    def __init__(
        self, database: Database, publish: Publish, folder: Path | None, raised: Callable[[str], None]
    ) -> None:
        """`raised` is told the level of each published alert."""
        self._database = database
        self._publish = publish
        self._folder = folder
        self._raised = raised
        self._lock = PartLock(database, PART)
        self._alerts = UnpublishedAlerts(database)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="detection", daemon=True)
        self._looked_at: FolderState | None = None
        self._checkpoint = -1
        self._whole_at = 0.0
        self._fault = ""
        self._noted: str | None = None
        self._away = ""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_SECONDS)

    def problems(self) -> list[str]:
        """What keeps rules from counting and alerts from being published. It answers at once, to any thread."""
        return [f"detection: {each}" for each in (self._fault, self._away) if each]

    def _run(self) -> None:
        backoff = Backoff(*_PAUSES)
        try:
            while not self._stopping.is_set():
                seconds = POLL_SECONDS
                try:
                    while self.step() and not self._stopping.is_set():
                        pass
                    backoff.reset()
                    self._away = ""
                except AuditTrailError as exc:
                    seconds = self._failed(backoff, str(exc))
                    log.warning("detection_waits", error=str(exc), seconds=round(seconds, 1))
                except Exception as exc:  # noqa: BLE001 - the loop goes on after a defect, visibly
                    seconds = self._failed(
                        backoff, f"a defect, which is in the log of `project`: {type(exc).__name__}"
                    )
                    log.error("detection_defect", **origin(exc))  # noqa: TRY400 - a traceback can quote patient data
                self._stopping.wait(seconds)
        finally:
            self._lock.close()

    def _failed(self, backoff: Backoff, why: str) -> float:
        self._away = why
        return backoff.next()

    def step(self) -> bool:
        """Do what there is to do. False when nothing is left."""
        checkpoint, now = self._alerts.checkpoint(), time.monotonic()
        if checkpoint == self._checkpoint and now < self._whole_at:
            return False
        if not self._lock.hold():
            return False
        if now >= self._whole_at:
            self._look_at_rules()
            self._whole_at = now + _WHOLE_SECONDS
        for activation in unpublished(self._database):
            self._publish([activation_event(activation)])
            published(self._database, activation)
            log.info("rules_activated", set=activation.digest, rules=activation.details.get("rules"))
        alerts = self._alerts.next(_AT_ONCE)
        if alerts:
            self._publish([raised_event(each) for each in alerts])
            self._alerts.published(alerts)
            for each in alerts:
                self._raised(each.level)
        if len(alerts) == _AT_ONCE:
            return True
        self._checkpoint = checkpoint
        return False

    def _look_at_rules(self) -> None:
        """Decide that another set counts when the files have changed."""
        today = datetime.now(UTC).date()
        try:
            state = folder_state(self._folder, today)
            if state != self._looked_at:
                self._decide(today)
            self._looked_at, fault = state, ""
        except ConfigurationError as exc:
            fault = str(exc)
            if fault != self._noted:
                log.error("rules_refused", error=fault)  # noqa: TRY400 - no defect
        self._fault = fault and f"the rules are not activated, and the last ones go on: {fault}"
        if fault != self._noted:
            note_fault(self._database, fault)
            self._noted = fault

    def _decide(self, today: date) -> None:
        documents = wanted_documents(self._folder, today)
        newest = newest_activation(self._database)
        if newest is None or newest.digest != set_digest(documents):
            before = [] if newest is None else read_documents(self._database, newest.digest)
            store_activation(self._database, documents, changes(before, documents))
