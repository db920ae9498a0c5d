"""The look-up of a node by its id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID

import msgspec

from graphql_api.context import Context
from graphql_api.errors import QueryError
from graphql_api.types import summaries as subjects
from graphql_api.types.event import Node, event_from
from queries.error_codes import Code
from queries.scoped.read_models import ScopedModels

A = TypeVar("A")


def find_node(models: ScopedModels, kind: str, name: str) -> Node | None:
    """The node of this kind and name; blocks. Raises `QueryError` for an id that is not of this API."""
    find = _FINDERS.get(kind)
    if find is None:
        raise _no_node()
    return find(models, name)


def find_nodes(models: ScopedModels, wanted: Sequence[tuple[str, str]]) -> list[Node | None]:
    """The nodes of these kinds and names, in that order; blocks. Raises as `find_node`."""
    return [find_node(models, kind, name) for kind, name in wanted]


def require_node(context: Context, kind: str, name: str) -> None:
    """Raise `QueryError` when the principal may not read a summary; see `Context.require`."""
    if kind == "ResourceActivity":
        type, id = _type_and_id(name)
        context.require("resource", id, type)
    elif kind in _FINDERS and kind != "Event":
        context.require(kind.removesuffix("Activity").lower(), name)


def _type_and_id(name: str) -> tuple[str, str]:
    try:
        return msgspec.json.decode(name, type=tuple[str, str])
    except msgspec.DecodeError as exc:
        raise _no_node() from exc


def _event(models: ScopedModels, name: str) -> Node | None:
    try:
        event_id = UUID(name)
    except ValueError as exc:
        raise _no_node() from exc
    return _node_of(event_from, models.event(event_id))


def _resource(models: ScopedModels, name: str) -> Node | None:
    type, id = _type_and_id(name)
    return _node_of(subjects.resource_from, models.resource(type, id))


def _node_of(make: Callable[[A], Node], found: A | None) -> Node | None:
    return None if found is None else make(found)


def _no_node() -> QueryError:
    return QueryError(Code.BAD_USER_INPUT, "this is not the id of a node of this API", argument="id")


_FINDERS: dict[str, Callable[[ScopedModels, str], Node | None]] = {
    "Event": _event,
    "PatientActivity": lambda models, name: _node_of(subjects.patient_from, models.patient(name)),
    "UserActivity": lambda models, name: _node_of(subjects.user_from, models.user(name)),
    "DeviceActivity": lambda models, name: _node_of(subjects.device_from, models.device(name)),
    "ServiceActivity": lambda models, name: _node_of(subjects.service_from, models.service(name)),
    "ResourceActivity": _resource,
}
