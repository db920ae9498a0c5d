"""Events by day of the week and hour of the day, in the viewer's zone, from ready-made or indexed counts by hour."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from zoneinfo import ZoneInfo

from dashboard.subjects.page import HeatCell, HeatMap
from dashboard.subjects.subject_events import SubjectEvents
from dashboard.viewer import Viewer
from domain.errors import ConflictError
from queries.filters.event_filter import CountBy
from queries.filters.local_time import Weekday, time_zones

WEEKS = 4
"""Their hours are fewer than the buckets of one count."""
HOURS = 24
_LEVELS = 4


def heat_map(events: SubjectEvents, viewer: Viewer, name: str) -> HeatMap:
    """The last weeks in which something happened; blocks."""
    end = viewer.end_of(viewer.day_of(events.last))
    begin = viewer.begin_of(viewer.day_of(events.last) - timedelta(days=7 * WEEKS - 1))
    note = (
        f"The {WEEKS} weeks until {viewer.day(events.last)}, by the clock in {viewer.zone}. "
        "An hour counts where it begins."
    )
    try:
        counts = events.counts(CountBy.HOUR, begin, end)
    except ConflictError as exc:
        return HeatMap(name, [], note, exc.message)
    zone = ZoneInfo(viewer.zone)
    found: Counter[tuple[int, int]] = Counter()
    for bucket in counts.buckets:
        if bucket.from_at is not None:
            local = bucket.from_at.astimezone(zone)
            found[local.weekday(), local.hour] += bucket.events
    largest = max(found.values(), default=0)

    def cell(day: Weekday, number: int, hour: int) -> HeatCell:
        count = found[number, hour]
        if not count:
            return HeatCell(0, 0, None)
        return HeatCell(count, -(-_LEVELS * count // largest), link(day, hour))

    def link(day: Weekday, hour: int) -> str | None:
        if viewer.zone not in time_zones():
            return None
        conditions = [("weekday", day.value), ("day_time_from", f"{hour:02}:00"), ("time_zone", viewer.zone)]
        if hour < HOURS - 1:
            conditions.append(("day_time_until", f"{hour + 1:02}:00"))
        return events.link(*conditions, begin=begin, end=end)

    rows = [
        (day.value.capitalize(), [cell(day, number, hour) for hour in range(HOURS)])
        for number, day in enumerate(Weekday)
    ]
    return HeatMap(name, rows, note)
