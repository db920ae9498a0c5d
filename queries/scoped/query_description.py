"""Describes a query: for the scope, which parts of events it depends on; for the access record, its parameters."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from msgspec import to_builtins

from domain.access.grants import ALL, Part, Rows
from domain.access.person_names import is_name
from domain.read_audit.events import PATIENT
from domain.read_audit.truncation import said_of
from queries.export.disclosed_patients import PATIENT_COLUMNS
from queries.export.manifest import given_of
from queries.filters import CountBy, EventFilter, PageRequest, any_of
from queries.live_tables.pages import RowRequest

_ABOUT: dict[Part, frozenset[str]] = {
    # The events of a device include those that it reported as the actor, by the actor's id.
    Part.STAFF_IDS: frozenset({
        "actor", "actor_in", "actor_prefix", "user", "user_in", "device", "device_in",
        "session", "session_in", "correlation_id", "correlation_id_in",
    }),
    Part.CLIENT: frozenset({"address", "address_in", "address_prefix"}),
    Part.OTHER_PATIENTS: frozenset({"resource_type", "resource_id", "device", "device_in"}),
}  # fmt: skip
NAMES = frozenset({Part.STAFF_NAMES, Part.PATIENT_NAMES})
_PERSONS = ("actor", "user", "patient", "device", "resource_id")
_LISTS_OF_PERSONS = ("actor_in", "user_in", "patient_in", "device_in")


def parts_of(
    filter: EventFilter, own_patients: Collection[str], by: CountBy | None = None
) -> frozenset[Part]:
    """The parts of an event that decide whether it matches, or in which bucket it is counted."""
    parts = {Part.STAFF_IDS} if by is CountBy.ACTOR else set()
    for each in filter.every():
        given = set(each.given())
        parts |= {part for part, names in _ABOUT.items() if names & given}
        if not _named(each) <= set(own_patients):
            parts.add(Part.OTHER_PATIENTS)
        if each.actor_prefix is not None or any(map(is_name, _ids(each) - set(own_patients))):
            parts |= NAMES
    return frozenset(parts)


def _ids(filter: EventFilter) -> set[str]:
    """The ids of persons in a filter. A name as an id could be guessed."""
    return {
        *(value for name in _PERSONS if (value := getattr(filter, name)) is not None),
        *(value for name in _LISTS_OF_PERSONS for value in getattr(filter, name)),
    }


def queried_patients(filter: EventFilter) -> frozenset[str]:
    """The patients that a query names, as patients or as resources."""
    resources = (patients_named(each.resource_type or "", each.resource_id or "") for each in filter.every())
    return frozenset().union(*(_named(each) for each in filter.every()), *resources)


def patients_named(type: str, id: str) -> list[str]:
    """The patient behind a resource, if it is one: by its id, or by a FHIR reference to it or to a version of it."""
    if type.rpartition("/")[2].lower() != PATIENT.lower():
        return []
    bare = id.partition("/_history/")[0].rpartition("/")[2]
    return [bare] if bare else []


def patients_counted(filter: EventFilter) -> list[str]:
    """The patients that a count discloses: those whose events it counts, not those whose events it excludes."""
    within = (patients_counted(each) for each in (*filter.and_, *filter.or_))
    return sorted(_named(filter).union(*within))


def _named(filter: EventFilter) -> frozenset[str]:
    return frozenset({*filter.patient_in, *([filter.patient] if filter.patient is not None else [])})


def scope_filter(rows: Sequence[Rows]) -> EventFilter | None:
    """The filter of the events within a scope; None for all."""
    if ALL in rows:
        return None
    each = [_filter(one) for one in rows]
    return each[0] if len(each) == 1 else EventFilter(or_=tuple(each))


def _filter(rows: Rows) -> EventFilter:
    return EventFilter(
        **any_of(
            patient=rows.patients,
            user=rows.users,
            actor=rows.machines,
            service=rows.sources,
            device=rows.devices,
        ),
        not_=EventFilter(**any_of(user=rows.machines)) if rows.machines else None,
        categories=tuple(category.value for category in rows.categories),
        types=rows.types,
    )


def parameters_of(filter: EventFilter, page: PageRequest | None = None, **others: Any) -> dict[str, Any]:
    """A query as JSON: its conditions by their REST names, the page, and other parameters."""
    given = {"filter": given_of(filter)} if filter.given() else {}
    paging = {} if page is None else {"page": _given(to_builtins(page))}
    return given | paging | _given(others)


def patients_of_conditions(conditions: Iterable[tuple[str, Any]]) -> list[str]:
    """The patients in conditions on the columns of a table."""
    values = (value for column, value in conditions if column in PATIENT_COLUMNS)
    several = (value if isinstance(value, list | tuple) else [value] for value in values)
    return [each for some in several for each in some if isinstance(each, str)]


def row_parameters_of(request: RowRequest) -> dict[str, Any]:
    """A query of a table's rows as JSON."""
    conditions = [
        [each.column, str(each.op.value), said_of(each.column, each.value)] for each in request.conditions
    ]
    order = {"order_by": request.order_by, "descending": request.descending or None}
    return _given({
        "projection": request.projection, "table": request.table, "first": request.first,
        "where": conditions, **order,
    })  # fmt: skip


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, False, "", [], ())}
