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

from domain.catalogue import CATALOGUE
from graphql_api.errors import QueryError
from graphql_api.types.scalars import Long
from queries.error_codes import Code
from queries.filters.conditions import BY_FIELD, INTERNAL, LISTS, MAX_TEXT, ValueKind
from queries.filters.event_filter import GROUPS, MAX_DEPTH, MAX_TERMS, EventFilter


def with_conditions(cls: type[EventFilterInput]) -> type[EventFilterInput]:
    """Give the input an optional field for each condition; null and absent are the same."""
    own = cls.__annotations__
    cls.__annotations__ = {name: _type_of(name) | None for name in _CONDITIONS} | own
    for name in _CONDITIONS:
        setattr(cls, name, strawberry.field(description=_description(name), default=None))
    return cls


_CONDITIONS = tuple(
    name for name in EventFilter.__struct_fields__ if name not in GROUPS and BY_FIELD[name] not in INTERNAL
)


def _type_of(field: str) -> Any:
    condition = BY_FIELD[field]
    kinds: dict[ValueKind, Any] = {ValueKind.FLAG: bool, ValueKind.TIME: datetime, ValueKind.POSITION: Long}
    value: Any = condition.enum or kinds.get(condition.kind, str)
    return list[value] if field == condition.many else value


def _description(field: str) -> str:
    condition = BY_FIELD[field]
    if condition.needs:
        return f"{condition.help}; needs `{to_camel_case(condition.needs)}`."
    if condition.kind is ValueKind.TIME:
        return f"{condition.help}; give an offset."
    return f"{condition.help}: one of these." if field == condition.many else f"{condition.help}."


def nested(name: str, description: str) -> Any:
    """An optional filter within the filter, or a list of them."""
    return strawberry.field(name=name, description=description, default=None)


@strawberry.input(
    name="EventFilter",
    description="All given conditions must hold; of a list, one value must match. Filters may hold filters: "
    f"{MAX_DEPTH} levels, {MAX_TERMS} conditions in all.",
)
@with_conditions
class EventFilterInput:
    """The conditions of a filter, as a client gives them: a field for each of `EventFilter`."""

    and_: list[EventFilterInput] | None = nested("and", "Every one of these filters must match too.")
    or_: list[EventFilterInput] | None = nested("or", "One of these filters must match.")
    not_: EventFilterInput | None = nested(
        "not",
        "This filter must not match; an event without the value that a condition compares does not match it.",
    )


def _from_input(
    cls: type[EventFilterInput], value: Mapping[str, Any], context: InputContext
) -> EventFilterInput:
    """The input as an object. strawberry would look up all fields again for each request: a tenth of a page's time.

    Every field is a scalar, an enum or a list of them, which graphql-core has converted already, or a filter.
    """
    given = {_NAMES[key]: condition for key, condition in value.items()}
    for name in ("and_", "or_"):
        if given.get(name) is not None:
            given[name] = [_from_input(cls, part, context) for part in given[name]]
    if given.get("not_") is not None:
        given["not_"] = _from_input(cls, given["not_"], context)
    return cls(**given)


_NAMES = {to_camel_case(field.name.removesuffix("_")): field.name for field in fields(EventFilterInput)}
get_object_definition(EventFilterInput, strict=True).from_input = _from_input

_SINGLE = tuple(name for name in _CONDITIONS if name not in LISTS)


def filter_from(given: EventFilterInput | None, **subject: str) -> EventFilter:
    """The filter that was given, narrowed to a subject such as `patient="17"`.

    Raises `QueryError` when it asks for another subject, or for a type that the catalogue does not have.
    """
    values = {} if given is None else _values(given)
    for name, value in subject.items():
        if values.get(name) not in (None, value):
            raise QueryError(
                Code.BAD_USER_INPUT, f"`{name}` differs from that of this timeline", argument=name
            )
        values[name] = value
    return EventFilter(**values)


def _values(given: EventFilterInput, depth: int = 0) -> dict[str, Any]:
    if depth > MAX_DEPTH:  # before the read models check it: a variable may be nested by hundreds
        raise QueryError(
            Code.LIMIT_EXCEEDED, f"at most {MAX_DEPTH} levels of and, or, not", argument="filter"
        )
    if max(len(given.and_ or ()), len(given.or_ or ())) > MAX_TERMS:  # before the work on each
        raise QueryError(Code.LIMIT_EXCEEDED, f"at most {MAX_TERMS} conditions in all", argument="filter")
    values: dict[str, Any] = {name: getattr(given, name) for name in _SINGLE}
    for name in (*LISTS, "and_", "or_"):
        if getattr(given, name) == []:
            # An empty list matches no event. If it matched all, a client that computes the list would be surprised.
            raise QueryError(
                Code.BAD_USER_INPUT,
                "an empty list matches nothing; leave the condition out",
                argument=to_camel_case(name.removesuffix("_")),
            )
    values |= {name: tuple(str(value) for value in getattr(given, name) or ()) for name in LISTS}
    for name in values["types"]:
        _check_type(name)
    for name in ("and_", "or_"):
        values[name] = tuple(EventFilter(**_values(part, depth + 1)) for part in getattr(given, name) or ())
    values["not_"] = None if given.not_ is None else EventFilter(**_values(given.not_, depth + 1))
    return values


def _check_type(name: str) -> None:
    if name not in CATALOGUE:
        near = difflib.get_close_matches(name[:MAX_TEXT], CATALOGUE, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise QueryError(Code.BAD_USER_INPUT, f"no such event type{hint}", argument="types")
