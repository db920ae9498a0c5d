"""The fields of Subscription."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import Annotated, Any

import strawberry
from msgspec.structs import replace

from domain.alert_level import Level
from graphql_api.context import Context, Info
from graphql_api.errors import QueryError, translated
from graphql_api.types.alerts import AlertEdge, alert_edge
from graphql_api.types.descriptions import argument, described, documented
from graphql_api.types.event import Event, event_from
from graphql_api.types.filter_input import EventFilterInput, filter_from
from graphql_api.types.scalars import Long
from queries.cursors import decode_place_cursor
from queries.detection.read_models import PROJECTION
from queries.detection.results import END, Place
from queries.error_codes import Code
from queries.filters.event_filter import MAX_POSITION, EventFilter, PageRequest
from queries.following.feed import Feed
from queries.scoped.query_description import parameters_of

_BATCH = 100
"""Events that a subscription reads at once; it holds no more in memory."""
_WALK = 50_000
"""Positions walked in one step for a filter without an index, so that each step ends within the time-out."""


@documented
class ProjectionAdvance:
    """The progress of a projection."""

    name: str = described("The projection.")
    position: Long = described("The position up to which it has applied every event.")


async def _event_recorded(
    info: Info,
    filter: Annotated[EventFilterInput | None, argument("Which events; all when absent.")] = None,
    after: Annotated[
        Long | None,
        argument(
            "Begin after this position: the last one that was seen, or -1 for the whole trail. From now on when absent."
        ),
    ] = None,
) -> AsyncGenerator[Event, None]:
    context = info.context
    feed = _feed(context)
    wanted = filter_from(filter)
    _check(after)
    query = context.prepare(wanted, max_days=0)
    async with context.subscribed(feed):
        now = await context.read(context.models.positions)
        await context.record_start("event_recorded", parameters_of(wanted, after=after))
        position: int = query.complete_up_to(now) if after is None else after
        while True:
            version = feed.version
            async with aclosing(_until_now(context, wanted, position, walks=not query.is_bounded)) as found:
                async for event in found:
                    if isinstance(event, int):
                        position = event
                    else:
                        context.renew()
                        yield event
            if not await _changed(context, feed, version):
                return


async def _until_now(
    context: Context, wanted: EventFilter, position: int, *, walks: bool
) -> AsyncGenerator[Event | int, None]:
    """The events after `position`, oldest first, and between them the positions up to which all were given.

    `walks`: no index finds them, and each step walks at most `_WALK` positions.
    """
    while True:
        step = _step(wanted, position) if walks else wanted
        await context.refresh_models()
        page = PageRequest(last=_BATCH, before=position if position >= 0 else None)
        found = await context.read(context.models.events, context.prepare(step, max_days=0), page)
        if not found.events:
            context.discard_reads()
        for event in reversed(found.events):
            yield event_from(event)
        if found.has_previous:
            position = found.events[0].position
        else:
            reached = found.as_of_position
            if step is not wanted:
                reached = min(reached, position + _WALK)
            if reached <= position:
                return
            position = reached
        yield position


def _step(wanted: EventFilter, position: int) -> EventFilter:
    until = position + 1 + _WALK
    return replace(
        wanted,
        position_until=until if wanted.position_until is None else min(until, wanted.position_until),
    )


async def _alert_raised(
    info: Info,
    level: Annotated[Level | None, argument("Only alerts of this level and above.")] = None,
    after: Annotated[
        str | None, argument("Begin after the alert with this cursor. From now on when absent.")
    ] = None,
) -> AsyncGenerator[AlertEdge, None]:
    context = info.context
    feed = _feed(context)
    with translated():
        place = None if after is None else decode_place_cursor(after, "a")
        context.models.require_cases("alert_raised")
    async with context.subscribed(feed):
        if place is None:
            now = await context.read(context.models.positions)
            place = Place(now.get(PROJECTION, -1), END)
        await context.record_start("alert_raised", {} if level is None else {"level": level.value})
        while True:
            version = feed.version
            more = True
            while more:
                found = await context.read(context.models.follow_alerts, level, _BATCH, place)
                if not found.alerts:
                    context.discard_reads()
                for alert in found.alerts:
                    context.renew()
                    yield alert_edge(alert)
                place, more = found.place, found.more
            if not await _changed(context, feed, version):
                return


async def _projection_advanced(
    info: Info,
    names: Annotated[list[str] | None, argument("Which projections; all that are live when absent.")] = None,
    after: Annotated[
        Long | None, argument("Say at first only what is beyond this position; everything when absent.")
    ] = None,
) -> AsyncGenerator[ProjectionAdvance, None]:
    context = info.context
    feed = _feed(context)
    _check(after)
    # Any reader may read positions; to follow projections by name needs the right to read their status.
    await context.read(context.models.projections)
    async with context.subscribed(feed):
        positions = await context.read(context.models.positions)
        if names is not None and not set(names) <= set(positions):
            raise QueryError(Code.BAD_USER_INPUT, "no live projection has this name", argument="names")
        sent = (
            {} if after is None else {name: max(after, at) for name, at in positions.items() if at <= after}
        )
        while True:
            version = feed.version
            for name, position in sorted(positions.items()):
                if (names is None or name in names) and sent.get(name, -2) != position:
                    sent[name] = position
                    yield ProjectionAdvance(name=name, position=Long(position))
            if not await _changed(context, feed, version):
                return
            positions = feed.positions


async def _changed(context: Context, feed: Feed, version: int) -> bool:
    """Wait for a change, until the principal's token expires, which ends the subscription."""
    principal = context.principal
    ends = principal.expires_at if principal is not None else None
    left = None if ends is None else (ends - datetime.now(UTC)).total_seconds()
    if left is None or left > 0:
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                return await feed.changed(version)
    raise QueryError(Code.UNAUTHENTICATED, "the token has expired; subscribe again with another")


def _feed(context: Context) -> Feed:
    if context.feed is None:
        raise QueryError(Code.UNAVAILABLE, "subscriptions are not served here")
    return context.feed


def _check(after: int | None) -> None:
    if after is not None and not -1 <= after < MAX_POSITION:
        raise QueryError(Code.BAD_USER_INPUT, "a position is from -1 to 2^63 - 2", argument="after")


def _followed(resolver: Any, description: str) -> Any:
    return strawberry.subscription(resolver=resolver, description=description)


@documented
class Subscription:
    """All subscriptions of the API, over graphql-transport-ws or as server-sent events."""

    event_recorded: Event = _followed(
        _event_recorded,
        "Each event that matches, in the order of recording, as soon as the read models have it. None is "
        "left out and none comes twice: after a reconnect, continue after the position of the last one.",
    )
    alert_raised: AlertEdge = _followed(
        _alert_raised,
        "Each alert that nothing holds back, in the order of the log, as soon as the read model has it. None is "
        "left out and none comes twice: after a reconnect, continue after the cursor of the last one.",
    )
    projection_advanced: ProjectionAdvance = _followed(
        _projection_advanced,
        "The position of each projection, and then each change of it. Changes in quick succession are "
        "combined.",
    )
