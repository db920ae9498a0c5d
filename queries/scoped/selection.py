"""The selection of events within the scope of one principal, decided from each event: what a subscription would get."""

from __future__ import annotations

from msgspec.structs import replace

from domain.access.grants import Operation
from domain.access.scope import Scope
from domain.errors import AccessDeniedError
from domain.event import RecordedEvent
from queries.filters.checks import check_filter
from queries.filters.event_filter import EventFilter, within
from queries.filters.match import matches
from queries.scoped.query_description import parts_of, scope_filter
from queries.scoped.visible_values import with_visible_values


class ScopedSelection:
    """Which events match a filter within a scope, and what of them is visible. Thread-safe: it holds no state."""

    def __init__(self, filter: EventFilter, scope: Scope) -> None:
        """Raises `RejectedError`, and `AccessDeniedError` when the scope allows no events by these conditions."""
        wanted = with_visible_values(check_filter(filter), scope)
        parts = parts_of(filter, scope.own_patients)
        self._filter = within(wanted, scope_filter(scope.rows(Operation.FOLLOW_EVENTS, parts)))
        self._scope = scope

    @property
    def is_whole(self) -> bool:
        """Whether nothing is hidden in any event."""
        return self._scope.sees_all

    def __call__(self, recorded: RecordedEvent) -> RecordedEvent | None:
        """The event as the principal sees it; None when it does not match, or is outside of the scope."""
        if not matches(self._filter, recorded):
            return None
        if self._scope.sees_all:
            return recorded
        try:
            return replace(recorded, event=self._scope.redacted(recorded.event))
        except AccessDeniedError:
            return None
