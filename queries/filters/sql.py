"""The conditions of a filter as SQL on a row of the activity index. Every value is a parameter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from projections.binary_rows import utc
from queries.filters.attributes import Attribute
from queries.filters.conditions import ValueKind
from queries.filters.event_filter import Equality, EventFilter
from queries.filters.local_time import LocalTime


class Parameters(dict[str, Any]):
    """The values of one statement, each under its own name."""

    def add(self, value: Any) -> str:
        """The placeholder of `value`."""
        name = f"v{len(self)}"
        self[name] = value
        return f"%({name})s"


def conditions_of(filter: EventFilter, parameters: Parameters) -> Iterator[str]:
    """Each condition of `filter`, and of its nested filters."""
    for equality in filter.equalities():
        yield _equality(equality, parameters)
    for condition, value in filter.comparisons():
        compared = utc(value) if condition.kind is ValueKind.TIME else value
        [column] = condition.attribute.columns
        yield f"activity.{column} {condition.operator} {parameters.add(compared)}"
    local = filter.local_time()
    if local is not None:
        yield from _local_time(local, parameters)
    yield from _groups(filter, parameters)


def hash_conditions(filter: EventFilter, driver: Attribute, parameters: Parameters) -> Iterator[str]:
    """The conditions of `filter` on hash codes in the index of a driving condition. `conditions_of` implies them."""
    if driver.index is None or not driver.index.holds:
        return
    for equality in filter.equalities():
        attribute = equality.attribute
        code = attribute.code
        if code is None or code.column not in driver.index.holds or not equality.values:
            continue
        if code.column in attribute.columns and driver.table == attribute.table:
            continue  # the condition itself is on a column of the index
        codes = sorted(set(code.of(equality.values)))
        column = f"{driver.table}.{code.column}"
        if len(codes) == 1:
            yield f"{column} = {parameters.add(codes[0])}::{code.type}"
        else:
            yield f"{column} = ANY({parameters.add(codes)}::{code.type}[])"


def _equality(equality: Equality, parameters: Parameters) -> str:
    attribute, values = equality.attribute, equality.values
    if not values:
        return "false"
    if attribute.table != "activity":
        return _exists(attribute, values, parameters)
    [column] = attribute.columns
    name = f"activity.{column}"
    if attribute.type == "boolean":
        return name if values == (True,) else f"NOT {name}"
    if attribute.array:
        return f"{name} && {parameters.add(list(values))}"
    compared = _one_of(name, values, parameters)
    return f"{attribute.where.format('activity')} AND {compared}" if attribute.where else compared


def _one_of(column: str, values: tuple[Any, ...], parameters: Parameters) -> str:
    """An equality for one value: only then does an index give the rows in the order of its next column."""
    if len(values) == 1:
        return f"{column} = {parameters.add(values[0])}"
    return f"{column} = ANY({parameters.add(list(values))})"


def pair_in(attribute: Attribute, table: str, pairs: tuple[Any, ...], parameters: Parameters) -> str:
    """The condition that the two columns of an attribute are one of `pairs`."""
    columns = ", ".join(f"{table}.{column}" for column in attribute.columns)
    return f"({columns}) IN {parameters.add(pairs)}"


def _exists(attribute: Attribute, values: tuple[Any, ...], parameters: Parameters) -> str:
    if len(attribute.columns) > 1:
        compared = pair_in(attribute, "touched", values, parameters)
    else:
        compared = _one_of(f"touched.{attribute.columns[0]}", values, parameters)
    if attribute.where:
        compared = f"{compared} AND {attribute.where.format('touched')}"
    return (
        f"EXISTS (SELECT FROM {attribute.table} AS touched"
        f" WHERE touched.position = activity.position AND {compared})"
    )


def _local_time(local: LocalTime, parameters: Parameters) -> Iterator[str]:
    moment = f"(activity.occurred_at AT TIME ZONE {parameters.add(local.zone)})"
    if local.weekdays:
        yield f"extract(isodow FROM {moment}) = ANY({parameters.add(local.weekday_numbers)})"
    bounds = [
        f"{moment}::time {sign} {parameters.add(bound)}"
        for sign, bound in ((">=", local.start), ("<", local.until))
        if bound is not None
    ]
    if bounds:
        yield f"({(' OR ' if local.passes_midnight else ' AND ').join(bounds)})"


def _groups(filter: EventFilter, parameters: Parameters) -> Iterator[str]:
    def whole(part: EventFilter) -> str:
        return f"({' AND '.join(conditions_of(part, parameters)) or 'true'})"

    yield from map(whole, filter.and_)
    if filter.or_:
        yield f"({' OR '.join(map(whole, filter.or_))})"
    if filter.not_ is not None:
        # Not `NOT`: a value that an event does not have is NULL, and does not match.
        yield f"{whole(filter.not_)} IS NOT TRUE"
