"""The fields of Query: the arguments of each, its read model, and its answer."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import strawberry

from graphql_api.context import Context, Info
from graphql_api.errors import QueryError, translated
from graphql_api.types import summaries as subjects
from graphql_api.types.arguments import Id, Limit, MinPosition, WaitForPosition, WaitSeconds
from graphql_api.types.connection import (
    After,
    Before,
    EventConnection,
    First,
    Last,
    events_page,
    page_request,
)
from graphql_api.types.counts import CountQueries
from graphql_api.types.descriptions import argument, documented
from graphql_api.types.detection import DetectionQueries
from graphql_api.types.event import Event, Node, event_from
from graphql_api.types.event_order import OrderBy
from graphql_api.types.filter_input import filter_from
from graphql_api.types.merkle import ConsistencyProof, TreeHead, consistency_from, head_from
from graphql_api.types.nodes import find_node, find_nodes, require_node
from graphql_api.types.projections import ProjectionModel, model_from
from graphql_api.types.review_queries import ReviewQueries
from graphql_api.types.scalars import Long
from graphql_api.types.summaries import Filter
from graphql_api.types.summary_lists import ROWS, ListLimit, rows_to_read
from graphql_api.types.summary_rows import Follower, Projection, SequenceGap
from graphql_api.types.watched_targets import WatchedTarget
from queries import watched_targets as watched
from queries.cursors import decode_id
from queries.error_codes import Code
from queries.filters.checks import check_identifier
from queries.freshness import Freshness, least_of
from queries.summaries import results


async def _event(info: Info, id: Annotated[UUID, argument("The event id.")]) -> Event | None:
    found = await info.context.read(info.context.models.event, id)
    return None if found is None else event_from(found)


async def _events(
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    filter: Filter = None,
    order_by: OrderBy = None,
    min_position: MinPosition = None,
    wait_for_position: WaitForPosition = None,
    wait_seconds: WaitSeconds = None,
) -> EventConnection:
    page = page_request(info.context, first, after, last, before, order_by)
    query = info.context.prepare(filter_from(filter))
    freshness = Freshness(min_position, wait_for_position, wait_seconds)
    await info.context.wait(freshness, query.complete_up_to)
    found = await events_page(info.context, query, page)
    info.context.compare(freshness, found.as_of_position)
    return found


async def _patient(
    info: Info,
    id: Id,
    limit: Limit = ROWS,
    min_position: MinPosition = None,
    wait_for_position: WaitForPosition = None,
    wait_seconds: WaitSeconds = None,
) -> subjects.PatientActivity | None:
    info.context.require("patient", id)
    rows = rows_to_read(info, limit)
    await info.context.wait(Freshness(min_position, wait_for_position, wait_seconds), least_of(["patient"]))
    found = await info.context.read(info.context.models.patient, id, rows)
    return None if found is None else subjects.patient_from(found, limit)


async def _user(
    info: Info,
    id: Id,
    limit: Limit = ROWS,
    min_position: MinPosition = None,
    wait_for_position: WaitForPosition = None,
    wait_seconds: WaitSeconds = None,
) -> subjects.UserActivity | None:
    info.context.require("user", id)
    rows = rows_to_read(info, limit)
    await info.context.wait(
        Freshness(min_position, wait_for_position, wait_seconds), least_of(["user", "patient"])
    )
    found = await info.context.read(info.context.models.user, id, rows)
    return None if found is None else subjects.user_from(found, limit)


async def _device(
    info: Info,
    id: Id,
    limit: Limit = ROWS,
    min_position: MinPosition = None,
    wait_for_position: WaitForPosition = None,
    wait_seconds: WaitSeconds = None,
) -> subjects.DeviceActivity | None:
    info.context.require("device", id)
    rows = rows_to_read(info, limit)
    await info.context.wait(Freshness(min_position, wait_for_position, wait_seconds), least_of(["device"]))
    found = await info.context.read(info.context.models.device, id, rows)
    return None if found is None else subjects.device_from(found, limit)


async def _service(
    info: Info,
    name: Annotated[str, argument("The service's name.")],
    limit: Limit = ROWS,
    min_position: MinPosition = None,
    wait_for_position: WaitForPosition = None,
    wait_seconds: WaitSeconds = None,
) -> subjects.ServiceActivity | None:
    info.context.require("service", name)
    rows = rows_to_read(info, limit)
    await info.context.wait(Freshness(min_position, wait_for_position, wait_seconds), least_of(["service"]))
    found = await info.context.read(_find_service, info.context, name, rows)
    return None if found is None else subjects.service_from(found, limit)


async def _resource(
    info: Info,
    type: Annotated[str, argument("The resource's type.")],
    id: Id,
    min_position: MinPosition = None,
    wait_for_position: WaitForPosition = None,
    wait_seconds: WaitSeconds = None,
) -> subjects.ResourceActivity | None:
    info.context.require("resource", id, type)
    await info.context.wait(Freshness(min_position, wait_for_position, wait_seconds), least_of(["activity"]))
    found = await info.context.read(info.context.models.resource, type, id)
    return None if found is None else subjects.resource_from(found)


async def _projection(
    info: Info,
    name: Annotated[str, argument("The projection's name.")],
    min_position: MinPosition = None,
    wait_for_position: WaitForPosition = None,
    wait_seconds: WaitSeconds = None,
) -> ProjectionModel | None:
    freshness = Freshness(min_position, wait_for_position, wait_seconds)
    if freshness.wanted:
        # First, as waiting would disclose whether it exists to a principal who may not know.
        await info.context.read(info.context.models.projection, name)
    await info.context.wait(freshness, least_of([name]))
    found = await info.context.read(info.context.models.projection, name)
    return None if found is None else model_from(found)


async def _projections(info: Info) -> Any:
    return await info.context.read(info.context.models.projections)


async def _sequence_gaps(info: Info, limit: ListLimit = None) -> Any:
    size = info.context.list_size(ROWS if limit is None else limit)
    return (await info.context.read(info.context.models.sequence_gaps, size)).gaps


async def _watched_targets(
    info: Info,
    first: Annotated[int, argument("How many targets.")] = ROWS,
    after: Annotated[str | None, argument("Only targets whose names come after this one.")] = None,
) -> Any:
    limit = info.context.list_size(first, "first")
    return (await info.context.read(info.context.models.watched_targets, limit, after or "")).targets


async def _followers(info: Info) -> Any:
    return await info.context.read(info.context.models.followers)


async def _node(
    info: Info, id: Annotated[strawberry.ID, argument("An `id` that this API gave.")]
) -> Node | None:
    with translated():
        kind, name = decode_id(id)
    require_node(info.context, kind, name)
    return await info.context.read(find_node, info.context.models, kind, name, rows_to_read(info))


async def _nodes(
    info: Info, ids: Annotated[list[strawberry.ID], argument("Any `id`s that this API gave, of any types.")]
) -> list[Node | None]:
    context = info.context
    if len(ids) > context.limits.max_page:
        raise QueryError(
            Code.LIMIT_EXCEEDED, f"at most {context.limits.max_page} ids at once", argument="ids"
        )
    context.spend(len(ids))
    with translated():
        wanted = [decode_id(id, "ids") for id in ids]
    for kind, name in wanted:
        require_node(context, kind, name)
    return await context.read(find_nodes, context.models, wanted, rows_to_read(info))


async def _tree_head(
    info: Info,
    size: Annotated[
        Long | None, argument("Of the tree of exactly that many events; the newest when absent.")
    ] = None,
) -> TreeHead | None:
    context = info.context
    context.spend(1)
    found = await (context.newest_head() if size is None else context.read(context.log.tree_head, size))
    return None if found is None else head_from(found)


async def _consistency_proof(
    info: Info,
    first: Annotated[Long, strawberry.argument(name="from", description="The size of the smaller tree.")],
    second: Annotated[Long, strawberry.argument(name="to", description="The size of the larger tree.")],
) -> ConsistencyProof | None:
    info.context.spend(1)
    return consistency_from(await info.context.read(info.context.log.consistency_proof, first, second))


def _find_service(context: Context, name: str, limit: int) -> results.ServiceActivity | None:
    check_identifier("name", name)  # the read model would name the field `id`
    return context.models.service(name, limit)


def _object(resolver: Any, description: str) -> Any:
    return strawberry.field(resolver=resolver, description=description)


@documented
class Query(CountQueries, DetectionQueries, ReviewQueries):
    """All queries of the API."""

    event: Event | None = _object(
        _event, "One event, by the id that its producer gave it; null when there is none."
    )
    events: EventConnection = _object(
        _events, "The events of the whole trail that match, newest first unless `orderBy` says otherwise."
    )
    patient: subjects.PatientActivity | None = _object(
        _patient, "Who accessed a patient's data; null when no event names the patient."
    )
    user: subjects.UserActivity | None = _object(_user, "What a user did; null when no event names the user.")
    device: subjects.DeviceActivity | None = _object(
        _device, "A device over time; null when no event names the device."
    )
    service: subjects.ServiceActivity | None = _object(
        _service, "A service over time; null when no event names the service."
    )
    resource: subjects.ResourceActivity | None = _object(
        _resource, "A resource and its events; null when no event names the resource."
    )
    projections: list[results.ProjectionStatus] = strawberry.field(
        resolver=_projections, graphql_type=list[Projection], description="The progress of each projection."
    )
    followers: list[results.FollowerStatus] = strawberry.field(
        resolver=_followers,
        graphql_type=list[Follower],
        description="The followers that send the log to other systems, and how far each is.",
    )
    projection: ProjectionModel | None = _object(
        _projection,
        "A projection's tables, built-in or custom; null when no live projection has this name.",
    )
    sequence_gaps: list[results.SequenceGap] = strawberry.field(
        resolver=_sequence_gaps,
        graphql_type=list[SequenceGap],
        description="The events that are missing, of all services that number their events; newest gaps first.",
    )
    watched_targets: list[watched.WatchedTarget] = strawberry.field(
        resolver=_watched_targets,
        graphql_type=list[WatchedTarget],
        description="What the watcher checks, by name, and what it found last.",
    )
    node: Node | None = _object(_node, "Any node by its opaque id; null when there is none.")
    nodes: list[Node | None] = _object(
        _nodes, "Nodes by their opaque ids, in the same order; null for a node that does not exist."
    )
    tree_head: TreeHead | None = _object(
        _tree_head,
        "The log's signed tree head; null when no head of that size was signed. A head is signed after each batch.",
    )
    consistency_proof: ConsistencyProof | None = _object(
        _consistency_proof,
        "A consistency proof: a larger tree begins with a smaller one, so nothing was changed.",
    )
