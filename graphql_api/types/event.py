"""An event in the schema."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from domain import event as facts
from domain.catalogue import CATALOGUE, GENERIC_TYPE, Category, EventType
from domain.event import Action, AuditEvent, Outcome, RecordedEvent
from graphql_api.context import Info
from graphql_api.types import event_parts as parts
from graphql_api.types.descriptions import described, documented, part
from graphql_api.types.merkle import InclusionProof, inclusion_from
from graphql_api.types.scalars import Long
from queries.cursors import encode_id


@strawberry.interface(description="An object that `node(id)` and `nodes(ids)` can fetch.")
class Node:
    """An object that `node(id)` can fetch."""

    id: strawberry.ID = described("An opaque id, unique in the whole API.")


TreeSize = Annotated[
    Long | None,
    strawberry.argument(
        description="In the tree of that many events; when absent, in the newest tree that is signed."
    ),
]


async def _inclusion_proof(self: Event, info: Info, tree_size: TreeSize = None) -> InclusionProof | None:
    info.context.spend(1)
    return inclusion_from(await info.context.inclusion_proof(self.position, tree_size))


@documented
class Event(Node):
    """A recorded audit event: who did what, to whom, when, why and with what outcome."""

    event_id: UUID = described("The producer's id of the event; the same event is never recorded twice.")
    position: Long = described("The place in the whole log: dense from 0, in the order of recording.")
    recorded_at: datetime = described("When the trail recorded the event, by the trail's own clock.")
    stream: UUID = described("The stream that the event came by (a Kafka partition).")
    stream_position: Long = described("The place in that stream (a Kafka offset).")
    type: str = described("The event type, a name of the catalogue such as `record.read`.")
    category: Category = described("The type's category in the catalogue.")
    action: Action = described("The action; the catalogue's default for the type when the source gave none.")
    occurred_at: datetime = described("When it happened, by the source's clock.")
    source: facts.Source = part("The service that reports the event.", parts.Source)
    actor: facts.Actor = part("Who acted.", parts.Actor)
    session: str | None = described("The session or token in which the actor acted.")
    client: facts.Client | None = part("Where the actor came from.", parts.Client | None)
    outcome: Outcome = described("The outcome.")
    outcome_reason: str | None = described("The reason for the outcome.")
    patients: tuple[facts.Patient, ...] = part("The patients that it is about.", list[parts.Patient])
    device: facts.Device | None = part("The device that it is about.", parts.Device | None)
    resources: tuple[facts.Resource, ...] = part("What was touched.", list[parts.Resource])
    changes: tuple[facts.Change, ...] = part(
        "What changed, with the values before and after.", list[parts.Change]
    )
    purpose_of_use: list[str] = described("The purposes of use, as codes.")
    reason: str | None = described("The reason that the actor gave.")
    emergency: bool = described("Whether it was emergency (break-glass) access.")
    correlation_id: str | None = described("The id shared by all events of one request.")
    request: facts.Request | None = part("The API request behind the event.", parts.Request | None)
    disclosure: facts.Disclosure | None = part("The particulars of a disclosure.", parts.Disclosure | None)
    codes: tuple[facts.Coding, ...] = part("The source's own codes.", list[parts.Coding])
    attributes: JSON = described("Other data of the source, any JSON object.")
    schema_version: int = described("The version of the event's schema.")
    inclusion_proof: InclusionProof | None = strawberry.field(
        resolver=_inclusion_proof,
        description="An inclusion proof; each counts as one event of the request's limit.",
    )


class EventNode(Event):
    """The node of a recorded event. Fields are read only when a query selects them, so a page copies nothing."""

    def __init__(self, recorded: RecordedEvent) -> None:
        self.recorded = recorded


def _read_field(field: str, read: Callable[[EventNode], Any]) -> None:
    # Set here: a type checker expects the fields of `Event` to be writable.
    setattr(EventNode, field, property(read))


_PATHS = {name: f"recorded.{name}" for name in ("position", "recorded_at", "stream", "stream_position")}
_PATHS |= {name: f"recorded.event.{name}" for name in AuditEvent.__struct_fields__}
for _field, _path in _PATHS.items():
    _read_field(_field, attrgetter(_path))
_read_field("id", lambda node: encode_id("Event", str(node.event_id)))
_read_field("category", lambda node: _entry(node.recorded.event.type).category)
_read_field("action", lambda node: (event := node.recorded.event).action or _entry(event.type).action)


# A property costs more time than the attribute. `action` needs one.
setattr(Event, "__paths__", {name: path for name, path in _PATHS.items() if name != "action"})  # noqa: B010


def _entry(type: str) -> EventType:
    return CATALOGUE.get(type) or CATALOGUE[GENERIC_TYPE]


def event_from(recorded: RecordedEvent) -> Event:
    """The node of a recorded event."""
    return EventNode(recorded)
