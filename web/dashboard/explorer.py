"""The explorer over HTTP: its page, and the stream of new events for a page that follows."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dashboard import links
from dashboard.columns import PARAMETER as COLUMNS
from dashboard.explorer.addresses import MAX_LENGTH, Pairs, changed
from dashboard.explorer.new_events import NewEvents, NewRows, new_events, new_rows
from dashboard.explorer.page import PAGE, Explorer, chosen_columns, explore
from dashboard.explorer.people import Meant, meant, nobody
from dashboard.explorer.pivots import refused
from dashboard.explorer.ranges import range_of
from dashboard.explorer.saved_views import explorer_views
from dashboard.render import render
from domain.access.grants import Operation
from domain.errors import (
    AccessDeniedError,
    ConflictError,
    Reason,
    RejectedError,
    TooSlowError,
    UnavailableError,
    UnrecordedError,
)
from event_store.log_reader import LogReader
from queries.filters.event_filter import MAX_POSITION, EventFilter, during
from queries.following.feed import Feed
from queries.scoped.log import ScopedLog
from queries.scoped.query_description import parameters_of
from queries.scoped.read_models import ScopedModels
from web.dashboard.addresses import filter_of_pairs, filter_of_query, kept_pairs, page_asked, refuse_many
from web.dashboard.event_stream import EventStream, Tail
from web.dashboard.host import Host
from web.http.page_paths import LIVE
from web.parameters.filter_query import refuse_repeated, renamed
from web.read_audit.access_record import access_record_of
from web.settings import WebSettings

_POSITION = "position"
_AWAY = (
    "The database is away, so no list can be shown. Nothing is lost: what services report waits in Kafka until it is "
    "back. Try again in a moment"
)


class _Question(NamedTuple):
    """What a page asks: the filter, and who is meant by its names."""

    filter: EventFilter
    who: Meant


class ExplorerPages:
    """The explorer of one application."""

    def __init__(
        self,
        host: Host,
        log: LogReader,
        feed: Feed,
        settings: WebSettings,
    ) -> None:
        self._host = host
        self._access = host.access
        self._threads = host.threads
        self._log = log
        self._feed = feed
        self._max_days = settings.limits.max_unindexed_days
        self._retry_after = settings.retry_after

    def routes(self) -> list[Route]:
        """The routes."""
        return [Route("/explore", self.page, methods=["GET"]), Route(LIVE, self.live, methods=["GET"])]

    async def page(self, request: Request) -> Response:
        """The list, or why there is none. A button of the list leads to the address with its change."""
        viewer = await self._host.viewer_of(request)
        pairs = _pairs(request)
        tidy = changed(pairs)
        if tidy is not None:
            return self._host.to(links.explore(tidy))
        models = await self._access.models_of(request)
        log = ScopedLog(self._log, viewer.scope)
        given = dict(pairs)
        page = page_asked(given, PAGE, oldest_first=given.get("order") == "oldest")

        def build() -> Explorer:
            try:
                filter, who = _question(models, pairs)
            except ConflictError as exc:
                return explore(models, log, viewer, None, pairs, nobody(pairs, exc), page, self._max_days)
            view = explore(models, log, viewer, filter, pairs, who, page, self._max_days)
            return replace(view, views=explorer_views(models, viewer, kept_pairs(pairs), filter_of_query))

        try:
            view = await self._threads.run(build)
            return await self._host.shown(request, view)
        except RejectedError as exc:
            raise renamed(exc) from exc
        except AccessDeniedError:
            names = refused(viewer, pairs)
            said = (
                f"Your role may not query by {', '.join(names)}"
                if names
                else "Your role may not query events"
            )
            return self._host.notice(
                request, 403, "You may not see this", f"{said}. The attempt is recorded."
            )
        except (TooSlowError, UnrecordedError):
            raise
        except UnavailableError:
            answer = self._host.notice(request, 503, "The database is away", f"{_AWAY}.")
            answer.headers["Retry-After"] = str(self._retry_after)
            return answer

    async def live(self, request: Request) -> Response:
        """The stream of new events of a list, as rendered rows."""
        viewer = await self._host.viewer_of(request)
        viewer.scope.require(Operation.FOLLOW_EVENTS)
        pairs = [pair for pair in _pairs(request) if pair[0] != _POSITION]
        columns = chosen_columns(pairs, viewer).columns
        times = range_of(pairs, viewer)
        models = await self._access.models_of(request)
        try:
            asked, _ = await self._threads.run(_question, models, pairs)
            # A range that ends now, or today, goes on; only an end that was chosen stays one.
            filter = during(asked, times.begin, times.end if dict(pairs).get("to") else None)
            query = models.prepare(filter)
        except RejectedError as exc:
            raise renamed(exc) from exc
        position = _begin(request)
        if position is None:
            position = query.complete_up_to(await self._threads.run(models.positions))

        async def read(after: int) -> NewEvents:
            # What a patient may see can change at any time, by a decision.
            renewed = await self._access.models_of(request)
            return await self._threads.run(new_events, renewed, filter, after)

        async def rows(found: NewEvents) -> bytes:
            scope = await self._access.scope_of(request)
            view: NewRows = new_rows(found, replace(viewer, scope=scope), columns, pairs)
            return await self._threads.run(render, view)

        tail = Tail(request, self._feed, access_record_of(request), read, rows)
        return EventStream(tail.stream(position, parameters_of(filter, after=position)))


def _question(models: ScopedModels, pairs: Pairs) -> _Question:
    who = meant(models, pairs)
    return _Question(filter_of_pairs(who.pairs), who)


def _pairs(request: Request) -> list[tuple[str, str]]:
    """The parameters of the address.

    Raises `RejectedError` for too many parameters, and for a repeated one that may be given only once.
    """
    refuse_repeated(request, COLUMNS)
    pairs = request.query_params.multi_items()
    refuse_many(pairs)
    if len(request.url.query) > MAX_LENGTH:
        raise RejectedError(
            Reason.INVALID_FIELD, f"an address of at most {MAX_LENGTH} characters", field="filter"
        )
    return pairs


def _begin(request: Request) -> int | None:
    """The position after which a stream begins: that of the last rows before a break, else that of the page."""
    given = request.headers.get("last-event-id") or request.query_params.get(_POSITION, "")
    if not given:
        return None
    if not (given.removeprefix("-").isascii() and given.removeprefix("-").isdigit() and len(given) < 20):
        raise RejectedError(Reason.INVALID_FIELD, "not a position", field=_POSITION)
    position = int(given)
    if not -1 <= position < MAX_POSITION:
        raise RejectedError(Reason.INVALID_FIELD, "not a position", field=_POSITION)
    return position
