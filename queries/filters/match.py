"""Whether one event matches a filter, decided from the event itself: it need not be in a read model yet.

The answers are those of the SQL of `queries.filters.sql`: an event without the value that a condition compares does not
match.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from domain.event import RecordedEvent
from queries.filters.conditions import Operator
from queries.filters.event_filter import EventFilter

Matches = Callable[[RecordedEvent], bool]


def matches(filter: EventFilter, recorded: RecordedEvent) -> bool:
    """Whether all conditions hold."""
    return matcher(filter)(recorded)


def matcher(filter: EventFilter) -> Matches:
    """What says whether all conditions hold. For many events: the filter is taken apart once."""
    equalities = [(each.attribute, frozenset(each.values)) for each in filter.equalities()]
    comparisons = list(filter.comparisons())
    local = filter.local_time()
    every = [matcher(each) for each in filter.and_]
    some = [matcher(each) for each in filter.or_]
    none = None if filter.not_ is None else matcher(filter.not_)

    def holds(recorded: RecordedEvent) -> bool:
        return (
            all(not values.isdisjoint(attribute.of(recorded)) for attribute, values in equalities)
            and all(
                any(_holds(condition.operator, actual, value) for actual in condition.attribute.of(recorded))
                for condition, value in comparisons
            )
            and (local is None or local.admits(recorded.event.occurred_at))
            and all(each(recorded) for each in every)
            and (not some or any(each(recorded) for each in some))
            and (none is None or not none(recorded))
        )

    return holds


def _holds(operator: Operator, actual: Any, value: Any) -> bool:
    if actual is None:
        return False
    match operator:
        case Operator.EQUAL:
            return bool(actual == value)
        case Operator.PREFIX:
            return bool(actual.startswith(value))
        case Operator.FROM:
            return bool(actual >= value)
        case Operator.UNTIL:
            return bool(actual < value)
        case Operator.LOCAL:
            raise AssertionError("compared by LocalTime")
