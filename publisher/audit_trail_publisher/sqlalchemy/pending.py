"""Events that wait for the commit of a session's transaction."""

from __future__ import annotations

import logging

from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from audit_trail_publisher.errors import PublisherError
from audit_trail_publisher.generated.event import AuditEvent
from audit_trail_publisher.trail import Trail

log = logging.getLogger(__name__)

_KEY = "audit_trail_pending"


class PendingEvents:
    """Keeps events until the transaction commits, then records them as durable. A savepoint has events of its own."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail

    def add(self, session: Session, event: AuditEvent) -> None:
        """Keep `event` with the innermost transaction or savepoint."""
        innermost = session.get_nested_transaction() or session.get_transaction()
        if innermost is not None:
            _of(session).setdefault(innermost, []).append(event)

    def rolled_back(self, session: Session, transaction: SessionTransaction) -> None:
        """Drop the events of a transaction or savepoint that was rolled back."""
        _of(session).pop(transaction, None)

    def committed(self, session: Session) -> None:
        """Record the events of the transaction; those of a released savepoint become its parent's."""
        savepoint = session.get_nested_transaction()
        if savepoint is not None:
            kept = _of(session).pop(savepoint, [])
            if kept and savepoint.parent is not None:
                _of(session).setdefault(savepoint.parent, []).extend(kept)
            return
        for events in session.info.pop(_KEY, {}).values():
            for at, each in enumerate(events):
                try:
                    self._record(each)
                except PublisherError:
                    ids = ", ".join(str(left.event_id) for left in events[at:])
                    log.critical(
                        "the changes are committed, and these events of them are not recorded: %s", ids
                    )
                    raise

    def _record(self, event: AuditEvent) -> None:
        if in_greenlet():  # an AsyncSession: this is the event loop's thread
            await_only(self._trail.aio.durable.publish(event))
        else:
            self._trail.durable.publish(event)


def _of(session: Session) -> dict[SessionTransaction, list[AuditEvent]]:
    pending: dict[SessionTransaction, list[AuditEvent]] = session.info.setdefault(_KEY, {})
    return pending
