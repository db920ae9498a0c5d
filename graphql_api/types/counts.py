"""Counts of events in the schema."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from graphql_api.context import Info
from graphql_api.types.arguments import MinPosition, WaitForPosition, WaitSeconds
from graphql_api.types.descriptions import argument, described, documented, part
from graphql_api.types.filter_input import EventFilterInput, filter_from
from graphql_api.types.scalars import Long
from queries import counts
from queries.filters.event_filter import CountBy, Distinct
from queries.freshness import Freshness

strawberry.enum(
    CountBy,
    name="CountBy",
    description="The attribute that counts are grouped by. Hours and days are by the sources' clocks, in UTC. An event "
    "of several patients is in the bucket of each, and one of no patient in none.",
)
strawberry.enum(
    Distinct,
    name="Distinct",
    description="What a count tells beside the number of events: how many different patients or actors they name.",
)


@documented
class EventCount:
    """The events of one bucket."""

    key: str | None = described(
        "The type, the actor's or patient's id, the service, the action (C, R, U, D, E), the outcome, or the beginning "
        "of the hour or day; null for events that say nothing of it."
    )
    from_at: datetime | None = strawberry.field(
        name="from", description="When the hour or day begins; null for other buckets."
    )
    until_at: datetime | None = strawberry.field(
        name="until", description="When the hour or day has ended; null for other buckets."
    )
    events: Long = described("How many events.")
    patients: Long | None = described(
        "How many different patients they name; null unless `distinct` has `PATIENTS`."
    )
    actors: Long | None = described(
        "How many different actors they name; null unless `distinct` has `ACTORS`."
    )


@documented
class EventCounts:
    """How many events match, in buckets. The numbers are exact."""

    buckets: list[counts.Bucket] = part(
        "The buckets that have events: the largest first, of hours and days the newest first.",
        list[EventCount],
    )
    bucket_count: Long = described("How many buckets there are; `first` may have cut them.")
    events: Long = described(
        "How many events there are in all buckets, those that were cut too. By patient, an event counts once for each "
        "of its patients."
    )
    patients: Long | None = described(
        "How many different patients the events of all buckets name: one in several buckets counts once. Null unless "
        "`distinct` has `PATIENTS`."
    )
    actors: Long | None = described(
        "How many different actors the events of all buckets name: one in several buckets counts once. Null unless "
        "`distinct` has `ACTORS`."
    )
    as_of_position: Long = described(
        "The counts are complete up to this position; -1 when nothing is applied yet."
    )


def counts_from(found: counts.EventCounts) -> EventCounts:
    """The counts as a type of the schema."""
    return EventCounts(
        buckets=found.buckets,
        bucket_count=Long(found.bucket_count),
        events=Long(found.events),
        patients=None if found.patients is None else Long(found.patients),
        actors=None if found.actors is None else Long(found.actors),
        as_of_position=Long(found.as_of_position),
    )


async def _event_counts(
    info: Info,
    by: Annotated[CountBy, argument("The attribute that events are grouped by.")],
    filter: Annotated[EventFilterInput | None, argument("Which events are counted.")] = None,
    first: Annotated[
        int, argument("The maximum number of buckets; each counts as an event of the request.")
    ] = 100,
    distinct: Annotated[
        list[Distinct] | None, argument("Count different patients or actors too. It takes more time.")
    ] = None,
    min_position: MinPosition = None,
    wait_for_position: WaitForPosition = None,
    wait_seconds: WaitSeconds = None,
) -> EventCounts:
    context = info.context
    context.spend(context.list_size(first, "first"))
    query = context.prepare(filter_from(filter), by, distinct or ())
    freshness = Freshness(min_position, wait_for_position, wait_seconds)
    await context.wait(freshness, query.complete_up_to)
    found = await context.read(context.models.event_counts, query, first)
    context.compare(freshness, found.as_of_position)
    return counts_from(found)


@documented
class CountQueries:
    """All counts of the API."""

    event_counts: EventCounts = strawberry.field(
        resolver=_event_counts,
        description="How many events match, by type, actor, hour and so on. Needs a range of times or a condition "
        "with an index; a precomputed count needs neither.",
    )
