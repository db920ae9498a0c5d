"""The two orders of events: by position, which is that of the log, and by time, which is that of the sources' clocks.

By time there is no index. Windows of whole hours are looked through instead, from the end that is asked for, one hour
first and then four times as many each time: the hours' bounds say which positions an hour's events have. Each window
begins at the hour of an event that matches, found in the order of the log, so that hours without any are passed over at
once. So a page costs as much as the events of the hours that it comes from, whatever the size of the trail.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Protocol

from domain.errors import Reason, RejectedError
from event_store.database import Connection
from event_store.statements import load
from projections.filters import EventFilter, within
from projections.page_sql import Place, build, compose, compose_by_time
from projections.weighing import expected

_SQL = load(__package__, "activity.sql")
_HOUR = timedelta(hours=1)
_GROWTH = 4
_FEW = 1000
"""Events that are sorted without looking for windows."""
_END = datetime.max.replace(tzinfo=UTC)
_BEGINNING = datetime.min.replace(tzinfo=UTC)


class Order(Protocol):
    """The positions of the events that match a filter, in an order that goes from the newest to the oldest."""

    def positions(
        self, after: int | None, before: int | None, limit: int, *, newest_first: bool
    ) -> list[int]:
        """At most `limit` of those that come after one event and before another, from the end that is asked for."""
        ...

    def matches(self, position: int) -> bool:
        """Whether the event at `position` is one of them."""
        ...


class ByPosition:
    """In the order of the log."""

    def __init__(self, connection: Connection, filter: EventFilter, as_of: int) -> None:
        self._connection = connection
        self._query = build(connection, filter, as_of, positions_alone=True) if as_of >= 0 else None

    def positions(
        self, after: int | None, before: int | None, limit: int, *, newest_first: bool
    ) -> list[int]:
        """See `Order`."""
        if self._query is None:
            return []
        statement, parameters = compose(self._query, after, before, newest_first=newest_first)
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters | {"limit": limit})
            return [row[0] for row in cursor.fetchall()]

    def matches(self, position: int) -> bool:
        """See `Order`."""
        return bool(self.positions(position + 1, position - 1, 1, newest_first=True))


class ByTime:
    """In the order of `occurred_at`; events of the same time in that of the log."""

    def __init__(self, connection: Connection, filter: EventFilter, as_of: int) -> None:
        self._connection = connection
        self._filter = filter
        self._as_of = as_of

    def positions(
        self, after: int | None, before: int | None, limit: int, *, newest_first: bool
    ) -> list[int]:
        """See `Order`. Raises `RejectedError` when there is no event at `after` or `before`."""
        newer, older = self._place("after", after), self._place("before", before)
        found: list[int] = []
        windows = self._windows(newer, older, newest_first=newest_first)
        for window in windows:
            found += self._within(window, newer, older, limit - len(found), newest_first=newest_first)
            if len(found) == limit:
                break
        return found

    def matches(self, position: int) -> bool:
        """See `Order`."""
        return ByPosition(self._connection, self._filter, self._as_of).matches(position)

    def _within(
        self,
        window: EventFilter,
        after: Place | None,
        before: Place | None,
        limit: int,
        *,
        newest_first: bool,
    ) -> list[int]:
        query = build(self._connection, EventFilter(and_=(self._filter, window)), self._as_of)
        if query is None:
            return []
        statement, parameters = compose_by_time(query, after, before, newest_first=newest_first)
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters | {"limit": limit})
            return [row[0] for row in cursor.fetchall()]

    def _windows(
        self, newer: Place | None, older: Place | None, *, newest_first: bool
    ) -> Iterator[EventFilter]:
        if expected(self._connection, self._filter, self._as_of) <= _FEW:
            return iter([EventFilter()])
        return self._back(newer, older) if newest_first else self._forth(newer, older)

    def _back(self, newer: Place | None, older: Place | None) -> Iterator[EventFilter]:
        edge = _END if newer is None else _hour(newer.occurred_at) + _HOUR
        last = _BEGINNING if older is None else _hour(older.occurred_at)
        until = None if newer is None else edge
        count = 1
        while edge > last and (nearest := self._nearest(last, until, newest_first=True)) is not None:
            start, moment = self._hour("hour_before", edge, count), _hour(nearest.occurred_at)
            if start is None or moment < start:
                # Whatever is newer than the event there is in this window too, and little else.
                start, count = moment, 1
            yield EventFilter(occurred_from=start, occurred_until=until, position_until=nearest.position + 1)
            edge = until = start
            count *= _GROWTH

    def _forth(self, newer: Place | None, older: Place | None) -> Iterator[EventFilter]:
        edge = _BEGINNING if older is None else _hour(older.occurred_at)
        last = None if newer is None else _hour(newer.occurred_at) + _HOUR
        count = 1
        while (last is None or edge < last) and (
            nearest := self._nearest(edge, last, newest_first=False)
        ) is not None:
            hour, moment = self._hour("hour_after", edge, count), _hour(nearest.occurred_at)
            if hour is None or moment > hour:
                hour, count = moment, 1
            until = hour + _HOUR if hour < _END - _HOUR else None
            yield EventFilter(occurred_from=edge, occurred_until=until, position_from=nearest.position)
            if until is None:
                return
            edge = until
            count *= _GROWTH

    def _nearest(self, start: datetime, until: datetime | None, *, newest_first: bool) -> Place | None:
        """The last, or first, event in the log of those of a range that match: in it none is beyond that one."""
        window = EventFilter(occurred_from=None if start == _BEGINNING else start, occurred_until=until)
        order = ByPosition(self._connection, within(self._filter, window), self._as_of)
        found = order.positions(None, None, 1, newest_first=newest_first)
        return self._place("after", found[0]) if found else None

    def _hour(self, statement: str, edge: datetime, count: int) -> datetime | None:
        with self._connection.cursor() as cursor:
            cursor.execute(_SQL[statement], {"edge": edge, "count": count})
            [(hour,)] = cursor.fetchall()
        return hour  # type: ignore[no-any-return]

    def _place(self, name: str, position: int | None) -> Place | None:
        if position is None:
            return None
        with self._connection.cursor() as cursor:
            cursor.execute(_SQL["occurred_at"], {"position": position})
            row = cursor.fetchone()
        if row is None:
            raise RejectedError(Reason.INVALID_FIELD, "there is no event at this cursor", field=name)
        return Place(row[0], position)


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
