"""Filters that compare only the values which a principal sees.

A condition on a hidden value would reveal it. Most such conditions are refused (`queries.scoped.query_description`).
Resource types and actors are hidden in some events only: they are compared as if a hidden one were absent, also within
`not`.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from domain.access.grants import Part, Rows
from domain.access.redaction import NAMES
from domain.access.scope import Scope
from domain.event import ActorKind
from queries.filters.event_filter import EventFilter
from queries.scoped.query_description import scope_filter

_ACTORS = {"actor", "actor_in", "actor_prefix", "user", "user_in"}


def with_visible_values(filter: EventFilter, scope: Scope) -> EventFilter:
    """The filter to search with; `filter` itself for a principal from whom none of its values is hidden."""
    given = {name for each in filter.every() for name in each.given()}
    if "resource_type" in given:
        rows = scope.rows_with(NAMES)
        if rows != ():
            named = None if rows is None else _all_of(rows)
            filter = _mapped(filter, lambda each: _without_named_resources(each, named))
    if given & _ACTORS:
        visible = visible_actors(scope)
        if visible is not None:
            filter = _mapped(filter, lambda each: _of_visible_actors(each, visible))
    return filter


def visible_actors(scope: Scope) -> EventFilter | None:
    """The events whose actor's id is visible, if staff is: not that of another patient. None for all events."""
    rows = scope.rows_with({Part.OTHER_PATIENTS})
    if rows == ():
        return None
    found = [EventFilter(not_=EventFilter(actor_kinds=(ActorKind.PATIENT,)))]
    if scope.own_patients:
        found.append(EventFilter(actor_in=scope.own_patients))
    if rows is not None:
        found.append(_all_of(rows))
    return EventFilter(or_=tuple(found))


def _all_of(rows: tuple[tuple[Rows, ...], ...]) -> EventFilter:
    filters = [scope_filter(each) for each in rows]
    return EventFilter(and_=tuple(each for each in filters if each is not None))


def _mapped(filter: EventFilter, change: Callable[[EventFilter], EventFilter]) -> EventFilter:
    """`filter` with a change of its own conditions, and of those of the filters within it."""
    return change(
        replace(
            filter,
            and_=tuple(_mapped(each, change) for each in filter.and_),
            or_=tuple(_mapped(each, change) for each in filter.or_),
            not_=None if filter.not_ is None else _mapped(filter.not_, change),
        )
    )


def _without_named_resources(filter: EventFilter, named: EventFilter | None) -> EventFilter:
    """`named`: the events in which names are visible; None for no events."""
    type = filter.resource_type
    if type is None or filter.resource_id is not None:
        return filter
    if named is None:
        return replace(filter, resource_type=None, unnamed_resource_type=type)
    either = (
        EventFilter(unnamed_resource_type=type),
        EventFilter(resource_type=type, and_=(named,)),
    )
    return replace(filter, resource_type=None, and_=(*filter.and_, EventFilter(or_=either)))


def _of_visible_actors(filter: EventFilter, visible: EventFilter) -> EventFilter:
    if _ACTORS.isdisjoint(filter.given()):
        return filter
    return replace(filter, and_=(*filter.and_, visible))
