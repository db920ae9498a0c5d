"""Records what sessions do to the rows of mapped classes, with the values before and after."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from sqlalchemy import event, inspect
from sqlalchemy.orm import Mapper, Session, UOWTransaction, scoped_session, sessionmaker

from audit_trail_publisher.options import a_promise, require_choice, several
from audit_trail_publisher.promises import Promise
from audit_trail_publisher.record_rule import Operation, PatientRule, RecordRule
from audit_trail_publisher.sqlalchemy.bulk import BulkStatements
from audit_trail_publisher.sqlalchemy.outbox import SessionOutbox
from audit_trail_publisher.sqlalchemy.pending import PendingEvents
from audit_trail_publisher.sqlalchemy.row_values import (
    AsItWas,
    Before,
    State,
    after_flush,
    before_flush,
    collection_changes,
    committed,
    key_of,
)
from audit_trail_publisher.sqlalchemy.watched import Watch, WatchedClasses
from audit_trail_publisher.trail import Channel, Trail

_BEFORE = "audit_trail_before"

Bulk = Literal["record", "refuse"]

Sessions = sessionmaker[Any] | scoped_session[Any] | type[Session] | Session
"""What makes sessions, or one session."""


class SessionAudit:
    """Records `record.created`, `record.updated` and `record.deleted` for the rows that sessions write.

    ::

        audit = SessionAudit(trail)
        audit.watch(Observation, patient="patient_id", mask=["comment"], leave_out=["updated_at"])
        audit.install(SessionLocal)

    - `promise`: `transactional` writes the events into the outbox table, in the session's own transaction: a change and
      its event exist both or not at all. `durable` records them right after the commit; a crash between the two loses
      them.
    - `bulk`: what happens to a statement that writes many rows, as ``session.execute(update(Observation)...)``.
      `record` reads the rows before and after, and records each. `BulkOperationError` refuses a statement whose rows
      can't be known or are more than `bulk_rows`, and with `refuse` all of them. Within `recorded_by_hand` all pass.

    For an `AsyncSession`, install on the `sessionmaker` that is its `sync_session_class`. Not seen: statements in
    `text()`, and what the database does by itself (triggers, ``ON DELETE CASCADE`` with `passive_deletes`).
    """

    def __init__(
        self,
        trail: Trail,
        *,
        promise: Promise | str = Promise.TRANSACTIONAL,
        bulk: Bulk = "record",
        bulk_rows: int = 1000,
    ) -> None:
        require_choice("bulk", bulk, Bulk)
        self._trail = trail
        self._promise = a_promise(promise, (Promise.TRANSACTIONAL, Promise.DURABLE))
        self._pending = PendingEvents(trail)
        self._watched = WatchedClasses()
        self._bulk = BulkStatements(self._watched, self._keep, records=bulk == "record", most=bulk_rows)

    def watch(
        self,
        target: type[Any],
        *,
        type: str | None = None,
        patient: PatientRule = None,
        mask: Collection[str] = (),
        leave_out: Collection[str] = (),
    ) -> None:
        """Record the rows of a mapped class and its subclasses, or of all classes of a declarative base.

        - `type`: the resource type; by default the name of the class.
        - `patient`: the attribute with the id of the patient, or a function of the object that returns one or several.
        - `mask`: columns whose values are masked. That they changed is recorded.
        - `leave_out`: columns whose change alone is no event.
        """
        self._watched.add(Watch(target, type, patient, several(mask), several(leave_out)))

    def install(self, sessions: Sessions) -> None:
        """Listen to `sessions`. Raises `ConfigurationError` for a column or an attribute that a class does not have."""
        self._watched.check()
        event.listen(sessions, "before_flush", self._before_flush)
        event.listen(sessions, "after_flush", self._after_flush)
        event.listen(sessions, "do_orm_execute", self._bulk.on_execute)
        event.listen(sessions, "after_begin", self._bulk.on_begin)
        if self._promise is Promise.DURABLE:
            event.listen(sessions, "after_commit", self._pending.committed)
            event.listen(sessions, "after_soft_rollback", self._pending.rolled_back)

    def _before_flush(self, session: Session, flush: UOWTransaction, _: object) -> None:
        self._bulk.on_flush(session, flush)
        found: dict[State, Before] = {}
        for record in [*session.new, *session.dirty, *session.deleted]:
            state: State = inspect(record)
            rule = self._watched.rule_of(state.mapper)
            if rule is not None:
                found[state] = before_flush(session, state)
                if state.key is not None:
                    found[state].patients = rule.patients_of(AsItWas(state, found[state].values))
        flush.attributes[_BEFORE] = found

    def _after_flush(self, session: Session, flush: UOWTransaction) -> None:
        before: dict[State, Before] = flush.attributes[_BEFORE]
        for state, (is_deleted, only_listed) in list(flush.states.items()):
            rule = self._watched.rule_of(state.mapper)
            if rule is None or only_listed:
                continue
            # The flush itself reaches objects that nobody has changed, such as orphans.
            was = before.get(state) or Before({} if state.key is None else committed(state), {})
            self._record(session, rule, state, was, is_deleted=is_deleted)

    def _record(
        self, session: Session, rule: RecordRule, state: State, was: Before, *, is_deleted: bool
    ) -> None:
        is_new = state.key is None
        operation = Operation.DELETED if is_deleted else Operation.CREATED if is_new else Operation.UPDATED
        now = None if is_deleted else after_flush(session, state, was.values)
        patients = was.patients if is_deleted else (*was.patients, *rule.patients_of(state.obj()))
        self._keep(
            session,
            state.mapper,
            rule,
            operation,
            key_of(state),
            None if is_new else was.values,
            now,
            patients,
            [] if is_deleted else list(collection_changes(state, was.collections)),
        )

    def _keep(self, session: Session, mapper: Mapper[Any], rule: RecordRule, *what: Any) -> None:
        if self._promise is Promise.TRANSACTIONAL:
            channel: Channel[Any] = self._trail.within(SessionOutbox(session, mapper))
            rule.record(channel, *what)
            return
        built = rule.record(self._trail.build, *what)
        if built is not None:
            self._pending.add(session, built)
