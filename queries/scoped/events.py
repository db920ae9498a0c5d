"""Events within the scope of one principal, redacted."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from domain.access.grants import Operation, Part
from domain.access.person_names import is_name
from domain.access.scope import Scope
from domain.body import ReceivedMessage
from domain.errors import AccessDeniedError, ConflictError, Reason
from domain.event import RecordedEvent
from domain.read_audit.events import disclosed_patients, is_echo
from domain.read_audit.query_log import QueryLog
from queries.counts import EventCounts
from queries.filters.checks import check_page
from queries.filters.event_filter import CountBy, Distinct, EventFilter, EventPage, PageRequest, within
from queries.history import ChangePage, HistoryPlace
from queries.read_models import DEFAULT_LIMIT, ReadModels
from queries.scoped.query_description import (
    parameters_of,
    parts_of,
    patients_counted,
    patients_named,
    queried_patients,
    scope_filter,
)
from queries.scoped.visible_values import visible_actors, with_visible_values
from queries.search.prepared import PreparedQuery, prepare

_NAMED = {
    CountBy.ACTOR: {Part.STAFF_NAMES, Part.PATIENT_NAMES},
    CountBy.PATIENT: {Part.PATIENT_NAMES},
}
"""The parts without which a bucket whose id is a name has no key."""


class ScopedEvents:
    """The part of `ScopedModels` that reads events.

    `only`: of the events within the scope, only these exist. The reader of a shared link is refused without it.
    """

    def __init__(
        self, models: ReadModels, scope: Scope, query_log: QueryLog, only: EventFilter | None = None
    ) -> None:
        if scope.principal.link is not None and only is None:
            raise AccessDeniedError
        self._models = models
        self._scope = scope
        self._query_log = query_log
        self._only = only

    def prepare(
        self,
        filter: EventFilter,
        by: CountBy | None = None,
        distinct: Collection[Distinct] = (),
        *,
        max_days: int = 0,
    ) -> PreparedQuery:
        """The query within the principal's scope: see `queries.search.prepared`.

        Raises `AccessDeniedError` when the principal may query no events by these conditions. The denied query is then
        recorded with its filter, whether or not that is valid.
        """
        operation = Operation.READ_EVENTS if by is None else Operation.COUNT_EVENTS
        name, counted = ("events", None) if by is None else ("event_counts", by.value)
        with self._query_log.record_denial(
            name,
            lambda: (parameters_of(filter, by=counted, distinct=sorted(distinct)), queried_patients(filter)),
        ):
            parts = self._parts(filter, by, distinct)
            # A filter that is the limit itself is not compared twice.
            scope = (
                self._rows(operation, parts) if filter != self._only else self._role_rows(operation, parts)
            )
        return prepare(
            filter,
            scope,
            by,
            distinct=distinct,
            visible=with_visible_values(filter, self._scope),
            visible_actors=visible_actors(self._scope),
            max_days=max_days,
        )

    def events(self, query: PreparedQuery, page: PageRequest) -> EventPage:
        """A page of the events that match; `query` comes from `prepare`."""
        if page.by_time and query.scope is not None:
            self._check_bounds(page, query.scope)
        found = self._models.events(query, page)
        redacted = self._redacted(found.events)
        self._log(
            "events",
            parameters_of(query.filter, page),
            found.events,
            redacted,
            queried_patients(query.filter),
        )
        return found if redacted is found.events else replace(found, events=redacted)

    def event(self, event_id: UUID) -> RecordedEvent | None:
        """One event; None outside of the scope."""
        parameters = {"id": str(event_id)}
        with self._query_log.record_denial("event", lambda: (parameters, ())):
            scope = self._rows(Operation.READ_EVENTS)
        found = self._models.event(event_id, scope=scope)
        events = [] if found is None else [found]
        redacted = self._redacted(events)
        self._log("event", parameters, events, redacted)
        return redacted[0] if redacted else None

    def stored_body(self, event_id: UUID) -> bytes | None:
        """The stored bytes of an event, which its sealed digest covers; None for an event outside of the scope.

        Raises `AccessDeniedError` for principals from whom a part of it is hidden.
        """
        return self._models.stored_body(event_id) if self._sees_whole("stored_event", event_id) else None

    def received_message(self, event_id: UUID) -> ReceivedMessage | None:
        """The message that an event was read from, as it was received; otherwise as `stored_body`."""
        return (
            self._models.received_message(event_id)
            if self._sees_whole("received_message", event_id)
            else None
        )

    def _sees_whole(self, operation: str, event_id: UUID) -> bool:
        parameters = {"id": str(event_id)}
        with self._query_log.record_denial(operation, lambda: (parameters, ())):
            if not self._scope.sees_all:
                raise AccessDeniedError(Operation.READ_EVENTS)
            scope = self._rows(Operation.READ_EVENTS)
        found = self._models.event(event_id, scope=scope)
        if found is not None:
            self._log(operation, parameters, [found], [found])
        return found is not None

    def event_counts(self, query: PreparedQuery, limit: int = DEFAULT_LIMIT) -> EventCounts:
        """How many events within the scope match; `query` comes from `prepare`."""
        filter, by = query.filter, query.by
        assert by is not None
        found = self._models.event_counts(query, limit)
        if by in _NAMED and self._scope.hides_somewhere(_NAMED[by]):
            buckets = [replace(each, key=None) if is_name(each.key) else each for each in found.buckets]
            found = replace(found, buckets=buckets)
        patients = patients_counted(filter) if found.events else []
        if by is CountBy.PATIENT:
            patients = sorted({*patients, *(each.key for each in found.buckets if each.key is not None)})
        parameters = parameters_of(filter, by=by.value, distinct=sorted(query.distinct), limit=limit)
        self._query_log.add("event_counts", parameters, len(found.buckets), patients)
        return found

    def resource_changes(
        self, type: str, id: str, path: str | None, limit: int, after: HistoryPlace | None = None
    ) -> ChangePage:
        """What changed in a resource, by events within the scope; hidden values are redacted."""
        parameters = parameters_of(EventFilter(), type=type, id=id, path=path, limit=limit, after=after)
        with self._query_log.record_denial(
            "resource_changes", lambda: (parameters, patients_named(type, id))
        ):
            scope = self._rows(
                Operation.READ_EVENTS, self._parts(EventFilter(resource_type=type, resource_id=id))
            )
        disclosed: dict[int, tuple[str, ...]] = {}

        def redact(recorded: RecordedEvent) -> RecordedEvent:
            [redacted] = self._redacted([recorded])
            disclosed[recorded.position] = tuple(patient.id for patient in redacted.event.patients)
            return redacted

        found = self._models.resource_changes(type, id, path, limit, after, scope=scope, redact=redact)
        patients = [id for change in found.changes for id in disclosed[change.position]]
        self._query_log.add("resource_changes", parameters, len(found.changes), patients)
        return found

    def _rows(self, operation: Operation, parts: Collection[Part] = ()) -> EventFilter | None:
        if self._only is None:
            return self._role_rows(operation, parts)
        rows = self._role_rows(operation, {*parts, *self._parts(self._only)})
        return within(with_visible_values(self._only, self._scope), rows)

    def _role_rows(self, operation: Operation, parts: Collection[Part]) -> EventFilter | None:
        return scope_filter(self._scope.rows(operation, frozenset(parts)))

    def _parts(
        self, filter: EventFilter, by: CountBy | None = None, distinct: Collection[Distinct] = ()
    ) -> frozenset[Part]:
        return parts_of(filter, self._scope.own_patients, by, distinct)

    def _redacted(self, events: list[RecordedEvent]) -> list[RecordedEvent]:
        """The redacted events; the same list if nothing is hidden."""
        if self._scope.sees_all:
            return events
        return [replace(each, event=self._scope.redacted(each.event)) for each in events]

    def _check_bounds(self, page: PageRequest, scope: EventFilter) -> None:
        """Raise when a bound is an event outside of the scope: the order by time would disclose its time."""
        check_page(page)
        for name in ("after", "before"):
            at = getattr(page, name)
            if at is None:
                continue
            only = EventFilter(position_from=at, position_until=at + 1)
            if not self._models.events(prepare(only, scope), PageRequest(first=1)).events:
                raise ConflictError(Reason.INVALID_FIELD, "there is no event at this cursor", field=name)

    def _log(
        self,
        operation: str,
        parameters: dict[str, Any],
        found: list[RecordedEvent],
        redacted: list[RecordedEvent],
        queried: Collection[str] = (),
    ) -> None:
        patients = disclosed_patients((each.event for each in redacted), queried)
        echoes = sum(is_echo(each.event) for each in found)
        self._query_log.add(operation, parameters, len(found), patients, echoes)
