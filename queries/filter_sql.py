"""The conditions of a filter as SQL on a row of the activity index. Every value is a parameter."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from domain.catalogue import CATALOGUE
from domain.event import Outcome
from projections.binary_rows import utc
from projections.hash_codes import OUTCOME_CODES, SEVERAL, hash_code, short_hash_code
from queries.filters import EventFilter


class Parameters(dict[str, Any]):
    """The values of one statement, each under a name of its own."""

    def add(self, value: Any) -> str:
        """The placeholder of `value`."""
        name = f"v{len(self)}"
        self[name] = value
        return f"%({name})s"


_COLUMNS = {
    "actor": "activity.actor_id",
    "user": "activity.by_person AND activity.actor_id",
    "service": "activity.source",
    "source": "activity.source",
    "session": "activity.session",
    "correlation_id": "activity.correlation_id",
    "address": "activity.address",
}
_TIMELINES = {
    "patient": ("patient_timeline", "patient_id"),
    "device": ("device_timeline", "device_id"),
}
_PREFIXED = {"actor_prefix": "activity.actor_id", "address_prefix": "activity.address"}
_COMPARED = {
    "occurred_from": "activity.occurred_at >= ",
    "occurred_until": "activity.occurred_at < ",
    "position_from": "activity.position >= ",
    "position_until": "activity.position < ",
}


def conditions_of(
    filter: EventFilter, parameters: Parameters, *, without: Collection[str] = ()
) -> Iterator[str]:
    """Each condition of `filter`, and of the filters within it, but those named in `without`."""
    for name, column in _COLUMNS.items():
        yield from _equal(column, _choices(filter, name, without), parameters)
    for name, (table, column) in _TIMELINES.items():
        for values in _choices(filter, name, without):
            yield _exists(table, [(column, values)], parameters)
    if filter.resource_type is not None and "resource_type" not in without:
        lists = [("type", [filter.resource_type])]
        lists += [("id", [filter.resource_id])] if filter.resource_id is not None else []
        yield _exists("activity_resource", lists, parameters)
    yield from _lists(filter, parameters)
    for name, column in _PREFIXED.items():
        prefix = getattr(filter, name)
        if prefix is not None:
            yield f"{column} ^@ {parameters.add(prefix)}"
    for name, comparison in _COMPARED.items():
        value = getattr(filter, name)
        if value is not None:
            yield comparison + parameters.add(utc(value) if name.startswith("occurred") else value)
    yield from _groups(filter, parameters)


def types_of(filter: EventFilter) -> list[str] | None:
    """The types that a filter leaves, None for all. Categories are types: an event keeps the type alone."""
    if not filter.types and not filter.categories and filter.type_prefix is None:
        return None
    return sorted(
        name
        for name in set(filter.types or CATALOGUE)
        if (not filter.categories or CATALOGUE[name].category in filter.categories)
        and name.startswith(filter.type_prefix or "")
    )


def outcomes_of(filter: EventFilter) -> list[int]:
    """The codes of the outcomes, none for all."""
    return sorted({OUTCOME_CODES[Outcome(value)] for value in filter.outcomes})


def hash_codes_of(
    filter: EventFilter, names: Iterable[str], table: str, parameters: Parameters
) -> Iterator[str]:
    """The conditions of `filter` on the hash codes in an index of `table`. `conditions_of` implies them."""
    for name in names:
        kind = "integer" if name == "actor_mark" else "smallint"
        for values in _hash_codes(filter, name):
            if len(values) == 1:
                yield f"{table}.{name} = {parameters.add(values[0])}::{kind}"
            else:
                yield f"{table}.{name} = ANY({parameters.add(values)}::{kind}[])"


def _hash_codes(filter: EventFilter, name: str) -> Iterator[list[int]]:
    found: list[list[int]]
    if name == "outcome":
        found = [outcomes_of(filter)]
    elif name == "resource_mark":
        found = [] if filter.resource_type is None else [[short_hash_code(filter.resource_type), SEVERAL]]
    elif name == "type_mark":
        found = [sorted(map(short_hash_code, types_of(filter) or ()))]
    elif name == "source_mark":
        found = [
            sorted(map(short_hash_code, each))
            for one in ("service", "source")
            for each in _choices(filter, one, ())
        ]
    else:
        found = [
            sorted(map(hash_code, each)) for one in ("actor", "user") for each in _choices(filter, one, ())
        ]
    yield from (each for each in found if each)


def _choices(filter: EventFilter, name: str, without: Collection[str]) -> Iterator[list[str]]:
    one, many = getattr(filter, name), getattr(filter, f"{name}_in", ())
    if one is not None and name not in without:
        yield [one]
    if many:
        yield sorted(set(many))


def _equal(column: str, lists: Iterable[list[Any]], parameters: Parameters) -> Iterator[str]:
    """With one value an equality: only then an index gives the rows in order of its next column."""
    for values in lists:
        if len(values) == 1:
            yield f"{column} = {parameters.add(values[0])}"
        else:
            yield f"{column} = ANY({parameters.add(values)})"


def _exists(table: str, lists: list[tuple[str, list[str]]], parameters: Parameters) -> str:
    wanted = [text for column, values in lists for text in _equal(f"touched.{column}", [values], parameters)]
    conditions = " AND ".join(["touched.position = activity.position", *wanted])
    return f"EXISTS (SELECT FROM {table} AS touched WHERE {conditions})"


def _lists(filter: EventFilter, parameters: Parameters) -> Iterator[str]:
    types, outcomes = types_of(filter), outcomes_of(filter)
    if types == []:
        yield "false"
    elif types is not None:
        yield from _equal("activity.type", [types], parameters)
    if outcomes:
        yield from _equal("activity.outcome", [outcomes], parameters)
    if filter.actions:
        yield from _equal("activity.action", [sorted(set(filter.actions))], parameters)
    if filter.purposes:
        yield f"activity.purposes && {parameters.add(list(filter.purposes))}"
    if filter.emergency is not None:
        yield "activity.emergency" if filter.emergency else "NOT activity.emergency"


def _groups(filter: EventFilter, parameters: Parameters) -> Iterator[str]:
    def whole(part: EventFilter) -> str:
        return f"({' AND '.join(conditions_of(part, parameters)) or 'true'})"

    yield from map(whole, filter.and_)
    if filter.or_:
        yield f"({' OR '.join(map(whole, filter.or_))})"
    if filter.not_ is not None:
        # Not `NOT`: what an event does not say is NULL, and it does not match.
        yield f"{whole(filter.not_)} IS NOT TRUE"
