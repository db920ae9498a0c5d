"""A histogram of events over a range of times, as bars of a drawing and as rows of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from dashboard.viewer import Viewer
from queries.counts import EventCounts
from queries.filters.event_filter import CountBy

WIDTH, HEIGHT = 960, 120
"""The drawing's own units; the page scales it."""
MOST_HOURS = 24 * 8
"""A longer range is drawn by days."""
MOST_BARS = 400


class Bar(Struct, frozen=True):
    """An hour or a day: its place in the drawing, its events, and the link that narrows the range to it."""

    x: float
    width: float
    height: float
    label: str
    events: int
    link: str
    begin: str
    end: str


class Histogram(Struct, frozen=True):
    """The bars, all of the range. `unit` is what one bar is: hour, day, 3 hours."""

    bars: list[Bar]
    unit: str
    events: int
    largest: int


def unit_of(begin: datetime, end: datetime) -> CountBy:
    """Hours for a short range, else days."""
    return CountBy.HOUR if end - begin <= timedelta(hours=MOST_HOURS) else CountBy.DAY


def histogram(
    counts: EventCounts,
    begin: datetime,
    end: datetime,
    by: CountBy,
    viewer: Viewer,
    link: Callable[[datetime, datetime], str],
    most: int = MOST_BARS,
) -> Histogram:
    """At most `most` bars from `begin` to `end`, those without events too. Days are in UTC, as the counts are."""
    step = timedelta(hours=1) if by is CountBy.HOUR else timedelta(days=1)
    first = begin.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if by is CountBy.DAY:
        first = first.replace(hour=0)
    units = max(1, -(-(end.astimezone(UTC) - first) // step))
    together = -(-units // most)  # a bar of a long range is several hours or days
    step *= together
    number = -(-(end.astimezone(UTC) - first) // step)
    found: Counter[int] = Counter()
    for bucket in counts.buckets:
        if bucket.from_at is not None:
            found[(bucket.from_at - first) // step] += bucket.events
    largest = max(found.values(), default=0)
    width = WIDTH / number
    bars = []
    for at in range(number):
        start = first + at * step
        events = found[at]
        height = 0.0 if not events else max(2.0, HEIGHT * events / largest)
        bars.append(
            Bar(
                x=round(at * width, 2),
                width=round(max(width - 1, 0.5), 2),
                height=round(height, 2),
                label=viewer.minute(start) if by is CountBy.HOUR else viewer.day(start),
                events=events,
                link=link(max(start, begin), min(start + step, end)),
                begin=max(start, begin).isoformat(),
                end=min(start + step, end).isoformat(),
            )
        )
    unit = by.value if together == 1 else f"{together} {by.value}s"
    return Histogram(bars, unit, counts.events, largest)
