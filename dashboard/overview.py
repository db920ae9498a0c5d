"""The overview: the last 24 hours in numbers, and whether the trail itself is well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from msgspec import Struct

from dashboard import links
from dashboard.detection.cases import OpenCases, open_cases
from dashboard.histogram import Histogram, histogram
from dashboard.operations.integrity import Publication, Verification, publication, verification
from dashboard.render import View
from dashboard.texts import duration
from dashboard.viewer import Moment, Viewer
from domain.access.access_question import QUESTIONED
from domain.access.grants import Operation, Part, category_of
from domain.catalogue import CATALOGUE, GENERIC_TYPE, Category
from domain.event import Outcome
from domain.tree_head import SignedTreeHead
from queries.counts import EventCounts
from queries.filters.event_filter import CountBy, EventFilter
from queries.operations import MAX_COUNTED, FailingService, LetterCounts
from queries.scoped.log import ScopedLog
from queries.scoped.operations import ScopedOperations
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
_NO_ACCESS = EventFilter(categories=tuple(each.value for each in Category if each is not Category.DATA))
"""Events that do not access a patient's data. Those that do are most of a day, which is read sooner in order than by
an index on types: so the count has the opposite condition.
"""
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


class DownService(Struct, frozen=True):
    """A service whose health check failed and did not recover since."""

    name: str
    instance: str
    since: Moment
    link: str


class Overview(View, frozen=True, kw_only=True):
    """The page. What the principal may not see is None or empty. `last_recorded` is a duration."""

    template: ClassVar[str] = "overview.html"
    live_template: ClassVar[str] = "overview_live.html"
    most_counted: ClassVar[int] = MAX_COUNTED
    begin: Moment
    end: Moment
    histogram: Histogram
    tiles: list[Tile]
    categories: list[TopRow]
    services: list[TopRow]
    actors: list[TopRow]
    patients: list[TopRow]
    integrity: Integrity | None
    publication: Publication | None
    verification: Verification | None
    last_recorded: str
    letters: LetterCounts | None
    cases: OpenCases | None
    projections: list[ProjectionStatus]
    lag: int | None
    as_of_position: int
    failing: list[DownService] | None


def overview(
    models: ScopedModels,
    log: ScopedLog,
    operating: ScopedOperations,
    viewer: Viewer,
    *,
    live: bool = False,
) -> Overview:
    """Count the last 24 hours; blocks. The range begins at a whole hour, for which counts are kept ready.

    The `live` part, which is fetched again and again, has no actors and no patients: it names nobody.
    """
    end = viewer.now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    begin = end - timedelta(hours=HOURS)
    counting = _Counting(models, begin, end)
    hours = counting.by(CountBy.HOUR)
    types = {each.key: each.events for each in counting.by(CountBy.TYPE, _TYPES).buckets}
    status, proofs = viewer.may(Operation.READ_STATUS), viewer.may(Operation.READ_PROOFS)
    projections = models.projections() if status else []
    head = log.tree_head() if proofs else None

    def named(by: CountBy, part: Part, condition: str, **conditions: Any) -> list[TopRow]:
        if live or not viewer.may_query(Operation.COUNT_EVENTS, frozenset({part})):
            return []
        return _top(counting.by(by, _TOP, **conditions), counting, condition)

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
        actors=named(CountBy.ACTOR, Part.STAFF_IDS, "actor"),
        patients=named(CountBy.PATIENT, Part.OTHER_PATIENTS, "patient", not_=_NO_ACCESS),
        integrity=None if head is None else _integrity(head, viewer),
        publication=(
            publication(operating.places(), 0 if head is None else head.size, viewer)
            if status and proofs
            else None
        ),
        verification=verification(*operating.verification(), viewer) if status and proofs else None,
        last_recorded=_ago(operating.last_recorded(), viewer) if status else "",
        letters=operating.letter_counts() if viewer.may(Operation.READ_DEAD_LETTERS) else None,
        cases=open_cases(models, viewer),
        projections=[each for each in projections if each.live],
        lag=max(lags, default=0) if projections else None,
        as_of_position=hours.as_of_position,
        failing=[_down(each, viewer) for each in operating.failing_services()] if status else None,
    )


def _down(service: FailingService, viewer: Viewer) -> DownService:
    link = links.subject("service", service.service) if viewer.may(Operation.READ_SERVICE) else ""
    return DownService(service.service, service.instance or "", viewer.moment(service.since), link)


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


def _integrity(head: SignedTreeHead, viewer: Viewer) -> Integrity:
    return Integrity(head.size, viewer.moment(head.signed_at), len(head.cosigned_by))


def _ago(at: datetime | None, viewer: Viewer) -> str:
    return "" if at is None else duration(viewer.now - at)
