"""How a filter is searched: its driving condition, which has an index, and the conditions compared after it.

A filter is a list of conjuncts, which must all hold. The condition that finds the fewest events, by PostgreSQL's
statistics, drives the search. Each filter of an `or_` has its own driving condition, and their results are united.
Without a driving condition the newest positions are walked, within the range of times if the filter has one. A filter
of an `or_` without a driving condition is walked too, if its own range says where its walk ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter

from msgspec import Struct
from msgspec.structs import replace

from queries.filters.event_filter import Equality, EventFilter
from queries.search.ranges import range_of

MAX_PATHS = 40
"""An `or_` that needs more paths is walked."""


class AccessPath(Struct, frozen=True):
    """The events that `driver` finds by its index and that match all of `rest`. Without a driver it is a walk."""

    driver: Equality | None
    rest: tuple[EventFilter, ...]


Estimate = Callable[[Sequence[AccessPath]], Sequence[float]]
"""About how many events the driving condition of each path finds, or a walk reads."""


Plan = tuple[AccessPath, ...]
"""The paths that together find all matching events. Two of them may find the same event."""


def plans(filter: EventFilter) -> tuple[Plan, ...]:
    """Every plan for `filter`, one at least; the one that usually reads the fewest events comes first."""
    every = tuple(conjuncts(filter))
    return tuple(map(tuple, _plans(every))) or ((AccessPath(None, every),),)


def choose(plans: Sequence[Plan], estimate: Estimate) -> Plan:
    """The plan that reads the fewest events. `estimate` is called once, and only when there is a choice."""
    if len(plans) == 1:
        return plans[0]
    every = [path for plan in plans for path in plan]
    events = dict(zip(map(id, every), estimate(every), strict=True))
    return min(plans, key=lambda plan: sum(events[id(path)] for path in plan))


def narrowed(plans: Sequence[Plan], window: EventFilter) -> tuple[Plan, ...]:
    """The same plans with one more conjunct that drives no search: a range of times or positions."""
    return tuple(tuple(AccessPath(path.driver, (*path.rest, window)) for path in plan) for plan in plans)


def conjuncts(filter: EventFilter) -> Iterator[EventFilter]:
    """The filters that must all match, including those of `and_`."""
    yield replace(filter, and_=()) if filter.and_ else filter
    for part in filter.and_:
        yield from conjuncts(part)


def _plans(conjuncts: tuple[EventFilter, ...]) -> Iterator[list[AccessPath]]:
    """Each plan for the conjuncts; those that usually find the fewest events come first."""
    drivers: list[tuple[tuple[bool, bool, int, int], Equality]] = []
    for at, conjunct in enumerate(conjuncts):
        for equality in conjunct.equalities():
            index = equality.attribute.index
            if index is not None and (index.serves is None or index.serves(equality.values)):
                drivers.append(((index.coarse, len(equality.values) > 1, index.rank, at), equality))
    for (*_, at), driver in sorted(drivers, key=itemgetter(0)):
        yield [
            AccessPath(
                driver, (_without(conjuncts[at], driver.fields), *conjuncts[:at], *conjuncts[at + 1 :])
            )
        ]
    united = [
        paths
        for at, conjunct in enumerate(conjuncts)
        if conjunct.or_ and len(conjunct.or_) <= MAX_PATHS
        for paths in _either(conjunct.or_, (replace(conjunct, or_=()), *conjuncts[:at], *conjuncts[at + 1 :]))
    ]
    yield from sorted(united, key=lambda paths: any(path.driver is None for path in paths))


def _without(filter: EventFilter, fields: Sequence[str]) -> EventFilter:
    return replace(filter, **{name: _EMPTY[name] for name in fields})


_NO_CONDITION = EventFilter()
_EMPTY = {name: getattr(_NO_CONDITION, name) for name in EventFilter.__struct_fields__}


def _either(parts: Sequence[EventFilter], rest: tuple[EventFilter, ...]) -> Iterator[list[AccessPath]]:
    """The paths of an `or_`: those of each part, combined with the rest. None if a part has no path."""
    found: list[AccessPath] = []
    for part in parts:
        every = tuple(conjuncts(part))
        first = next(_plans(every), None)
        if first is None:
            if not range_of(every).has_start:
                return
            first = [AccessPath(None, every)]
        found += [AccessPath(path.driver, (*path.rest, *rest)) for path in first]
    if len(found) <= MAX_PATHS:
        yield found
