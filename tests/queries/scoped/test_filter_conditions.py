"""Each condition of a filter was judged: which part of an event it asks about, for who does not see that."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.access.grants import Part
from queries.filters.conditions import LISTS
from queries.filters.event_filter import GROUPS, CountBy, Distinct, EventFilter
from queries.scoped.query_description import NAMES, parts_of

NOTHING_HIDDEN: frozenset[Part] = frozenset()
STAFF, CLIENT, OTHERS = Part.STAFF_IDS, Part.CLIENT, Part.OTHER_PATIENTS
ABOUT: dict[str, frozenset[Part]] = {
    **dict.fromkeys(
        (
            "actor", "actor_in", "user", "user_in",
            "session", "session_in", "correlation_id", "correlation_id_in",
        ),
        frozenset({STAFF}),
    ),
    "actor_prefix": frozenset({STAFF}) | NAMES,
    **dict.fromkeys(("device", "device_in"), frozenset({STAFF, OTHERS})),
    **dict.fromkeys(("address", "address_in", "address_prefix"), frozenset({CLIENT})),
    **dict.fromkeys(("patient", "patient_in", "resource_type", "resource_id"), frozenset({OTHERS})),
    "unnamed_resource_type": frozenset({OTHERS}),
    **dict.fromkeys(
        (
            # The kind of the actor stays when the actor's id and name are hidden.
            "actor_kinds", "day_time_from", "day_time_until", "weekdays", "time_zone",
            "service", "service_in", "source", "types", "type_prefix", "categories", "actions", "outcomes", "purposes",
            "emergency", "occurred_from", "occurred_until", "position_from", "position_until",
        ),
        NOTHING_HIDDEN,
    ),
}  # fmt: skip
"""A condition that is new has to be put here, by somebody who has thought about it."""


def of(name: str) -> EventFilter:
    """A filter with this one condition."""
    known: dict[str, Any] = {
        "emergency": True,
        "occurred_from": datetime(2026, 3, 1, tzinfo=UTC),
        "occurred_until": datetime(2026, 3, 1, tzinfo=UTC),
        "position_from": 1,
        "position_until": 1,
    }
    several = name in LISTS
    return EventFilter(**{name: known.get(name, ("18",) if several else "18")})


def test_every_condition_was_judged() -> None:
    assert set(ABOUT) | set(GROUPS) == set(EventFilter.__struct_fields__)


@pytest.mark.parametrize("name", ABOUT)
def test_a_condition_asks_about_its_part_wherever_it_stands(name: str) -> None:
    condition = of(name)
    for filter in (
        condition,
        EventFilter(and_=(EventFilter(patient="17"), condition)),
        EventFilter(patient="17", or_=(EventFilter(emergency=True), condition)),
        EventFilter(not_=condition),
        EventFilter(patient="17", not_=EventFilter(and_=(EventFilter(or_=(condition,)),))),
    ):
        assert parts_of(filter, ("17",)) == ABOUT[name]


@pytest.mark.parametrize(
    "filter",
    [
        EventFilter(actor="DOE^JANE"),
        EventFilter(not_=EventFilter(actor_in=("a", "Jane Doe"))),
        EventFilter(user="Jane Doe"),
        EventFilter(patient="Max Muster"),
        EventFilter(resource_type="Practitioner", resource_id="DOE^JANE"),
        EventFilter(device="Ada's laptop"),
        EventFilter(session="Ada Example 7"),
        EventFilter(correlation_id_in=("c-1", "visit of Max")),
        EventFilter(resource_type="AuditLog", resource_id="/v1/users/ada"),
    ],
)
def test_an_id_that_is_a_name_asks_about_names(filter: EventFilter) -> None:
    assert parts_of(filter, ()) >= NAMES


def test_of_ones_own_patients_one_may_ask() -> None:
    assert parts_of(EventFilter(patient_in=("17", "18")), ("17", "18")) == NOTHING_HIDDEN
    assert parts_of(EventFilter(patient_in=("17", "19")), ("17", "18")) == {OTHERS}


def test_how_many_patients_or_actors_there_are_tells_of_them() -> None:
    assert parts_of(EventFilter(), (), CountBy.TYPE, [Distinct.PATIENTS]) == {OTHERS}
    assert parts_of(EventFilter(), ("17",), CountBy.TYPE, [Distinct.ACTORS]) == {STAFF}
    assert parts_of(EventFilter(), (), CountBy.TYPE, list(Distinct)) == {STAFF, OTHERS}


@pytest.mark.parametrize("by", CountBy)
def test_counts_by_actor_tell_who_acted_and_counts_by_patient_of_other_patients(by: CountBy) -> None:
    told = {CountBy.ACTOR: {STAFF}, CountBy.PATIENT: {OTHERS}}
    assert parts_of(EventFilter(), ("17",), by) == told.get(by, NOTHING_HIDDEN)
