"""A filter of events from JSON, which has conditions by their names in REST: the reverse of `given_of`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from domain.errors import Reason, RejectedError
from queries.filters.checks import check_filter
from queries.filters.conditions import BY_NAME
from queries.filters.event_filter import EventFilter

_GROUPS = frozenset({"and", "or"})
_TYPES = {each.name: each.type for each in msgspec.structs.fields(EventFilter)}


def filter_from(conditions: Mapping[str, Any]) -> EventFilter:
    """The filter, checked. Raises `RejectedError` that names the condition."""
    return check_filter(_filter(conditions))


def _filter(conditions: Mapping[str, Any]) -> EventFilter:
    fields: dict[str, Any] = {}
    for name, value in conditions.items():
        if name in _GROUPS and isinstance(value, list):
            fields[f"{name}_"] = tuple(_nested(name, each) for each in value)
        elif name == "not":
            fields["not_"] = _nested(name, value)
        else:
            field, converted = _condition(name, value)
            fields[field] = converted
    return EventFilter(**fields)


def _condition(name: str, value: Any) -> tuple[str, Any]:
    condition = BY_NAME.get(name)
    if condition is None:
        raise RejectedError(Reason.UNKNOWN_FIELD, "there is no such condition of events", field=_field(name))
    if not condition.many:
        field = name
    else:
        values = value if isinstance(value, list) else [value]
        single = bool(condition.one) and len(values) == 1
        field, value = (condition.one, values[0]) if single else (condition.many, values)
    try:
        return field, msgspec.convert(value, _TYPES[field])
    except msgspec.ValidationError as exc:
        raise RejectedError(
            Reason.INVALID_FIELD, str(exc).partition(" - at ")[0], field=_field(name)
        ) from exc


def _nested(name: str, value: Any) -> EventFilter:
    if not isinstance(value, dict):
        raise RejectedError(Reason.INVALID_FIELD, "give an object of conditions", field=_field(name))
    return _filter(value)


def _field(name: str) -> str:
    return f"filter.{name[:64]}"
