"""The explorer: events by the filters of the API, which are all in the address of the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import ClassVar

from msgspec import Struct

from dashboard import links
from dashboard.event_rows import EventRow, rows_of
from dashboard.histogram import Histogram, histogram, unit_of
from dashboard.render import View
from dashboard.viewer import Moment, Viewer
from dashboard.views import STARTER_VIEWS, StarterView
from domain.access.grants import Operation
from domain.errors import ConflictError, Reason, RejectedError
from domain.event_time import EARLIEST, LATEST
from queries.cursors import encode_cursor
from queries.filters.conditions import BY_NAME, ValueKind
from queries.filters.event_filter import MAX_PAGE, EventFilter, EventPage, PageRequest
from queries.scoped.read_models import ScopedModels

PAGE = 50
_LAST = re.compile(r"([1-9][0-9]{0,3})([hd])", re.ASCII)
LASTS = ("24h", "7d", "30d")
"""The lengths that the form offers."""
_LONGEST_HISTOGRAM = timedelta(days=MAX_PAGE - 2)
"""As many days as one count may have buckets."""
_DAYS = 7
"""The range when none is given: a first view does not walk the whole trail."""
RANGE = ("from", "to", "zone", "last")
PAGING = ("after", "before", "order")
Pairs = Sequence[tuple[str, str]]
FORM_CONDITIONS = (
    "actor",
    "patient",
    "device",
    "service",
    "type",
    "outcome",
    "resource_type",
    "resource_id",
    "address",
    "session",
    "correlation_id",
)
"""The conditions that the form has a field for; every other one of the API can stand in the address."""


class Chip(Struct, frozen=True):
    """A condition, and the address without it."""

    name: str
    value: str
    link: str


class Field(Struct, frozen=True):
    """A field of the form. `options` are the values of a list, else it takes any text."""

    name: str
    label: str
    help: str
    value: str
    options: list[str]


class Range(Struct, frozen=True):
    """The range of times, from inclusive and until exclusive, and as the form's fields have it."""

    begin: datetime
    end: datetime
    from_text: str
    to_text: str


class Explorer(View, frozen=True, kw_only=True):
    """The page. `problem` says why there is no list."""

    template: ClassVar[str] = "explorer.html"
    live_template: ClassVar[str] = "explorer_live.html"
    chips: list[Chip]
    fields: list[Field]
    hidden: list[tuple[str, str]]
    times: Range
    begin: Moment
    end: Moment
    rows: list[EventRow]
    histogram: Histogram | None
    events: int | None
    older: str | None
    newer: str | None
    refresh: str
    exports: list[tuple[str, str]]
    last: str
    lasts: tuple[str, ...]
    starters: tuple[StarterView, ...]
    problem: str
    as_of_position: int


def range_of(pairs: Pairs, viewer: Viewer) -> Range:
    """The range that the address gives: days, which count as a whole, or moments with an offset.

    Raises `RejectedError` that names the parameter.
    """
    given = dict(pairs)
    end = viewer.end_of(viewer.today())
    begin = viewer.begin_of(viewer.today() - timedelta(days=_DAYS - 1))
    if given.get("last"):
        return _last(given["last"], viewer)
    if given.get("from"):
        begin = moment_of("from", given["from"], viewer, ends=False)
    if given.get("to"):
        end = moment_of("to", given["to"], viewer, ends=True)
    if end <= begin:
        raise RejectedError(Reason.INVALID_FIELD, "the range ends before it begins", field="to")
    return Range(
        begin, end, _field(given.get("from"), begin, viewer), _field(given.get("to"), end, viewer, ends=True)
    )


def _last(text: str, viewer: Viewer) -> Range:
    """A range that ends now: ``24h``, ``7d``."""
    found = _LAST.fullmatch(text)
    if found is None:
        raise RejectedError(Reason.INVALID_FIELD, "write hours or days, as in 24h or 7d", field="last")
    length = timedelta(hours=int(found[1])) if found[2] == "h" else timedelta(days=int(found[1]))
    # To the next minute: the histogram of a page that is open moves with the clock, and not with each second.
    end = viewer.now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return Range(end - length, end, "", "")


def moment_of(name: str, text: str, viewer: Viewer, *, ends: bool) -> datetime:
    """The moment in a parameter: a day begins or ends it. Raises `RejectedError` that names the parameter."""
    day = None
    try:
        if len(text) == len("2026-03-01"):
            day = date.fromisoformat(text)
            found = datetime(day.year, day.month, day.day, tzinfo=UTC)
        else:
            found = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as exc:
        raise RejectedError(
            Reason.INVALID_FIELD, "write a day as 2026-03-31, or a time with its offset", field=name
        ) from exc
    if not EARLIEST <= found.replace(tzinfo=UTC) < LATEST:
        raise RejectedError(Reason.INVALID_FIELD, "a time from 1970 to 2199", field=name)
    if day is not None:
        return viewer.end_of(day) if ends else viewer.begin_of(day)
    if found.tzinfo is None:
        raise RejectedError(
            Reason.INVALID_FIELD, "write the time with its offset, as in 2026-03-31T08:00+02:00", field=name
        )
    return found


def _field(given: str | None, at: datetime, viewer: Viewer, *, ends: bool = False) -> str:
    """What the form's field shows: the day or the moment as it was given, else the day."""
    if given:
        return given
    return viewer.moment(at - timedelta(seconds=1) if ends else at).local[:10]


