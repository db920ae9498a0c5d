"""Summaries of subjects without what their reader does not see, as events are shown: a hidden part is absent."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from msgspec.structs import replace

from domain.access.grants import Part
from domain.access.person_names import is_name
from queries.summaries.results import DeviceActivity, PatientActivity, ServiceActivity, UserActivity


def shown_patient(found: PatientActivity, hidden: AbstractSet[Part]) -> PatientActivity:
    """A row of an actor stays a row, with how often and for what purpose."""
    names, ids = _hides_names(hidden), Part.STAFF_IDS in hidden
    if not names and not ids:
        return found
    rows = [
        replace(
            row,
            actor_id=None if ids or (names and is_name(row.actor_id)) else row.actor_id,
            actor_name=None if names or ids else row.actor_name,
        )
        for row in found.accesses
    ]
    return replace(found, accesses=rows)


def shown_user(found: UserActivity, hidden: AbstractSet[Part], *, named: bool) -> UserActivity:
    """Who may see a user's summary sees the ids in it: that is what a summary is asked by. `named`: and the name."""
    if Part.OTHER_PATIENTS in hidden:
        found = replace(found, patients=[])
    if Part.PATIENT_NAMES in hidden:
        found = replace(found, patients=[row for row in found.patients if not is_name(row.patient_id)])
    return found if named else replace(found, name=None)


def shown_device(found: DeviceActivity, hidden: AbstractSet[Part]) -> DeviceActivity:
    """Of a configuration's changes the paths stay. Devices are called after who uses them."""
    values, ids, names = Part.VALUES in hidden, Part.STAFF_IDS in hidden, _hides_names(hidden)
    if not values and not ids and not names:
        return found
    rows = [
        replace(
            row,
            actor_id=None if ids or (names and is_name(row.actor_id)) else row.actor_id,
            before=None if values else row.before,
            after=None if values else row.after,
        )
        for row in found.configuration
    ]
    name = None if Part.STAFF_NAMES in hidden else found.name
    return replace(found, name=name, configuration=rows)


def shown_service(found: ServiceActivity, hidden: AbstractSet[Part]) -> ServiceActivity:
    """An instance may tell who worked at it."""
    if Part.STAFF_IDS not in hidden:
        return found
    return replace(found, periods=[replace(each, instance=None) for each in found.periods])


def _hides_names(hidden: AbstractSet[Part]) -> bool:
    """A summary does not say whether an actor is one of the staff or a patient: it shows names to who sees both."""
    return bool(hidden & {Part.STAFF_NAMES, Part.PATIENT_NAMES})
