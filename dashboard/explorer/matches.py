"""How many events match, and their histogram; or why that is not known."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from dashboard.explorer.addresses import Pairs, conditions, narrowed
from dashboard.explorer.ranges import Range
from dashboard.histogram import MOST_BARS, Histogram, histogram, unit_of
from dashboard.viewer import Viewer
from domain.access.grants import Operation
from domain.errors import ConflictError, TooSlowError
from queries.counts import EventCounts
from queries.filters.conditions import CONDITIONS, Operator
from queries.filters.event_filter import MAX_PAGE, EventFilter
from queries.scoped.read_models import ScopedModels

_LONGEST_COUNT = timedelta(days=MAX_PAGE - 2)
"""As many days as one count may have buckets."""
_HISTOGRAM_BYTES = 36_000
_BAR_BYTES = 480
"""Markup of one bar, beside its two links."""
_FEWEST_BARS = 12
_SELECTIVE = tuple(
    condition.name
    for condition in CONDITIONS
    if condition.operator is Operator.EQUAL
    and condition.attribute.index is not None
    and not condition.attribute.index.coarse
    and condition.name not in {"source", "user"}
)
"""The conditions that find few events by an index, each attribute once."""


class Matches(NamedTuple):
    """The histogram and the number of matches; `problem` says why one of them is missing."""

    bars: Histogram | None
    events: int | None
    problem: str


def counted(
    models: ScopedModels, viewer: Viewer, wanted: EventFilter, begin: datetime, end: datetime, max_days: int
) -> EventCounts | None:
    """The matches by the unit of a histogram; None if the viewer may not count, or not as many days at once.

    Blocks. Raises `ConflictError` and `TooSlowError`.
    """
    if not viewer.may(Operation.COUNT_EVENTS) or end - begin > _LONGEST_COUNT:
        return None
    return models.event_counts(models.prepare(wanted, unit_of(begin, end), max_days=max_days), MAX_PAGE)


def count_matches(
    models: ScopedModels, viewer: Viewer, wanted: EventFilter, pairs: Pairs, times: Range, max_days: int
) -> Matches:
    """The number of matches and the histogram, or why there is none. The list is shown in any case."""
    if not viewer.may(Operation.COUNT_EVENTS):
        return Matches(None, None, "")
    try:
        counts = counted(models, viewer, wanted, times.begin, times.end, max_days)
    except (ConflictError, TooSlowError) as exc:
        return Matches(None, None, problem_of(exc, pairs))
    if counts is None:
        return Matches(None, None, f"a range of at most {_LONGEST_COUNT.days} days can be counted")
    link = narrowed(pairs, times.begin, times.end)
    most = min(MOST_BARS, _HISTOGRAM_BYTES // (_BAR_BYTES + 2 * len(link)))
    if most < _FEWEST_BARS:
        return Matches(None, counts.events, "the filter is too long to be repeated in the bars of a drawing")
    bars = histogram(
        counts,
        times.begin,
        times.end,
        unit_of(times.begin, times.end),
        viewer,
        lambda begin, end: narrowed(pairs, begin, end),
        most,
    )
    return Matches(bars, counts.events, "")


def problem_of(exc: ConflictError | TooSlowError, pairs: Pairs) -> str:
    """Why a list or a count can't be had, and what to add."""
    if isinstance(exc, TooSlowError) or isinstance(exc.__cause__, TooSlowError):
        given = {name for name, _ in conditions(pairs)}
        missing = [name.replace("_", " ") for name in _SELECTIVE if name not in given]
        more = f"add a condition on {', '.join(missing)}, or " if missing else ""
        return f"it took too long: {more}choose a shorter range of times"
    return f"{exc.field.replace('_', ' ')}: {exc.message}" if exc.field else exc.message
