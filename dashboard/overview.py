"""The overview: the last 24 hours in numbers, and whether the trail itself is well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from msgspec import Struct

from dashboard import links
from dashboard.histogram import Histogram, histogram
from dashboard.render import View
from dashboard.viewer import Moment, Viewer
from domain.access.access_question import QUESTIONED
from domain.access.grants import Operation, Part, category_of
from domain.catalogue import CATALOGUE, GENERIC_TYPE, Category
from domain.event import Outcome
from queries.counts import EventCounts
from queries.filters.event_filter import CountBy, EventFilter
from queries.scoped.log import ScopedLog
from queries.scoped.read_models import ScopedModels
from queries.summaries.results import ProjectionStatus

HOURS = 24
_TOP = 8
_TYPES = 2 * len(CATALOGUE)
"""Buckets of a count: more than there are types."""
_ALARMING = (
    ("Failed sign-ins", "user.login_failed"),
    ("Denied attempts", "access.denied"),
    ("Questions about accesses", QUESTIONED),
    ("Failed health checks", "health_check.failed"),
)
"""Tiles for types of which each event deserves a look."""
_FAILURES = tuple(outcome.value for outcome in Outcome if outcome is not Outcome.SUCCESS)


class Tile(Struct, frozen=True):
    """A number, and the link to its events. `alarming`: a number other than 0 deserves a look."""

    name: str
    count: int
    link: str
    alarming: bool = False


class TopRow(Struct, frozen=True):
    """One of the most frequent values. `share` is a part of the largest, from 0 to 100."""

    name: str
    count: int
    share: float
    link: str


class Integrity(Struct, frozen=True):
    """The newest signed tree head."""

    size: int
    signed_at: Moment
    witnesses: int


class Overview(View, frozen=True, kw_only=True):
    """The page. What the principal may not see is None or empty."""

    template: ClassVar[str] = "overview.html"
    live_template: ClassVar[str] = "overview_live.html"
    begin: Moment
    end: Moment
    histogram: Histogram
    tiles: list[Tile]
    categories: list[TopRow]
    services: list[TopRow]
    actors: list[TopRow]
    integrity: Integrity | None
    projections: list[ProjectionStatus]
    lag: int | None
    as_of_position: int


def overview(models: ScopedModels, log: ScopedLog, viewer: Viewer, *, live: bool = False) -> Overview:
    """Count the last 24 hours; blocks. The range begins at a whole hour, for which counts are kept ready.

    The `live` part, which is fetched again and again, has no actors: it names nobody.
    """
    end = viewer.now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    begin = end - timedelta(hours=HOURS)
    counting = _Counting(models, begin, end)
    hours = counting.by(CountBy.HOUR)
    types = {each.key: each.events for each in counting.by(CountBy.TYPE, _TYPES).buckets}
    projections = models.projections() if viewer.may(Operation.READ_STATUS) else []
    lags = [each.lag for each in projections if each.live and not each.own]
    return Overview(
        viewer=viewer,
        title="Overview",
        begin=viewer.moment(begin),
        end=viewer.moment(end),
        histogram=histogram(hours, begin, end, CountBy.HOUR, viewer, counting.link),
        tiles=_tiles(counting, types),
        categories=_categories(counting, types),
        services=_top(counting.by(CountBy.SERVICE, _TOP), counting, "service"),
        actors=(
            _top(counting.by(CountBy.ACTOR, _TOP), counting, "actor")
            if not live and viewer.may_query(Operation.COUNT_EVENTS, frozenset({Part.STAFF_IDS}))
            else []
        ),
        integrity=_integrity(log, viewer) if viewer.may(Operation.READ_PROOFS) else None,
        projections=[each for each in projections if each.live],
        lag=max(lags, default=0) if projections else None,
        as_of_position=hours.as_of_position,
    )


class _Counting:
    """Counts within one range of times."""

    def __init__(self, models: ScopedModels, begin: datetime, end: datetime) -> None:
        self._models = models
        self._begin, self._end = begin, end

    def by(self, by: CountBy, limit: int = _TYPES, /, **conditions: object) -> EventCounts:
        filter = EventFilter.of(occurred_from=self._begin, occurred_until=self._end, **conditions)
        return self._models.event_counts(self._models.prepare(filter, by), limit)

    def link(
        self, begin: datetime | None = None, end: datetime | None = None, /, **conditions: str | Sequence[str]
    ) -> str:
        pairs = [
            (name, value)
            for name, given in conditions.items()
            for value in ([given] if isinstance(given, str) else given)
        ]
        moments = {"from": (begin or self._begin).isoformat(), "to": (end or self._end).isoformat()}
        return links.explore(pairs, **moments)


def _tiles(counting: _Counting, types: Mapping[str | None, int]) -> list[Tile]:
    outcomes = counting.by(CountBy.OUTCOME)
    failed = sum(each.events for each in outcomes.buckets if each.key in _FAILURES)
    emergencies = counting.by(CountBy.OUTCOME, emergency=True).events
    return [
        Tile("Events", outcomes.events, counting.link()),
        Tile("Failures", failed, counting.link(outcome=_FAILURES)),
        *(
            Tile(name, types.get(type, 0), counting.link(type=type), alarming=True)
            for name, type in _ALARMING
        ),
        Tile("Break-glass", emergencies, counting.link(emergency="true"), alarming=True),
    ]


def _categories(counting: _Counting, types: Mapping[str | None, int]) -> list[TopRow]:
    counts: Counter[Category] = Counter()
    for type, events in types.items():
        counts[category_of(type or GENERIC_TYPE)] += events
    largest = max(counts.values(), default=0)
    return [
        TopRow(each.value, count, 100 * count / largest, counting.link(category=each.value))
        for each, count in counts.most_common()
    ]


def _top(counts: EventCounts, counting: _Counting, condition: str) -> list[TopRow]:
    largest = max((each.events for each in counts.buckets), default=0)
    return [
        TopRow(each.key, each.events, 100 * each.events / largest, counting.link(**{condition: each.key}))
        for each in counts.buckets
        if each.key is not None
    ]


def _integrity(log: ScopedLog, viewer: Viewer) -> Integrity | None:
    head = log.tree_head()
    return (
        None if head is None else Integrity(head.size, viewer.moment(head.signed_at), len(head.cosigned_by))
    )
