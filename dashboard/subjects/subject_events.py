"""The events of one subject: lists, counts by hour or day, and the links to all of them."""

from __future__ import annotations

from datetime import datetime, timedelta

from dashboard import links
from dashboard.event_page import is_questionable
from dashboard.event_rows import rows_of
from dashboard.explorer.addresses import filter_of
from dashboard.explorer.ranges import moment_of
from dashboard.histogram import histogram
from dashboard.plain_words import plain_sentence, reason
from dashboard.subjects.page import EVENTS, Chart, EventList, OwnEvents, OwnRow
from dashboard.viewer import Viewer
from domain.errors import ConflictError, Reason, RejectedError
from domain.event import RecordedEvent
from domain.event_time import EARLIEST, LATEST
from queries.counts import EventCounts
from queries.filters.event_filter import MAX_PAGE, CountBy, PageRequest, during
from queries.scoped.read_models import ScopedModels
from queries.summaries.patient import Between

DAYS = 90
"""Of a chart by days: the last ones in which something happened."""

Pairs = tuple[tuple[str, str], ...]


class SubjectEvents:
    """The events that the conditions `pairs` find, which happened from `first` to `last`; only those `between`."""

    def __init__(
        self,
        models: ScopedModels,
        viewer: Viewer,
        pairs: Pairs,
        first: datetime,
        last: datetime,
        between: Between | None = None,
    ) -> None:
        self._between = between
        self._models = models
        self._viewer = viewer
        self._pairs = pairs
        self._first = first
        # Events that arrive while the page is open are among "all" too.
        self._end = max(last, viewer.now) + timedelta(seconds=1) if between is None else between.until
        self.last = last

    def link(self, *more: tuple[str, str], begin: datetime | None = None, end: datetime | None = None) -> str:
        """The explorer with all of them, or those that `more` narrows them to."""
        pairs = (*self._pairs, *more)
        return links.explore_between(begin or self._first, end or self._end, pairs, self._viewer.zone)

    def newest(self, *more: tuple[str, str], limit: int = EVENTS) -> tuple[list[RecordedEvent], bool]:
        """The newest events, and whether there are more."""
        wanted = filter_of((*self._pairs, *more))
        if self._between is not None:
            wanted = during(wanted, self._between.begin, self._between.until)
        page = self._models.events(self._models.prepare(wanted), PageRequest(first=limit))
        return page.events, page.has_next

    def listed(self, name: str, *more: tuple[str, str], nothing: str = "Nothing is recorded.") -> EventList:
        """The newest events as a list."""
        found, others = self.newest(*more)
        return EventList(name, rows_of(found, self._viewer), self.link(*more), others, nothing)

    def in_plain_words(self, name: str) -> OwnEvents:
        """The newest events as those whom they are about read them."""
        found, others = self.newest()
        rows = [
            OwnRow(
                at=self._viewer.moment(each.event.occurred_at),
                text=plain_sentence(each.event, self._viewer),
                why=reason(each.event),
                link=links.event(each.event.event_id),
                question=links.question(each.event.event_id)
                if is_questionable(self._viewer, each.event)
                else None,
            )
            for each in found
        ]
        return OwnEvents(name, rows, self.link(), others)

    def by_day(self, name: str, *more: tuple[str, str]) -> Chart:
        """A histogram of the last days in which something happened."""
        begin = self._viewer.begin_of(self._viewer.day_of(self.last) - timedelta(days=DAYS - 1))
        begin = max(begin, self._viewer.begin_of(self._viewer.day_of(self._first)))
        return self._chart(
            name, CountBy.DAY, begin, self._viewer.end_of(self._viewer.day_of(self.last)), more
        )

    def by_hour(self, name: str, length: timedelta, *more: tuple[str, str]) -> Chart:
        """A histogram of the last hours in which something happened."""
        end = self.last.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        return self._chart(name, CountBy.HOUR, end - length, end, more)

    def counts(self, by: CountBy, begin: datetime, end: datetime, *more: tuple[str, str]) -> EventCounts:
        """How many there are in each bucket. Raises `ConflictError` when that takes too long to count."""
        wanted = during(filter_of((*self._pairs, *more)), begin, end)
        return self._models.event_counts(self._models.prepare(wanted, by), MAX_PAGE)

    def _chart(self, name: str, by: CountBy, begin: datetime, end: datetime, more: Pairs) -> Chart:
        try:
            counts = self.counts(by, begin, end, *more)
        except ConflictError as exc:
            return Chart(name, None, exc.message)
        drawn = histogram(
            counts, begin, end, by, self._viewer, lambda one, two: self.link(*more, begin=one, end=two)
        )
        return Chart(name, drawn)


def range_given(viewer: Viewer, from_text: str, to_text: str) -> Between | None:
    """The range of times in two parameters of an address, of which one may be empty; None if both are.

    Raises `RejectedError` that names the parameter.
    """
    if not from_text and not to_text:
        return None
    begin = moment_of("from", from_text, viewer, ends=False) if from_text else EARLIEST
    until = moment_of("to", to_text, viewer, ends=True) if to_text else LATEST
    if until <= begin:
        raise RejectedError(Reason.INVALID_FIELD, "the range ends before it begins", field="to")
    return Between(begin, until)
