"""A query of events, prepared once: read models, counts, histories and subscriptions take it as it is.

The steps of one query, from the request to the answer:

1. The middleware finds the principal (`web.authentication.middleware`) and opens an access record
   (`web.read_audit.middleware`).
2. REST or GraphQL reads the parameters into an `EventFilter` and a `PageRequest`.
3. `ScopedModels.prepare` authorises the query: `domain.access.scope` says which events the principal may query by
   these conditions. A query that nobody allows raises `AccessDeniedError`, and is recorded as denied, with its filter.
4. Conditions on values that are hidden in some events become conditions on visible values
   (`queries.scoped.visible_values`). `prepare` checks the filter's size and values
   (`queries.filters.checks`).
5. It combines the filter with the scope, and lists the access paths of both (`queries.search.access_paths.plans`).
6. It refuses a filter without an index that spans too much time (`queries.search.time_limits`).
7. The request waits until the projections reach the position that the client wants (`queries.freshness`).
8. A thread reads: in one statement if the plan is known (`queries.search.page_call`), else in a snapshot of several
   (`queries.search.event_pages`), where PostgreSQL's statistics choose the plan (`queries.search.selectivity`).
9. `ScopedModels` redacts each event, and adds the query and the disclosed patients to the query log.
10. The access record is durable in Kafka (`web.read_audit.access_record`) before the answer leaves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from queries.filters.checks import check_filter
from queries.filters.conditions import BY_FIELD
from queries.filters.event_filter import CountBy, Distinct, EventFilter, within
from queries.search.access_paths import Plan, plans
from queries.search.count_spans import CountSpans, spans_of
from queries.search.ranges import range_of
from queries.search.time_limits import check_count_time, check_page_time


class PreparedQuery(Struct, frozen=True):
    """A checked filter within the scope of its principal, with its access paths.

    `filter` is what the client sent, and `scope` what the principal may see (None: everything). `combined` is both,
    where the filter compares only values that the principal sees. `plans` has one plan at least; the first is the one
    without statistics. A count has a bucket, `by`, and `distinct`, what else it counts; `visible_actors` are the events
    whose actor may be told (None: all).
    """

    filter: EventFilter
    scope: EventFilter | None
    combined: EventFilter
    plans: tuple[Plan, ...]
    by: CountBy | None = None
    distinct: frozenset[Distinct] = frozenset()
    visible_actors: EventFilter | None = None

    @property
    def is_indexed(self) -> bool:
        """Whether an index finds the events that match."""
        return all(path.driver is not None for path in self.plans[0])

    @property
    def is_bounded(self) -> bool:
        """Whether an index finds the events, or a range of times or positions bounds the walk."""
        return all(path.driver is not None or range_of(path.rest).has_start for path in self.plans[0])

    @property
    def is_planned(self) -> bool:
        """Whether its SQL is known without reading the database: one plan, and no range of times."""
        return len(self.plans) == 1 and not any(
            each.occurred_from or each.occurred_until for each in self.combined.every()
        )

    @property
    def precomputed(self) -> CountSpans | None:
        """The parts of a count that is mostly precomputed; None for any other query."""
        if self.by is None or self.distinct:
            return None
        if self.by is CountBy.ACTOR and self.visible_actors is not None:
            return None  # whether the actor's id is hidden depends on the single event
        return spans_of(self.combined, self.by)

    def complete_up_to(self, checkpoints: Mapping[str, int]) -> int:
        """The position up to which an answer is complete: the lowest checkpoint of the projections that it reads."""
        return min(checkpoints.get(name, -1) for name in _projections(self.combined))


def prepare(
    filter: EventFilter,
    scope: EventFilter | None = None,
    by: CountBy | None = None,
    *,
    distinct: Collection[Distinct] = (),
    visible: EventFilter | None = None,
    visible_actors: EventFilter | None = None,
    max_days: int = 0,
    now: datetime | None = None,
) -> PreparedQuery:
    """The query of `filter` within `scope`; see the steps above. With `by` it is a count.

    `visible` is searched in the place of `filter`: it compares only the values that the principal sees.
    `visible_actors` are the events whose actor the principal sees; None for all.

    Raises `RejectedError` that names the condition when `filter` is not valid, and `ConflictError` when it has no index
    and spans more than `max_days` days (0: any time). The limits are for `filter`: a scope comes from the program. A
    precomputed count may span any time.
    """
    query = replace(
        plan(check_filter(filter), scope, visible=visible),
        by=by,
        distinct=frozenset(distinct),
        visible_actors=visible_actors,
    )
    if max_days and not query.is_indexed and query.precomputed is None:
        if by is None:
            check_page_time(query.combined, query.plans[0], max_days, now)
        else:
            check_count_time(query.plans[0], max_days, now)
    return query


def plan(
    filter: EventFilter,
    scope: EventFilter | None = None,
    by: CountBy | None = None,
    *,
    visible: EventFilter | None = None,
) -> PreparedQuery:
    """Prepare a filter that is already checked."""
    combined = within(filter if visible is None else visible, scope)
    return PreparedQuery(filter, scope, combined, plans(combined), by)


def _projections(filter: EventFilter) -> Iterator[str]:
    yield "activity"
    for each in filter.every():
        for name in each.given():
            if name in BY_FIELD:
                yield BY_FIELD[name].attribute.projection
