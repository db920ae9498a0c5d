"""What a query is about: the parts of an event that it reveals, its patients, and its description in access records."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from msgspec import to_builtins

from domain.access.grants import ALL, Part, Rows
from domain.access.person_names import names_person
from domain.read_audit.events import PATIENT
from domain.read_audit.truncation import recorded_value
from queries.export.disclosed_patients import PATIENT_COLUMNS
from queries.export.manifest import given_of
from queries.filters.conditions import BY_FIELD, LISTS, Condition, Operator
from queries.filters.event_filter import CountBy, Distinct, EventFilter, PageRequest
from queries.live_tables.pages import RowRequest

NAMES = frozenset({Part.STAFF_NAMES, Part.PATIENT_NAMES})


def parts_of(
    filter: EventFilter,
    own_patients: Collection[str],
    by: CountBy | None = None,
    distinct: Collection[Distinct] = (),
) -> frozenset[Part]:
    """The parts of an event that an answer reveals, through its conditions, the bucket of a count or what it counts."""
    parts = {Part.STAFF_IDS} if by is CountBy.ACTOR or Distinct.ACTORS in distinct else set()
    if by is CountBy.PATIENT or Distinct.PATIENTS in distinct:
        parts |= {Part.OTHER_PATIENTS}
    own = set(own_patients)
    for each in filter.every():
        for name in each.given():
            if name in BY_FIELD:
                parts |= _parts(BY_FIELD[name], each, name, own)
    return frozenset(parts)


def _parts(condition: Condition, filter: EventFilter, field: str, own_patients: set[str]) -> frozenset[Part]:
    attribute = condition.attribute
    values = _values(filter, field)
    parts = attribute.parts
    if attribute.patient and not own_patients.issuperset(values):
        parts |= {Part.OTHER_PATIENTS}
    # An id that is a name could be guessed.
    type = getattr(filter, condition.needs) or "" if condition.needs else ""
    others = set(values) - own_patients if attribute.patient else values
    if attribute.names and (
        condition.operator is Operator.PREFIX or any(names_person(type, value) for value in others)
    ):
        parts |= attribute.names
    return parts


def _values(filter: EventFilter, name: str) -> Collection[Any]:
    value = getattr(filter, name)
    return value if name in LISTS else (value,)


def queried_patients(filter: EventFilter) -> frozenset[str]:
    """The patients that a query names, by id or as resources."""
    resources = (patients_named(each.resource_type or "", each.resource_id or "") for each in filter.every())
    return frozenset().union(*(_named(each) for each in filter.every()), *resources)


def patients_named(type: str, id: str) -> list[str]:
    """The patient that a resource represents, if any; `id` may be a FHIR reference to it or to a version of it."""
    if type.rpartition("/")[2].lower() != PATIENT.lower():
        return []
    bare = id.partition("/_history/")[0].rpartition("/")[2]
    return [bare] if bare else []


def patients_counted(filter: EventFilter) -> list[str]:
    """The patients whose events a count counts, without those whose events it excludes."""
    within = (patients_counted(each) for each in (*filter.and_, *filter.or_))
    return sorted(_named(filter).union(*within))


def _named(filter: EventFilter) -> frozenset[str]:
    names = (name for name in filter.given() if name in BY_FIELD and BY_FIELD[name].attribute.patient)
    return frozenset(value for name in names for value in _values(filter, name))


def scope_filter(rows: Sequence[Rows]) -> EventFilter | None:
    """A scope as a filter for `ReadModels`; None for all events."""
    if ALL in rows:
        return None
    each = [_filter(one) for one in rows]
    return each[0] if len(each) == 1 else EventFilter(or_=tuple(each))


def _filter(rows: Rows) -> EventFilter:
    excluded = [
        each
        for each in (EventFilter.of(user=rows.machines), EventFilter(types=rows.except_types))
        if each.given()
    ]
    return EventFilter.of(
        patient=rows.patients,
        user=rows.users,
        actor=rows.machines,
        service=rows.sources,
        device=rows.devices,
        not_=excluded[0] if len(excluded) == 1 else EventFilter(or_=tuple(excluded)) if excluded else None,
        category=[category.value for category in rows.categories],
        type=rows.types,
    )


def parameters_of(filter: EventFilter, page: PageRequest | None = None, **others: Any) -> dict[str, Any]:
    """A query as JSON: its conditions by their REST names, the page, and the other arguments."""
    given = {"filter": given_of(filter)} if filter.given() else {}
    paging = {} if page is None else {"page": _given(to_builtins(page))}
    return given | paging | _given(others)


def patients_of_conditions(conditions: Iterable[tuple[str, Any]]) -> list[str]:
    """The patients named by conditions on a table's columns."""
    values = (value for column, value in conditions if column in PATIENT_COLUMNS)
    several = (value if isinstance(value, list | tuple) else [value] for value in values)
    return [each for some in several for each in some if isinstance(each, str)]


def row_parameters_of(request: RowRequest) -> dict[str, Any]:
    """A query for a table's rows as JSON."""
    conditions = [
        [each.column, str(each.op.value), recorded_value(each.column, each.value)]
        for each in request.conditions
    ]
    order = {"order_by": request.order_by, "descending": request.descending or None}
    return _given({
        "projection": request.projection, "table": request.table,
        "last" if request.backward else "first": request.first,
        "where": conditions, **order,
    })  # fmt: skip


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, False, "", [], ())}
