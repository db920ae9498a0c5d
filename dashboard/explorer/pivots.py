"""The buttons of a value in the list: for those conditions by which the viewer may query."""

from __future__ import annotations

from functools import cache

from dashboard.columns import Term
from dashboard.event_rows import Pivot
from dashboard.explorer.addresses import Pairs, conditions, filter_of, sent
from dashboard.viewer import Viewer
from domain.access.grants import Operation
from queries.filters.conditions import BY_NAME, Operator
from queries.scoped.query_description import parts_of


def pivot_of(viewer: Viewer) -> Pivot:
    """The buttons of a value: for conditions by which the viewer may query."""
    everything = viewer.scope.sees_all

    @cache
    def may_query(terms: tuple[Term, ...]) -> bool:
        return viewer.may_query(Operation.READ_EVENTS, parts_of(filter_of(terms), viewer.scope.own_patients))

    return lambda terms: sent(terms) if everything or may_query(tuple(terms)) else None


def refused(viewer: Viewer, pairs: Pairs) -> list[str]:
    """The conditions by which a viewer may not query, in words."""
    pivot = pivot_of(viewer)
    names = ((name, name.removeprefix("not_"), value) for name, value in conditions(pairs))
    simple = [(name, plain, value) for name, plain, value in names if plain in BY_NAME]
    return list(
        dict.fromkeys(
            name.replace("_", " ")
            for name, plain, value in simple
            if BY_NAME[plain].operator is Operator.EQUAL and pivot([(plain, value)]) is None
        )
    )
