"""Records that are opened without a reason, and break-glass access that is misused."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from benchmarks.hospital.diary import Incident
from benchmarks.hospital.people import DAY, HOUR, MINUTE, Person, Staff
from benchmarks.hospital.rosters import Shift
from benchmarks.hospital.site import Site
from domain.event import Resource

RARE = 8
"""A surname is rare when at most so many patients have it."""
_LONG_AGO = 95 * DAY
_SAYS_NOTHING = ("test", "x", "-", "emergency", "n/a", "asap")
_SAYS_ENOUGH = (
    "Patient unconscious after a fall in the corridor",
    "Anaphylaxis in the waiting room, allergies unknown",
    "Cardiac arrest, medication unknown",
)

Scene = Callable[[Site, Random, str, int], Incident | None]
"""Adds an incident of a kind on a day; None when nobody fits on that day."""
Choice = Callable[[Site, Random, Staff, float], str | None]
"""The patient whom a person is curious about at a time, or None."""


def curious(choice: Choice) -> Scene:
    """A scene: somebody on shift opens one patient's record two to four times, for no reason at work."""

    def scene(site: Site, chance: Random, kind: str, day: int) -> Incident | None:
        for shift in _shifts(site, chance, day):
            at = chance.uniform(shift.begins + HOUR, shift.ends - HOUR)
            patient = choice(site, chance, shift.staff, at)
            if patient is not None and not _has_reason(site, shift, patient, at):
                incident = site.diary.incident(kind, shift.staff.id)
                for number in range(chance.randint(2, 4)):
                    what = ("Patient", "DocumentReference", "Observation", "Condition")[number]
                    site.open_record(at + 40 * number, shift.staff, patient, what=what, incident=incident)
                return incident
        return None

    return scene


def _shifts(site: Site, chance: Random, day: int) -> list[Shift]:
    shifts = [
        shift
        for shift in site.rosters.of_day(day)
        if not shift.on_call and shift.staff.role in ("nurse", "doctor", "clerk", "technician")
    ]
    return chance.sample(shifts, len(shifts))


def _has_reason(site: Site, shift: Shift, patient: str, at: float) -> bool:
    return any(
        site.stays.related(shift.staff.id, department, patient, at)
        for department in {shift.department, shift.staff.department}
    )


def own_record(_: Site, __: Random, one: Staff, ___: float) -> str | None:
    """Their own, which has a number of its own."""
    return one.patient_id if one.patient_id != one.id else None


def own_record_of_same_id(_: Site, __: Random, one: Staff, ___: float) -> str | None:
    """Their own, which has the same id as their account."""
    return one.patient_id if one.patient_id == one.id else None


def same_surname(site: Site, chance: Random, one: Staff, _: float) -> str | None:
    """Somebody with the same rare surname who lives elsewhere."""
    named = site.population.of_name.get(one.family_name, [])
    others = [id for id in named if site.population.addresses[id] != one.address]
    return chance.choice(others) if others and len(named) <= RARE else None


def same_address(site: Site, chance: Random, one: Staff, _: float) -> str | None:
    """Somebody of their household."""
    home = [id for id in site.population.households.get(one.address, []) if id != one.patient_id]
    return chance.choice(home) if home else None


def co_worker(site: Site, chance: Random, one: Staff, _: float) -> str | None:
    """A colleague of the same department who is a patient too."""
    colleagues = site.population.of_department[one.department]
    known = [each.patient_id for each in colleagues if each.patient_id and each is not one]
    return chance.choice(known) if known else None


def vip(site: Site, chance: Random, _: Staff, __: float) -> str | None:
    """Somebody whom the newspapers write about."""
    return chance.choice(site.population.vips)


def stranger(site: Site, chance: Random, one: Staff, at: float) -> str | None:
    """Anybody, such as a new neighbour, who is no patient at the moment."""
    person = chance.choice(list(site.population.patients.values()))
    there = any(stay.begins <= at <= stay.ends for stay in site.stays.of_patient.get(person.id, ()))
    return None if there or _stands_out(site, one, person) else person.id


