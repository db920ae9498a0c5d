"""How a filter is looked for: the conditions that lead, each with an index of its own, and what is compared after.

A filter is a list of conjuncts, of which all must hold. One of them leads when it has a condition with an index; when
that is a choice (a list, or the filters of `or_`), each choice leads by itself and the results are put together. A
filter in which nothing leads is looked for by walking the newest positions, within its time range if it has one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from projections.conditions import outcomes_of, types_of
from projections.filters import ANY_OF, EventFilter

MAX_ALTERNATIVES = 40
"""More choices than that are looked for by walking; the catalogue has fewer types."""

_SELECTIVE = (
    "patient",
    "device",
    "resource_type",
    "actor",
    "user",
    "service",
    "source",
    "session",
    "correlation_id",
    "address",
)


class Alternative(Struct, frozen=True):
    """One way to match. `lead` has a condition with an index, unless `walks`; the `rest` must hold too.

    `lists`: the index is that of a single type, outcome, or emergency access.
    """

    lead: EventFilter
    rest: tuple[EventFilter, ...]
    walks: bool = False
    lists: bool = False

    def conjuncts(self) -> Iterator[EventFilter]:
        """All that must hold."""
        yield self.lead
        yield from self.rest


def alternatives(filter: EventFilter) -> list[Alternative]:
    """The ways in which `filter` can match, one at least. An event may match in several ways."""
    conjuncts = list(_conjuncts(filter))
    return _led(conjuncts) or [Alternative(conjuncts[0], tuple(conjuncts[1:]), walks=True)]


def is_led(filter: EventFilter) -> bool:
    """Whether an index leads to what matches, or a range of times or positions bounds the walk."""
    bounds = ("occurred_from", "position_from")
    return all(
        not way.walks or any(getattr(each, name) is not None for each in way.conjuncts() for name in bounds)
        for way in alternatives(filter)
    )


def _conjuncts(filter: EventFilter) -> Iterator[EventFilter]:
    yield replace(filter, and_=())
    for part in filter.and_:
        yield from _conjuncts(part)


def _led(conjuncts: Sequence[EventFilter]) -> list[Alternative]:
    """The alternatives of the conjunct that leads best; empty when none leads."""
    for find in (_single, _any_of, _or, _listed):
        for at, conjunct in enumerate(conjuncts):
            rest = (*conjuncts[:at], *conjuncts[at + 1 :])
            found = find(conjunct, rest)
            if 1 <= len(found) <= MAX_ALTERNATIVES:
                return found
    return []


def _single(conjunct: EventFilter, rest: tuple[EventFilter, ...]) -> list[Alternative]:
    if any(getattr(conjunct, name) is not None for name in _SELECTIVE):
        return [Alternative(conjunct, rest)]
    return []


def _any_of(conjunct: EventFilter, rest: tuple[EventFilter, ...]) -> list[Alternative]:
    lists = {name: set(getattr(conjunct, name)) for name in ANY_OF if getattr(conjunct, name)}
    if not lists:
        return []
    name = min(lists, key=lambda each: len(lists[each]))
    return [
        Alternative(replace(conjunct, **{name: (), ANY_OF[name]: value}), rest)
        for value in sorted(lists[name])
    ]


def _or(conjunct: EventFilter, rest: tuple[EventFilter, ...]) -> list[Alternative]:
    others = replace(conjunct, or_=())
    found: list[Alternative] = []
    for part in conjunct.or_:
        ways = _led(list(_conjuncts(part)))
        if not ways:
            return []
        found.extend(replace(way, rest=(*way.rest, others, *rest)) for way in ways)
        if len(found) > MAX_ALTERNATIVES:
            return []
    return found


def _listed(conjunct: EventFilter, rest: tuple[EventFilter, ...]) -> list[Alternative]:
    """The rare values that have an index: failures, emergency access, and types."""
    if conjunct.emergency:
        return [Alternative(conjunct, rest, lists=True)]
    if conjunct.outcomes and 0 not in outcomes_of(conjunct):
        return [
            Alternative(replace(conjunct, outcomes=(one,)), rest, lists=True)
            for one in sorted(set(conjunct.outcomes))
        ]
    return [
        Alternative(replace(conjunct, types=(name,), categories=(), type_prefix=None), rest, lists=True)
        for name in types_of(conjunct) or ()
    ]
