"""Saved views within the scope of one principal: the own ones, and those that others share with one of its roles.

A view is a filter and gives no right to events: whoever opens it applies the filter within the own scope. A filter may
hold an id, so a view of somebody else is shown only to those who may query by its conditions.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from msgspec.structs import replace

from domain.access.grants import Operation, Part
from domain.access.person_names import is_name
from domain.access.saved_view import SHARED_WITH, SavedView
from domain.errors import AccessDeniedError, RejectedError
from domain.event import PERSONS
from queries.filters.event_filter import EventFilter
from queries.read_models import DEFAULT_LIMIT
from queries.saved_views import BEGIN, Place, SharedViews
from queries.scoped.events import ScopedEvents

Parse = Callable[[str], EventFilter]
"""The conditions of a query string of the explorer. Raises `RejectedError`."""


class ScopedViews(ScopedEvents):
    """The part of `ScopedModels` that reads saved views."""

    def require_views(self, query: str = "own_views") -> None:
        """Raise `AccessDeniedError`, and log the denied query, for a principal that reads no events."""
        with self._query_log.record_denial(query, lambda: ({}, ())):
            self._scope.require(Operation.READ_EVENTS)

    def own_views(self) -> list[SavedView]:
        """The views of the principal, by name. Only a person has views."""
        self.require_views()
        principal = self._scope.principal
        found = self._models.own_views(principal.id) if principal.kind in PERSONS else []
        self._query_log.add("own_views", {}, len(found))
        return found

    def own_view(self, id: UUID) -> SavedView | None:
        """A view of the principal; None for an id that is none, or somebody else's."""
        self.require_views("own_view")
        principal = self._scope.principal
        found = self._models.own_view(principal.id, id) if principal.kind in PERSONS else None
        self._query_log.add("own_view", {"id": str(id)}, int(found is not None))
        return found

    def shared_views(self, parse: Parse, limit: int = DEFAULT_LIMIT, after: Place = BEGIN) -> SharedViews:
        """Views of others that are shared with a role of the principal, who may query by their conditions."""
        self.require_views("shared_views")
        principal = self._scope.principal
        found = self._models.shared_views(principal.id, principal.roles & SHARED_WITH, limit, after)
        views = [self._without_owner(view) for view in found.views if self._may_query(view, parse)]
        shown = replace(found, views=views)
        self._query_log.add("shared_views", {"limit": limit}, len(shown.views))
        return shown

    def _may_query(self, view: SavedView, parse: Parse) -> bool:
        try:
            self._rows(Operation.READ_EVENTS, self._parts(parse(view.filter)))
        except (AccessDeniedError, RejectedError):
            return False
        return True

    def _without_owner(self, view: SavedView) -> SavedView:
        """The view without the id of its owner, if that is hidden: it may be a name."""
        hidden = self._scope.hides_somewhere({Part.STAFF_IDS})
        names = is_name(view.owner) and self._scope.hides_somewhere({Part.STAFF_NAMES, Part.PATIENT_NAMES})
        return replace(view, owner="") if hidden or names else view
