"""The filter of events, as an input of the schema."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

import strawberry
from strawberry.types import get_object_definition
from strawberry.types.arguments import InputContext
from strawberry.utils.str_converters import to_camel_case

from domain.catalogue import CATALOGUE, Category
from domain.event import Action, Outcome
from graphql_api.errors import Code, QueryError
from projections.filters import LISTS, EventFilter


def condition(description: str) -> Any:
    """An optional condition; null and absent are the same."""
    return strawberry.field(description=description, default=None)


@strawberry.input(
    name="EventFilter", description="All given conditions must hold; of a list, one value must match."
)
class EventFilterInput:
    """The conditions of a filter, as a client gives them."""

    actor: str | None = condition("The id of the actor, of whatever kind.")
    patient: str | None = condition("The id of a patient that the event is about.")
    user: str | None = condition("The id of the user who acted.")
    device: str | None = condition("The id of the device that the event is about, or that acted.")
    service: str | None = condition("The reporting service.")
    resource_type: str | None = condition("The type of a resource that was touched.")
    resource_id: str | None = condition("The id of a resource that was touched; needs `resourceType`.")
    types: list[str] | None = condition("Event types, names of the catalogue.")
    categories: list[Category] | None = condition("Categories of event types.")
    actions: list[Action] | None = condition("Actions.")
    outcomes: list[Outcome] | None = condition("Outcomes.")
    purposes: list[str] | None = condition("Purposes of use, as codes.")
    source: str | None = condition("The reporting service, beside `service`.")
    correlation_id: str | None = condition("The correlation id.")
    session: str | None = condition("The session.")
    address: str | None = condition("The client's network address.")
    emergency: bool | None = condition("Whether it was emergency (break-glass) access.")
    occurred_from: datetime | None = condition("Occurred at this time or later; give an offset.")
    occurred_until: datetime | None = condition("Occurred before this time; give an offset.")


def _from_input(
    cls: type[EventFilterInput], value: Mapping[str, Any], context: InputContext
) -> EventFilterInput:
    """As strawberry would, which looks up each of the 19 fields anew for each request: a tenth of a page's time.

    Every field is a scalar, an enum or a list of them, which graphql-core has converted already.
    """
    del context
    return cls(**{name: value.get(key) for name, key in _KEYS.items()})


_KEYS = {field.name: to_camel_case(field.name) for field in fields(EventFilterInput)}
get_object_definition(EventFilterInput, strict=True).from_input = _from_input

_SINGLE = tuple(name for name in EventFilter.__struct_fields__ if name not in LISTS)


def filter_from(given: EventFilterInput | None, **subject: str) -> EventFilter:
    """The filter that was given, narrowed to a subject such as `patient="17"`.

    Raises `QueryError` when it asks for another subject, or for a type that the catalogue does not have.
    """
    values: dict[str, Any] = {}
    if given is not None:
        values = {name: getattr(given, name) for name in _SINGLE}
        for name in LISTS:
            if getattr(given, name) == []:
                # No event has one of no values; and to answer with all would surprise whoever computed the list.
                raise QueryError(
                    Code.BAD_USER_INPUT,
                    "an empty list matches nothing; leave the condition out",
                    argument=name,
                )
        values |= {name: tuple(str(value) for value in getattr(given, name) or ()) for name in LISTS}
        for name in values["types"]:
            _check_type(name)
    for name, value in subject.items():
        if values.get(name) not in (None, value):
            raise QueryError(
                Code.BAD_USER_INPUT, f"`{name}` is another one than this timeline's", argument=name
            )
        values[name] = value
    return EventFilter(**values)


def _check_type(name: str) -> None:
    if name not in CATALOGUE:
        near = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise QueryError(Code.BAD_USER_INPUT, f"no such event type{hint}", argument="types")