def inpatient_of_another_ward(site: Site, chance: Random, one: Staff, at: float) -> str | None:
    """Somebody who lies on another ward."""
    ward = chance.choice([ward for ward in site.size.wards if ward != one.department])
    beds = [
        stay.patient for stay in site.stays.inpatients[ward, int(at // DAY)] if stay.begins < at < stay.ends
    ]
    return chance.choice(beds) if beds else None


def discharged_long_ago(site: Site, chance: Random, _: Staff, at: float) -> str | None:
    """Somebody whose last stay ended long ago."""
    known = list(site.stays.of_patient)
    for id in chance.sample(known, min(500, len(known))):
        stay = site.stays.last_stay(id, at)
        if stay and stay.ends < at - _LONG_AGO and id not in site.stays.deceased:
            return id
    return None


def deceased(site: Site, chance: Random, _: Staff, at: float) -> str | None:
    """Somebody who died more than a month ago."""
    dead = [id for id, ended in site.stays.deceased.items() if ended < at - 35 * DAY]
    return chance.choice(dead) if dead else None


def _stands_out(site: Site, one: Staff, person: Person) -> bool:
    return (
        person.vip
        or person.id in site.population.staff_patients
        or person.address == one.address
        or person.family_name == one.family_name
    )


def many_records(least: int, most: int, minutes: int, *, searched: bool) -> Scene:
    """A scene: a nurse or clerk opens so many patients' records within so many minutes."""

    def scene(site: Site, chance: Random, kind: str, day: int) -> Incident:
        shift = site.on_shift(chance, day, "nurse", "clerk")
        incident = site.diary.incident(kind, shift.staff.id)
        at, count = chance.uniform(shift.begins + HOUR, shift.ends - 2 * HOUR), chance.randint(least, most)
        if searched:
            site.search(at - 30, shift.staff, "A*", incident)
        for number, patient in enumerate(chance.sample(list(site.population.patients), count)):
            site.open_record(at + number * minutes * MINUTE / count, shift.staff, patient, incident=incident)
        return incident

    return scene


def another_ward(site: Site, chance: Random, kind: str, day: int) -> Incident | None:
    """A nurse reads about the patients of another ward, one after the other."""
    shift = site.on_shift(chance, day, "nurse")
    ward = chance.choice([ward for ward in site.size.wards if ward != shift.department])
    at = chance.uniform(shift.begins + HOUR, shift.ends - 2 * HOUR)
    beds = [
        stay.patient
        for stay in site.stays.inpatients[ward, int(at // DAY)]
        if stay.begins < at < stay.ends and not _has_reason(site, shift, stay.patient, at)
    ]
    if len(beds) < 4:
        return None
    incident = site.diary.incident(kind, shift.staff.id)
    for number, patient in enumerate(beds[:6]):
        site.open_record(at + 100 * number, shift.staff, patient, incident=incident)
    return incident


def off_roster(site: Site, chance: Random, kind: str, day: int) -> Incident | None:
    """A person opens records of their own ward, on a day on which they don't work at all."""
    free = site.free(day)
    if not free:
        return None
    one = chance.choice(free)
    incident = site.diary.incident(kind, one.id)
    at = day * DAY + chance.uniform(9, 20) * HOUR
    beds = site.stays.inpatients[one.department, day]
    for number, stay in enumerate(chance.sample(beds, min(len(beds), 4))):
        site.open_record(at + 50 * number, one, stay.patient, incident=incident)
    return incident


def break_glass(*, reasoned: bool, charted: bool) -> Scene:
    """A scene: emergency access to a stranger's record, with a reason or not, with charting afterwards or not."""

    def scene(site: Site, chance: Random, kind: str, day: int) -> Incident:
        shift = site.on_shift(chance, day, "nurse", "doctor")
        one, at = shift.staff, chance.uniform(shift.begins + HOUR, shift.ends - 2 * HOUR)
        incident = site.diary.incident(kind, one.id)
        patient = stranger(site, chance, one, at) or next(iter(site.population.patients))
        known = site.population.patients[patient].patient
        reason = chance.choice(_SAYS_ENOUGH if reasoned else _SAYS_NOTHING)
        fields: dict[str, Any] = {"emergency": True, "reason": reason, "purpose_of_use": ("ETREAT",)}
        access: dict[str, Any] = {
            "incident": incident,
            "patients": (known,),
            "resources": (Resource(type="Patient", id=patient),),
        }
        program = site.programs.sign_in_of(one.id)
        site.diary.add(at, "emergency_access.started", program, one.actor, **access, **fields)
        for number in range(3):
            site.open_record(at + 10 + 20 * number, one, patient, incident=incident, **fields)
        if charted:
            later = at + chance.uniform(10, 60) * MINUTE
            site.open_record(
                later,
                one,
                patient,
                what="DocumentReference",
                type="record.created",
                incident=incident,
                **fields,
            )
        site.diary.add(at + 90 * MINUTE, "emergency_access.ended", program, one.actor, patients=(known,))
        return incident

    return scene
