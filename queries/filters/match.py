"""Whether one event matches a filter, decided from the event itself: it need not be in a read model yet.

The answers are those of the SQL of `queries.filters.sql`: an event without the value that a condition compares does not
match.
"""

from __future__ import annotations

from typing import Any

from domain.event import RecordedEvent
from queries.filters.conditions import Operator
from queries.filters.event_filter import EventFilter


def matches(filter: EventFilter, recorded: RecordedEvent) -> bool:
    """Whether all conditions hold."""
    return (
        all(
            not set(equality.values).isdisjoint(equality.attribute.of(recorded))
            for equality in filter.equalities()
        )
        and all(
            any(_holds(condition.operator, actual, value) for actual in condition.attribute.of(recorded))
            for condition, value in filter.comparisons()
        )
        and ((local := filter.local_time()) is None or local.admits(recorded.event.occurred_at))
        and all(matches(each, recorded) for each in filter.and_)
        and (not filter.or_ or any(matches(each, recorded) for each in filter.or_))
        and (filter.not_ is None or not matches(filter.not_, recorded))
    )


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