def page_of(after: int | None, before: int | None, *, oldest_first: bool) -> PageRequest:
    """A page of the list by keyset: of older events after `after`, or of newer ones before `before`."""
    if before is not None:
        return PageRequest(last=PAGE, before=before, oldest_first=oldest_first)
    return PageRequest(first=PAGE, after=after, oldest_first=oldest_first)


def explore(
    models: ScopedModels, viewer: Viewer, filter: EventFilter, pairs: Pairs, page: PageRequest, max_days: int
) -> Explorer:
    """The page; blocks. A filter that can't be answered is told on the page, with what to add."""
    times = range_of(pairs, viewer)
    within = (
        EventFilter(and_=(filter,), occurred_from=times.begin, occurred_until=times.end)
        if filter.given()
        else EventFilter(occurred_from=times.begin, occurred_until=times.end)
    )
    found, bars, problem = (
        EventPage(events=[], has_next=False, has_previous=False, as_of_position=-1),
        None,
        "",
    )
    try:
        found = models.events(models.prepare(within, max_days=max_days), page)
        by = unit_of(times.begin, times.end)
        if viewer.may(Operation.COUNT_EVENTS) and times.end - times.begin <= _LONGEST_HISTOGRAM:
            counts = models.event_counts(models.prepare(within, by, max_days=max_days), MAX_PAGE)
            bars = histogram(
                counts, times.begin, times.end, by, viewer, lambda begin, end: _narrowed(pairs, begin, end)
            )
    except ConflictError as exc:
        problem = f"{exc.field.replace('_', ' ')}: {exc.message}" if exc.field else exc.message
    return Explorer(
        viewer=viewer,
        title="Events",
        chips=_chips(pairs),
        fields=_fields(pairs),
        hidden=_hidden(pairs),
        times=times,
        begin=viewer.moment(times.begin),
        end=viewer.moment(times.end),
        rows=rows_of(
            found.events, viewer, pivot=lambda name, value, without: _pivoted(pairs, name, value, without)
        ),
        histogram=bars,
        events=None if bars is None else bars.events,
        older=_turned(pairs, after=found.events[-1].position) if found.events and found.has_next else None,
        newer=_turned(pairs, before=found.events[0].position)
        if found.events and found.has_previous
        else None,
        refresh=links.explore([*_conditions(pairs), *_ranges(pairs)]),
        exports=_exports(pairs, times) if viewer.may(Operation.EXPORT) else [],
        last=dict(pairs).get("last", ""),
        lasts=LASTS,
        starters=STARTER_VIEWS,
        problem=problem,
        as_of_position=found.as_of_position,
    )


def _conditions(pairs: Pairs) -> list[tuple[str, str]]:
    return [(name, value) for name, value in pairs if name not in (*RANGE, *PAGING) and value]


def _ranges(pairs: Pairs) -> list[tuple[str, str]]:
    return [(name, value) for name, value in pairs if name in RANGE and value]


def _chips(pairs: Pairs) -> list[Chip]:
    conditions = _conditions(pairs)
    return [
        Chip(
            name.replace("_", " "),
            value,
            links.explore([*conditions[:at], *conditions[at + 1 :], *_ranges(pairs)]),
        )
        for at, (name, value) in enumerate(conditions)
    ]


def _hidden(pairs: Pairs) -> list[tuple[str, str]]:
    """The conditions that the form has no field for, and further values of those that it has."""
    seen: set[str] = set()
    found = []
    for name, value in _conditions(pairs):
        if name not in FORM_CONDITIONS or name in seen:
            found.append((name, value))
        seen.add(name)
    return found


def _fields(pairs: Pairs) -> list[Field]:
    given: dict[str, str] = {}
    for name, value in pairs:
        given.setdefault(name, value)
    return [
        Field(
            name, name.replace("_", " ").capitalize(), BY_NAME[name].help, given.get(name, ""), _options(name)
        )
        for name in FORM_CONDITIONS
    ]


def _options(name: str) -> list[str]:
    condition = BY_NAME[name]
    return list(condition.words) if condition.kind in {ValueKind.WORD, ValueKind.LETTER} else []


def _pivoted(pairs: Pairs, name: str, value: str, without: bool) -> str:
    """The same view with only, or without, the events that have a value."""
    kept = [pair for pair in _conditions(pairs) if without or pair[0] != name]
    return links.explore([*kept, (f"not_{name}" if without else name, value), *_ranges(pairs)])


def _narrowed(pairs: Pairs, begin: datetime, end: datetime) -> str:
    zone = [(name, value) for name, value in pairs if name == "zone"]
    moments = {"from": begin.isoformat(), "to": end.isoformat()}
    return links.explore([*_conditions(pairs), *zone], **moments)


def _turned(pairs: Pairs, **place: int) -> str:
    [(name, position)] = place.items()
    order = [(key, value) for key, value in pairs if key == "order"]
    return links.explore([*_conditions(pairs), *_ranges(pairs), *order], **{name: encode_cursor(position)})


def _exports(pairs: Pairs, times: Range) -> list[tuple[str, str]]:
    moments = [("occurred_from", times.begin.isoformat()), ("occurred_until", times.end.isoformat())]
    query = links.explore([*_conditions(pairs), *moments]).partition("?")[2]
    return [
        (name, f"/v1/export?format={format}&{query}")
        for name, format in (("CSV", "csv"), ("NDJSON", "ndjson"), ("Parquet", "parquet"))
    ]
