"""How a filter is looked for: the condition that leads, which has an index, and what is compared after.

A filter is a list of conjuncts, of which all must hold. One condition of one of them leads: that which finds fewest
events, as far as PostgreSQL's statistics tell. Of an `or_` each filter has a lead of its own, and the results are put
together. A filter in which nothing leads is looked for by walking the newest positions, within its time range if it
has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from queries.filter_sql import outcomes_of, types_of
from queries.filters import ANY_OF, EventFilter

MAX_PATHS = 40
"""More filters of an `or_` than that, all within it counted, are looked for by walking."""

_SINGLE = (
    "correlation_id",
    "session",
    "patient",
    "resource_id",
    "address",
    "device",
    "actor",
    "user",
    "resource_type",
    "service",
    "source",
)
"""The conditions on one value, in the order in which they mostly find few events."""


class Driver(Struct, frozen=True):
    """A condition with an index: `name` is one of `values`. Of a resource the values are its type and, if given, id."""

    name: str
    values: tuple[Any, ...]


class AccessPath(Struct, frozen=True):
    """One way to match: what `lead` finds, and of it what is in all of the `rest`. Without a lead it is a walk."""

    driver: Driver | None
    rest: tuple[EventFilter, ...]


Estimate = Callable[[Sequence[AccessPath]], Sequence[float]]
"""About how many events the lead of each way finds."""


def choose_paths(filter: EventFilter, estimate: Estimate | None = None) -> list[AccessPath]:
    """The ways in which `filter` can match, one at least. An event may match in several ways.

    `weigh` is asked once, and only when there is a choice; without it the first that leads is taken.
    """
    plans = list(_plans(tuple(_conjuncts(filter))))
    if not plans:
        return [AccessPath(None, tuple(_conjuncts(filter)))]
    if len(plans) == 1 or estimate is None:
        return plans[0]
    every = [way for plan in plans for way in plan]
    weights = dict(zip(map(id, every), estimate(every), strict=True))
    return min(plans, key=lambda plan: sum(weights[id(way)] for way in plan))


def is_plain(filter: EventFilter) -> bool:
    """Whether nothing has to be asked of the database to plan it: no choice of leads, and no range of times."""
    if any(each.occurred_from or each.occurred_until for each in filter.every()):
        return False
    return len(list(islice(_plans(tuple(_conjuncts(filter))), 2))) < 2


def is_bounded(filter: EventFilter) -> bool:
    """Whether an index leads to what matches, or a range of times or positions bounds the walk."""
    bounds = ("occurred_from", "position_from")
    return all(
        way.driver is not None or any(getattr(each, name) is not None for each in way.rest for name in bounds)
        for way in choose_paths(filter)
    )


def _conjuncts(filter: EventFilter) -> Iterator[EventFilter]:
    yield replace(filter, and_=())
    for part in filter.and_:
        yield from _conjuncts(part)


def _plans(conjuncts: tuple[EventFilter, ...]) -> Iterator[list[AccessPath]]:
    """Each way, or ways together, in which the conjuncts can be looked for, from those that mostly find fewest."""
    for find in (_singles, _lists, _kinds):
        for at, conjunct in enumerate(conjuncts):
            others = (*conjuncts[:at], *conjuncts[at + 1 :])
            for lead, without in find(conjunct):
                yield [AccessPath(lead, (without, *others))]
    for at, conjunct in enumerate(conjuncts):
        if conjunct.or_ and len(conjunct.or_) <= MAX_PATHS:
            rest = (replace(conjunct, or_=()), *conjuncts[:at], *conjuncts[at + 1 :])
            yield from _either(conjunct.or_, rest)


def _singles(conjunct: EventFilter) -> Iterator[tuple[Driver, EventFilter]]:
    for name in _SINGLE:
        value = getattr(conjunct, name)
        if value is None:
            continue
        if name == "resource_id":
            without = replace(conjunct, resource_type=None, resource_id=None)
            yield Driver("resource", (conjunct.resource_type, value)), without
        elif name == "resource_type":
            if conjunct.resource_id is None:
                yield Driver("resource", (value,)), replace(conjunct, resource_type=None)
        else:
            yield Driver(name, (value,)), replace(conjunct, **{name: None})


def _lists(conjunct: EventFilter) -> Iterator[tuple[Driver, EventFilter]]:
    for name, one in ANY_OF.items():
        values = getattr(conjunct, name)
        if values:
            yield Driver(one, tuple(sorted(set(values)))), replace(conjunct, **{name: ()})


def _kinds(conjunct: EventFilter) -> Iterator[tuple[Driver, EventFilter]]:
    """The values that have an index of their own: failures, emergency access, and types."""
    if conjunct.emergency:
        yield Driver("emergency", (True,)), replace(conjunct, emergency=None)
    outcomes = outcomes_of(conjunct)
    if outcomes and 0 not in outcomes:
        yield Driver("outcome", tuple(outcomes)), replace(conjunct, outcomes=())
    types = types_of(conjunct)
    if types is not None:
        yield Driver("type", tuple(types)), replace(conjunct, types=(), categories=(), type_prefix=None)


def _either(parts: Sequence[EventFilter], rest: tuple[EventFilter, ...]) -> Iterator[list[AccessPath]]:
    """The ways of an `or_`: those of each part, with the rest beside it. Nothing when a part has none."""
    found: list[AccessPath] = []
    for part in parts:
        first = next(_plans(tuple(_conjuncts(part))), None)
        if first is None:
            return
        found += [AccessPath(way.driver, (*way.rest, *rest)) for way in first]
    if len(found) <= MAX_PATHS:
        yield found
