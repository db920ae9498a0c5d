"""Redacted summaries of subjects. As in events, a hidden part is absent."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from msgspec.structs import replace

from domain.access.grants import Part
from domain.access.person_names import is_name
from domain.access.redaction import NAMES
from queries.summaries.configuration import ConfigurationPage
from queries.summaries.results import (
    DeviceActivity,
    PatientActivity,
    SequenceGap,
    ServiceActivity,
    UserActivity,
)


def redacted_patient(found: PatientActivity, hidden: AbstractSet[Part]) -> PatientActivity:
    """Each actor keeps a row, with its counts and purposes."""
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


def redacted_user(found: UserActivity, hidden: AbstractSet[Part], *, named: bool) -> UserActivity:
    """The ids of a user's summary stay, as the query names them. `named`: the name stays too."""
    if Part.OTHER_PATIENTS in hidden:
        found = replace(found, patients=[])
    if Part.PATIENT_NAMES in hidden:
        found = replace(found, patients=[row for row in found.patients if not is_name(row.patient_id)])
    return found if named else replace(found, name=None)


def redacted_device(found: DeviceActivity, hidden: AbstractSet[Part]) -> DeviceActivity:
    """The paths of configuration changes stay, except those that are names. A device may be named after its user."""
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
        if not (names and is_name(row.path))
    ]
    name = None if Part.STAFF_NAMES in hidden else found.name
    return replace(found, name=name, configuration=rows)


def redacted_configuration(found: ConfigurationPage, hidden: AbstractSet[Part]) -> ConfigurationPage:
    """The paths stay, except those that are names. A page may be short, even empty, and not be the last."""
    values, ids, names = Part.VALUES in hidden, Part.STAFF_IDS in hidden, _hides_names(hidden)
    if not values and not ids and not names:
        return found
    kept = [
        (
            replace(
                row,
                value=None if values else row.value,
                changed_by=None if ids or (names and is_name(row.changed_by)) else row.changed_by,
            ),
            place,
        )
        for row, place in zip(found.values, found.places, strict=True)
        if not (names and is_name(row.path))
    ]
    return replace(found, values=[row for row, _ in kept], places=[place for _, place in kept])


def redacted_service(found: ServiceActivity, hidden: AbstractSet[Part]) -> ServiceActivity:
    """The name of an instance may disclose who worked at it."""
    if not hidden & {Part.STAFF_IDS, *NAMES}:
        return found
    return replace(
        found,
        **{
            name: [replace(each, instance=_instance(each.instance, hidden)) for each in getattr(found, name)]
            for name in ("periods", "instances", "gaps", "conflicts")
        },
    )


def redacted_gap(gap: SequenceGap, hidden: AbstractSet[Part] | None) -> SequenceGap:
    """`hidden` is that of the service's summary; None if the reader may not see it."""
    return replace(gap, instance=None if hidden is None else _instance(gap.instance, hidden))


def _instance(instance: str | None, hidden: AbstractSet[Part]) -> str | None:
    return None if Part.STAFF_IDS in hidden or (hidden & NAMES and is_name(instance)) else instance


def _hides_names(hidden: AbstractSet[Part]) -> bool:
    """A summary does not distinguish staff from patients, so it shows names only to principals who see both."""
    return bool(hidden & {Part.STAFF_NAMES, Part.PATIENT_NAMES})
