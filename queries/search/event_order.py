"""The two orders of events: by position, the order of the log, and by time, the order of the sources' clocks.

There is no index by time. But clocks mostly agree with the log. A page by time first reads a few more events than it
needs in the order of the log, and takes the hour of the event that would fill the page. Then it sorts the matching
events of the hours from there on; each hour has bounds of its positions. So a page costs as much as the events of its
hours, whatever the size of the trail. If clocks disagree with the log, as after an import of old events, these hours
could cover most of the trail: then it reads a few hours, and four times as many in each further step.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from msgspec.structs import replace

from domain.errors import Reason, RejectedError
from event_store.database import Connection, only
from event_store.statements import load
from queries.filters.event_filter import EventFilter
from queries.search.access_paths import AccessPath, narrowed
from queries.search.page_sql import TimePlace, build, compose, compose_by_time
from queries.search.prepared import PreparedQuery
from queries.search.selectivity import BoundsFinder

_SQL = load(__package__, "event_order.sql")
_HOUR = timedelta(hours=1)
_INSTANT = timedelta(microseconds=1)
_SPARE = 10
"""A page reads a quarter more events than it needs, and this number: a few wrong clocks then do not matter."""
_WIDE = 50_000
"""Positions that may be read beside those of a few times as many events as the page needs."""
_HOURS, _GROWTH = 4, 4


class Order(Protocol):
    """The positions of the events that match a query, from the newest to the oldest in this order."""

    def positions(
        self, after: int | None, before: int | None, limit: int, *, newest_first: bool
    ) -> list[int]:
        """At most `limit` positions after one event and before another, from the newest or the oldest end."""
        ...

    def matches(self, position: int) -> bool:
        """Whether the event at `position` matches."""
        ...


class ByPosition:
    """The order of the log."""

    def __init__(self, connection: Connection, query: PreparedQuery, as_of: int) -> None:
        self._connection = connection
        self._query = build(connection, query.plans, as_of, positions_alone=True) if as_of >= 0 else None

    def positions(
        self, after: int | None, before: int | None, limit: int, *, newest_first: bool
    ) -> list[int]:
        """At most `limit` positions, in the order of the log."""
        if self._query is None:
            return []
        statement, parameters = compose(self._query, after, before, newest_first=newest_first)
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters | {"limit": limit})
            return [row[0] for row in cursor.fetchall()]

    def matches(self, position: int) -> bool:
        """Whether the event at `position` matches."""
        return bool(self.positions(position + 1, position - 1, 1, newest_first=True))


class ByTime:
    """The order of `occurred_at`; events of the same time have the order of the log."""

    def __init__(
        self, connection: Connection, query: PreparedQuery, as_of: int, *, wide: int = _WIDE
    ) -> None:
        self._wide = wide
        self._connection = connection
        self._query = query
        self._as_of = as_of
        self._bounds = BoundsFinder(connection, as_of)

    def positions(
        self, after: int | None, before: int | None, limit: int, *, newest_first: bool
    ) -> list[int]:
        """At most `limit` positions, in the order of time.

        Raises `RejectedError` when there is no event at `after` or `before`.
        """
        newer, older = self._place("after", after), self._place("before", before)
        left = EventFilter(
            occurred_from=older.occurred_at if older else None,
            occurred_until=newer.occurred_at + _INSTANT if newer else None,
        )
        found: list[int] = []
        hours = _HOURS
        while len(found) < limit:
            wanted = limit - len(found)
            enough = wanted + wanted // 4 + _SPARE
            near = self._near(left, enough, newest_first=newest_first)
            if len(near) < enough:
                # No more events are left.
                return found + [each.position for each in near if _between(each, newer, older)][:wanted]
            window = _window(left, near, near[wanted - 1].occurred_at, newest_first=newest_first)
            if self._is_wide(window, near):
                edge, hours = self._edge(left, hours, newest_first=newest_first), hours * _GROWTH
                window = _window(left, near, edge, newest_first=newest_first)
            found += self._within(window, newer, older, wanted, newest_first=newest_first)
            if newest_first:
                left = replace(left, occurred_until=window.occurred_from)
            else:
                left = replace(left, occurred_from=window.occurred_until)
        return found

    def matches(self, position: int) -> bool:
        """Whether the event at `position` matches."""
        return ByPosition(self._connection, self._query, self._as_of).matches(position)

    def _near(self, left: EventFilter, count: int, *, newest_first: bool) -> list[TimePlace]:
        """The first `count` matching events from the end of the log, in the order of time."""
        query = build(
            self._connection, narrowed(self._query.plans, left), self._as_of, bounds_finder=self._bounds
        )
        if query is None:
            return []
        statement, parameters = compose(query, None, None, newest_first=newest_first)
        with self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT activity.occurred_at, activity.position"
                f" FROM ({statement}) AS near INNER JOIN activity ON near.position = activity.position",
                parameters | {"limit": count},
            )
            return sorted((TimePlace(*row) for row in cursor.fetchall()), reverse=newest_first)

    def _is_wide(self, window: EventFilter, near: Sequence[TimePlace]) -> bool:
        """Whether the window covers many more positions than the events `near` it."""
        bounds = self._bounds.of(AccessPath(None, (window,)))
        if bounds is None:
            return False
        places = [place.position for place in near]
        return bounds.newest - bounds.oldest > self._wide + _GROWTH * (max(places) - min(places))

    def _edge(self, left: EventFilter, hours: int, *, newest_first: bool) -> datetime:
        """The hour at the end of the next `hours` hours that have events."""
        if newest_first:
            statement, edge = "hour_before", left.occurred_until or "infinity"
        else:
            statement, edge = "hour_after", _hour(left.occurred_from) if left.occurred_from else "-infinity"
        with self._connection.cursor() as cursor:
            cursor.execute(_SQL[statement], {"edge": edge, "count": hours})
            return only(cursor)  # type: ignore[no-any-return]

    def _within(
        self,
        window: EventFilter,
        after: TimePlace | None,
        before: TimePlace | None,
        limit: int,
        *,
        newest_first: bool,
    ) -> list[int]:
        query = build(
            self._connection, narrowed(self._query.plans, window), self._as_of, bounds_finder=self._bounds
        )
        if query is None:
            return []
        statement, parameters = compose_by_time(query, after, before, newest_first=newest_first)
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters | {"limit": limit})
            return [row[0] for row in cursor.fetchall()]

    def _place(self, name: str, position: int | None) -> TimePlace | None:
        if position is None:
            return None
        with self._connection.cursor() as cursor:
            cursor.execute(_SQL["occurred_at"], {"position": position})
            row = cursor.fetchone()
        if row is None:
            raise RejectedError(Reason.INVALID_FIELD, "there is no event at this cursor", field=name)
        return TimePlace(row[0], position)


def _window(
    left: EventFilter, near: Sequence[TimePlace], edge: datetime, *, newest_first: bool
) -> EventFilter:
    """The range from one end of `left` to the hour of `edge`, included, in the positions up to those of `near`."""
    if newest_first:
        newest = max(place.position for place in near)
        return replace(left, occurred_from=_hour(edge), position_until=newest + 1)
    oldest = min(place.position for place in near)
    return replace(left, occurred_until=_hour(edge) + _HOUR, position_from=oldest)


def _between(place: TimePlace, newer: TimePlace | None, older: TimePlace | None) -> bool:
    return (newer is None or place < newer) and (older is None or place > older)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
