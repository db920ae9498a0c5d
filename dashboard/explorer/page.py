"""The explorer: events by the filters of the API, which are all in the address of the page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from dashboard import columns, links
from dashboard.columns import Chosen, Column, Term
from dashboard.event_rows import EventRow, rows_of
from dashboard.explorer.addresses import (
    RANGE,
    Chip,
    Pairs,
    chips,
    choices,
    conditions,
    searched,
    turned,
)
from dashboard.explorer.export_offer import Offer, offer
from dashboard.explorer.form import Choice, Fields, fields, hidden
from dashboard.explorer.matches import Matches, count_matches, problem_of
from dashboard.explorer.people import Meant, Named
from dashboard.explorer.pivots import pivot_of
from dashboard.explorer.ranges import Range, range_of
from dashboard.explorer.saved_views import ExplorerViews
from dashboard.histogram import Histogram
from dashboard.render import View
from dashboard.viewer import Moment, Viewer
from domain.access.grants import Operation
from domain.errors import ConflictError, TooSlowError
from queries.filters.event_filter import EventFilter, EventPage, PageRequest, during
from queries.scoped.log import ScopedLog
from queries.scoped.read_models import ScopedModels

PAGE = 50
LASTS = ("24h", "7d", "30d")
"""The lengths that the form offers."""
LIVE = "/explore/live"


class Explorer(View, frozen=True, kw_only=True):
    """The page.

    `problem` says why there is no list, and `uncounted` why there is no histogram. `lag` is the number of events that
    are recorded and can't be in the list yet. `oldest` is the oldest event that could be shown, by its position and its
    time of recording. `given` are the parameters that a button of the list sends with its own. `live` is the address of
    the stream of new events; None where the list does not begin with the newest ones.
    """

    template: ClassVar[str] = "explorer.html"
    chips: list[Chip]
    named: list[Named]
    notes: list[str]
    fields: Fields
    choices: list[Choice]
    hidden: list[tuple[str, str]]
    given: list[tuple[str, str]]
    times: Range
    begin: Moment
    end: Moment
    columns: tuple[Column, ...]
    rows: list[EventRow]
    histogram: Histogram | None
    uncounted: str
    events: int | None
    older: str | None
    newer: str | None
    refresh: str
    live: str | None
    share: str
    exports: Offer | None
    last: str
    lasts: tuple[str, ...]
    problem: str
    lag: int
    oldest: tuple[int, Moment] | None
    as_of_position: int
    views: ExplorerViews | None = None


def explore(
    models: ScopedModels,
    log: ScopedLog,
    viewer: Viewer,
    filter: EventFilter | None,
    pairs: Pairs,
    who: Meant,
    page: PageRequest,
    max_days: int,
) -> Explorer:
    """The page; blocks. A filter that can't be answered is told on the page, with what to add.

    `pairs` are the parameters of the address, and `who` has those with the ids of the people that are meant. Without a
    `filter`, `who` says why.
    """
    times = range_of(pairs, viewer)
    chosen = chosen_columns(pairs, viewer)
    found, problem = EventPage(events=[], has_next=False, has_previous=False, as_of_position=-1), who.problem
    counted = Matches(None, None, "")
    if filter is not None:
        wanted = during(filter, times.begin, times.end)
        try:
            found = models.events(models.prepare(wanted, max_days=max_days), page)
        except (ConflictError, TooSlowError) as exc:
            problem = problem_of(exc, pairs)
        else:
            counted = count_matches(models, viewer, wanted, pairs, times, max_days)
    head = log.tree_head() if viewer.may(Operation.READ_PROOFS) else None
    oldest = log.oldest() if viewer.may(Operation.READ_PROOFS) else None
    first = page.after is None and page.before is None and not page.oldest_first
    followed = first and not problem and viewer.may(Operation.FOLLOW_EVENTS)
    plain = [*conditions(pairs), *choices(pairs)]
    return Explorer(
        viewer=viewer,
        title="Events",
        chips=chips(pairs),
        named=who.named,
        notes=[*who.notes, *_hidden_columns(chosen)],
        fields=fields(pairs, viewer, finds_names=models.finds_names),
        choices=[
            Choice(column.name, column.heading, column in chosen.columns)
            for column in columns.offered(viewer)
        ],
        hidden=hidden(pairs),
        given=plain,
        times=times,
        begin=viewer.moment(times.begin),
        end=viewer.moment(times.end),
        columns=chosen.columns,
        rows=rows_of(
            found.events,
            viewer,
            chosen.columns,
            pivot=pivot_of(viewer),
            search=search_of(pairs),
        ),
        histogram=counted.bars,
        uncounted=counted.problem,
        events=counted.events,
        older=turned(pairs, "after", found.next_after),
        newer=turned(pairs, "before", found.previous_before),
        refresh=links.explore(plain),
        live=_live(plain, found.as_of_position) if followed else None,
        share=links.share([*conditions(who.pairs), *_ranges(pairs)]) if viewer.may_share else "",
        exports=offer(viewer, [*conditions(who.pairs), *_moments(times)]),
        last=dict(pairs).get("last", ""),
        lasts=LASTS,
        problem=problem,
        lag=0 if head is None or problem else max(head.size - 1 - found.as_of_position, 0),
        oldest=None if oldest is None else (oldest[0], viewer.moment(oldest[1])),
        as_of_position=found.as_of_position,
    )


def chosen_columns(pairs: Pairs, viewer: Viewer) -> Chosen:
    """The columns that the address names. Raises `RejectedError` for a name that none has."""
    return columns.chosen(dict(pairs).get(columns.PARAMETER, "").split(","), viewer)


def search_of(pairs: Pairs) -> Callable[[Sequence[Term]], str]:
    """Where a value leads that has no page of its own."""
    return lambda terms: searched(pairs, terms)


def _live(plain: Pairs, position: int) -> str:
    query = links.explore(plain).partition("?")[2]
    return f"{LIVE}?{query}{'&' if query else ''}position={position}"


def _hidden_columns(chosen: Chosen) -> list[str]:
    if not chosen.refused:
        return []
    return [f"Your role may not see these columns: {', '.join(each.heading for each in chosen.refused)}."]


def _ranges(pairs: Pairs) -> list[tuple[str, str]]:
    return [(name, value) for name, value in pairs if name in RANGE and value]


def _moments(times: Range) -> list[tuple[str, str]]:
    """The range as moments: what "the last day" was when the page was made."""
    return [("from", times.begin.isoformat()), ("to", times.end.isoformat())]
