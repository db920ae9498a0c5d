"""What calls may give for the fields of an event: short forms, and one or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, TypedDict, TypeVar
from uuid import UUID

from audit_trail_publisher.generated.event import (
    Action,
    Actor,
    Client,
    Coding,
    Device,
    Outcome,
    Patient,
    Request,
    Resource,
)

ActorLike = Actor | str
"""An actor, or the id of a user."""
PatientLike = Patient | str
"""A patient, or the id of one."""
DeviceLike = Device | str
"""A device, or the id of one."""
ResourceLike = Resource | tuple[str, str]
"""A resource, or its type and id: ``("Observation", "o-1")``."""

R_co = TypeVar("R_co", covariant=True)


class EventFields(TypedDict, total=False):
    """The fields that every method for an event type accepts besides its own.

    What is left out comes from the context (`actor`, `session`, `client`, `correlation_id`, `request`,
    `purpose_of_use`), or is set by the client (`event_id`, `occurred_at`).
    """

    actor: ActorLike
    session: str
    client: Client
    correlation_id: str
    request: Request
    purpose_of_use: Sequence[str]
    outcome: Outcome
    outcome_reason: str
    emergency: bool
    codes: Sequence[Coding]
    attributes: Mapping[str, Any]
    action: Action
    occurred_at: datetime
    event_id: UUID


class Emit(Protocol[R_co]):
    """Builds an event of `type` from `fields` and `given`, and does with it what its channel is for."""

    def __call__(self, type: str, fields: Mapping[str, Any], **given: Any) -> R_co:
        """Raises `InvalidEventError` for what is no valid event."""
        ...


def an_actor(value: ActorLike) -> Actor:
    """The actor that a call means."""
    return Actor(id=value) if isinstance(value, str) else value


def some_patients(value: PatientLike | Sequence[PatientLike] | None) -> tuple[Patient, ...]:
    """The patients that a call means."""
    if value is None:
        return ()
    if isinstance(value, str | Patient):
        value = [value]
    return tuple(Patient(id=each) if isinstance(each, str) else each for each in value)


def a_device(value: DeviceLike) -> Device:
    """The device that a call means."""
    return Device(id=value) if isinstance(value, str) else value


def some_resources(value: ResourceLike | Sequence[ResourceLike] | None) -> tuple[Resource, ...]:
    """The resources that a call means. A pair of strings is one: its type and its id."""
    if value is None:
        return ()
    if isinstance(value, Resource):
        return (value,)
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        return (_resource(value),)
    return tuple(map(_resource, value))


def _resource(value: ResourceLike) -> Resource:
    return Resource(type=value[0], id=value[1]) if isinstance(value, tuple) else value
