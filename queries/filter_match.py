"""Whether one event matches a filter, told from the event itself: it need not be in a read model yet.

The same answers as the SQL of `queries.filter_sql`: an event that does not say what is asked does not match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from domain.catalogue import CATALOGUE
from domain.event import PERSONS, Action, ActorKind, AuditEvent, RecordedEvent
from projections.models.activity import DEFAULT_ACTIONS
from queries.filter_sql import types_of
from queries.filters import EventFilter


def matches(filter: EventFilter, recorded: RecordedEvent) -> bool:
    """Whether all conditions hold."""
    event = recorded.event
    return (
        all(_holds(filter, name, said(event)) for name, said in _SAID.items())
        and _names_resource(filter, event)
        and _is_of_kind(filter, event)
        and _is_within(filter, recorded)
        and all(matches(each, recorded) for each in filter.and_)
        and (not filter.or_ or any(matches(each, recorded) for each in filter.or_))
        and (filter.not_ is None or not matches(filter.not_, recorded))
    )


def _actor(event: AuditEvent) -> set[str | None]:
    return {event.actor.id}


def _user(event: AuditEvent) -> set[str | None]:
    return {event.actor.id} if event.actor.kind in PERSONS else set()


def _devices(event: AuditEvent) -> set[str | None]:
    acting = {event.actor.id} if event.actor.kind is ActorKind.DEVICE else set()
    return acting | ({event.device.id} if event.device is not None else set())


def _service(event: AuditEvent) -> set[str | None]:
    return {event.source.service}


def _address(event: AuditEvent) -> set[str | None]:
    return {event.client.address} if event.client is not None else set()


_SAID: dict[str, Callable[[AuditEvent], set[str | None]]] = {
    "actor": _actor,
    "patient": lambda event: {patient.id for patient in event.patients},
    "user": _user,
    "device": _devices,
    "service": _service,
    "source": _service,
    "session": lambda event: {event.session},
    "correlation_id": lambda event: {event.correlation_id},
    "address": _address,
}


def _holds(filter: EventFilter, name: str, said: set[str | None]) -> bool:
    one, many = getattr(filter, name), getattr(filter, f"{name}_in", ())
    prefix = getattr(filter, f"{name}_prefix", None)
    return (
        (one is None or one in said)
        and (not many or not said.isdisjoint(many))
        and (prefix is None or any(text is not None and text.startswith(prefix) for text in said))
    )


def _names_resource(filter: EventFilter, event: AuditEvent) -> bool:
    return filter.resource_type is None or any(
        resource.type == filter.resource_type and filter.resource_id in (None, resource.id)
        for resource in event.resources
    )


def _is_of_kind(filter: EventFilter, event: AuditEvent) -> bool:
    types = types_of(filter)
    action = event.action or DEFAULT_ACTIONS.get(event.type, Action.EXECUTE)
    return (
        (types is None or (event.type in CATALOGUE and event.type in types))
        and _one_of(filter.actions, [action.value])
        and _one_of(filter.outcomes, [event.outcome.value])
        and _one_of(filter.purposes, event.purpose_of_use)
        and filter.emergency in (None, event.emergency)
    )


def _one_of(wanted: tuple[str, ...], said: Iterable[str]) -> bool:
    return not wanted or any(each in wanted for each in said)


def _is_within(filter: EventFilter, recorded: RecordedEvent) -> bool:
    moment, position = recorded.event.occurred_at, recorded.position
    return (
        (filter.occurred_from is None or moment >= filter.occurred_from)
        and (filter.occurred_until is None or moment < filter.occurred_until)
        and (filter.position_from is None or position >= filter.position_from)
        and (filter.position_until is None or position < filter.position_until)
    )
