"""SQLAlchemy 2.0 or newer: records what sessions create, update and delete, and writes the outbox."""

from audit_trail_publisher.record_rule import recorded_by_hand
from audit_trail_publisher.sqlalchemy.outbox import ConnectionOutbox, SessionOutbox
from audit_trail_publisher.sqlalchemy.session_audit import SessionAudit

__all__ = ["ConnectionOutbox", "SessionAudit", "SessionOutbox", "recorded_by_hand"]
