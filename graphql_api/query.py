"""The fields of Query: what each takes, which read model it asks, and what it answers."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import strawberry

from graphql_api import activity_types as subjects
from graphql_api.activity_rows import Projection
from graphql_api.activity_types import Filter
from graphql_api.connection import (
    After,
    Before,
    EventConnection,
    First,
    Last,
    events_page,
    page_request,
)
from graphql_api.context import Context, Info
from graphql_api.cursors import decode_id
from graphql_api.declaring import documented
from graphql_api.errors import Code, QueryError
from graphql_api.event_type import Event, Node, event_from
from graphql_api.filter_input import filter_from
from graphql_api.nodes import find_node
from graphql_api.scalars import Long
from graphql_api.tree_types import ConsistencyProof, TreeHead, consistency_from, head_from
from projections import answers
from projections.filters import check_identifier


def _argument(description: str) -> Any:
    return strawberry.argument(description=description)


Limit = Annotated[int, _argument("How many rows each list of the summary holds at most.")]
Id = Annotated[strawberry.ID, _argument("The identifier, as events name it.")]


async def _event(info: Info, id: Annotated[UUID, _argument("The event id.")]) -> Event | None:
    found = await info.context.read(info.context.models.event, id)
    return None if found is None else event_from(found)


async def _events(
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    filter: Filter = None,
) -> EventConnection:
    page = page_request(info.context, first, after, last, before)
    return await events_page(info.context, filter_from(filter), page)


async def _patient(info: Info, id: Id, limit: Limit = 100) -> subjects.PatientActivity | None:
    found = await info.context.read(info.context.models.patient, id, _checked(info.context, limit))
    return None if found is None else subjects.patient_from(found)


async def _user(info: Info, id: Id, limit: Limit = 100) -> subjects.UserActivity | None:
    found = await info.context.read(info.context.models.user, id, _checked(info.context, limit))
    return None if found is None else subjects.user_from(found)


async def _device(info: Info, id: Id, limit: Limit = 100) -> subjects.DeviceActivity | None:
    found = await info.context.read(info.context.models.device, id, _checked(info.context, limit))
    return None if found is None else subjects.device_from(found)


async def _service(
    info: Info, name: Annotated[str, _argument("The service's name.")], limit: Limit = 100
) -> subjects.ServiceActivity | None:
    found = await info.context.read(_find_service, info.context, name, _checked(info.context, limit))
    return None if found is None else subjects.service_from(found)


async def _resource(
    info: Info, type: Annotated[str, _argument("The resource's type.")], id: Id
) -> subjects.ResourceActivity | None:
    found = await info.context.read(info.context.models.resource, type, id)
    return None if found is None else subjects.resource_from(found)


async def _projections(info: Info) -> Any:
    return await info.context.read(info.context.models.projections)


async def _node(
    info: Info, id: Annotated[strawberry.ID, _argument("An `id` that this API gave.")]
) -> Node | None:
    kind, name = decode_id(id)
    return await info.context.read(find_node, info.context.models, kind, name)


async def _tree_head(
    info: Info,
    size: Annotated[
        Long | None, _argument("Of the tree of exactly that many events; the newest when absent.")
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


def _find_service(context: Context, name: str, limit: int) -> answers.ServiceActivity | None:
    check_identifier("name", name)  # the read model would call it `id`
    return context.models.service(name, limit)


def _checked(context: Context, limit: int) -> int:
    if 1 <= limit <= context.limits.max_list:
        return limit
    raise QueryError(Code.LIMIT_EXCEEDED, f"`limit` is from 1 to {context.limits.max_list}", argument="limit")


def _answered(resolver: Any, description: str) -> Any:
    return strawberry.field(resolver=resolver, description=description)


@documented
class Query:
    """Everything that may be asked of the trail."""

    event: Event | None = _answered(
        _event, "One event, by the id that its producer gave it; null when there is none."
    )
    events: EventConnection = _answered(_events, "The events of the whole trail that match, newest first.")
    patient: subjects.PatientActivity | None = _answered(
        _patient, "Who accessed a patient's data; null when no event names the patient."
    )
    user: subjects.UserActivity | None = _answered(
        _user, "What a user did; null when no event names the user."
    )
    device: subjects.DeviceActivity | None = _answered(
        _device, "A device over time; null when no event names the device."
    )
    service: subjects.ServiceActivity | None = _answered(
        _service, "A service over time; null when no event names the service."
    )
    resource: subjects.ResourceActivity | None = _answered(
        _resource, "A resource and its events; null when no event names the resource."
    )
    projections: list[answers.ProjectionStatus] = strawberry.field(
        resolver=_projections, graphql_type=list[Projection], description="How far each projection is."
    )
    node: Node | None = _answered(_node, "Any node by its opaque id; null when there is none.")
    tree_head: TreeHead | None = _answered(
        _tree_head,
        "The log's signed tree head; null when none was signed at that size, which is where a batch ended.",
    )
    consistency_proof: ConsistencyProof | None = _answered(
        _consistency_proof,
        "That a larger tree of the log begins with a smaller one: nothing was changed since.",
    )
