"""Everyday work of those who treat patients, and of those who work on orders, admissions and bills."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from benchmarks.hospital.people import (
    ADMISSIONS,
    BILLING,
    CODING,
    DAY,
    DIAGNOSTICS,
    HOUR,
    LABORATORY,
    MINUTE,
    PHARMACY,
    RADIOLOGY,
)
from benchmarks.hospital.rosters import Shift
from benchmarks.hospital.site import Site
from benchmarks.hospital.stays import Encounter, Order
from domain.event import Change

RETURN = "return from leave"
"""The look-alike of a dormant account: somebody comes back after three months."""
_UNEXPLAINED = 0.7
"""How often in a shift of a ward a record is opened for work and nothing on file says why: 3 % of the records."""


def everyday(site: Site, day: int) -> None:
    """The work of all shifts that begin on a day."""
    chance = site.size.chance("work", day)
    shifts = site.rosters.of_day(day)
    in_charge: set[str] = set()
    for shift in shifts:
        _begin_and_end(site, chance, shift)
        if shift.staff.role == "nurse":
            _nurse(site, chance, shift, day)
            if shift.department not in in_charge and shift.begins == day * DAY + 6 * HOUR:
                in_charge.add(shift.department)
                _hand_over(site, chance, shift, day)
        elif shift.staff.role == "doctor":
            _doctor(site, chance, shift, day)
    for department in DIAGNOSTICS:
        on_duty = [shift for shift in shifts if shift.department == department]
        _orders(site, chance, on_duty, site.stays.orders_for[department, day])
    _offices(site, chance, shifts, day)


def _begin_and_end(site: Site, chance: Random, shift: Shift) -> None:
    """Sign-in some minutes before the shift, sign-out up to 45 minutes after it. Some mistype their password."""
    begun = shift.begins - chance.uniform(1, 12) * MINUTE
    times = chance.choices((0, 1, 2, 3), weights=(92, 6, 1.6, 0.4))[0]
    if times:
        site.mistype(begun - 10 * times - 15, shift.staff, times)
    incident = None
    if site.back.get(shift.staff.id, shift.begins + 1) <= shift.begins:
        del site.back[shift.staff.id]
        incident = site.diary.incident(RETURN, shift.staff.id)
    site.sign_in(begun, shift.staff, incident=incident)
    site.sign_out(shift.ends + chance.expovariate(1 / 8) * MINUTE % (45 * MINUTE), shift.staff, begun)


def _nurse(site: Site, chance: Random, shift: Shift, day: int) -> None:
    """Two rounds to the patients whom this nurse looks after, with their vital signs."""
    beds = [
        stay
        for stay in site.stays.inpatients[shift.department, day]
        if stay.begins < shift.begins < stay.ends
    ]
    for stay in chance.sample(beds, min(len(beds), chance.randint(4, 7))):
        for begins in (shift.begins + 0.5 * HOUR, shift.begins + 4 * HOUR):
            at = begins + chance.uniform(0, 3) * HOUR
            site.open_record(at, shift.staff, stay.patient)
            site.open_record(at + 30, shift.staff, stay.patient, what="MedicationRequest")
            site.open_record(
                at + 90,
                shift.staff,
                stay.patient,
                what="Observation",
                type="record.updated",
                program=site.programs.vitals,
                changes=(Change(path="heart_rate.value", before=72, after=chance.randint(55, 110)),),
            )
    _without_reason(site, chance, shift)


def _hand_over(site: Site, chance: Random, shift: Shift, day: int) -> None:
    """In the morning the nurse in charge lists the ward, and opens each record of it within half an hour."""
    beds = [
        stay
        for stay in site.stays.inpatients[shift.department, day]
        if stay.begins < shift.begins < stay.ends
    ]
    site.list_ward(shift.begins + 2 * MINUTE, shift.staff, shift.department)
    for number, stay in enumerate(beds):
        at = shift.begins + 3 * MINUTE + number * min(100.0, 1600 / len(beds)) + chance.uniform(0, 20)
        site.open_record(at, shift.staff, stay.patient)


def _doctor(site: Site, chance: Random, shift: Shift, day: int) -> None:
    """The ward round, visits, opinions for other wards, and letters for those who went home."""
    beds = [
        stay
        for stay in site.stays.inpatients[shift.department, day]
        if stay.begins < shift.begins < stay.ends
    ]
    round = chance.sample(beds, min(len(beds), chance.randint(7, 12)))
    for number, stay in enumerate(round if not shift.on_call else round[:4]):
        _see(site, chance, shift, stay, shift.begins + (0.6 + 0.2 * number) * HOUR)
    if shift.on_call:
        return
    visits = [stay for stay in site.stays.visits[shift.department, day] if shift.staff.id in stay.team]
    for stay in visits:
        _see(site, chance, shift, stay, min(stay.begins + 5 * MINUTE, shift.ends))
    mine = site.stays.referred_to[shift.department, day]
    for referral in mine:
        if chance.random() < 0.3:
            at = max(referral.at, shift.begins) + chance.uniform(10, 60) * MINUTE
            if at > shift.ends:
                continue
            site.open_record(at, shift.staff, referral.patient)
            site.open_record(at + 60, shift.staff, referral.patient, what="Observation")
    gone = [stay for stay in site.stays.discharges[day - 2] if shift.staff.id in stay.team]
    for stay in gone[:6]:
        _see(site, chance, shift, stay, shift.ends - chance.uniform(0.2, 2) * HOUR)
    _without_reason(site, chance, shift)


def _see(site: Site, chance: Random, shift: Shift, stay: Encounter, at: float) -> None:
    at += chance.uniform(0, 8) * MINUTE
    if chance.random() < 0.3:
        site.search(at - 20, shift.staff, site.population.patients[stay.patient].family_name)
    site.open_record(at, shift.staff, stay.patient)
    if chance.random() < 0.6:
        site.open_record(at + 40, shift.staff, stay.patient, what="Observation")
    if chance.random() < 0.5:
        site.open_record(at + 200, shift.staff, stay.patient, what="DocumentReference", type="record.created")
    if chance.random() < 0.2:
        site.call(at + 210, shift.staff, "/formulary")


def _without_reason(site: Site, chance: Random, shift: Shift) -> None:
    """Calls from home, help for a colleague, and the wrong record of two people with one surname."""
    if chance.random() > _UNEXPLAINED:
        return
    patients = list(site.population.patients)
    patient = chance.choice(patients)
    at = chance.uniform(shift.begins + HOUR, shift.ends)
    if chance.random() < 0.4:
        name = site.population.patients[patient].family_name
        site.search(at - 15, shift.staff, name)
        for wrong in site.population.of_name[name][:2]:
            site.open_record(at, shift.staff, wrong)
    else:
        site.open_record(at, shift.staff, patient)


def _orders(site: Site, chance: Random, on_duty: Sequence[Shift], orders: Sequence[Order]) -> None:
    """Each order is worked on by somebody of the department, soon after it came."""
    for order in orders:
        at = order.at + chance.uniform(5, 50) * MINUTE
        able = [shift for shift in on_duty if shift.holds(at)]
        if not able:
            continue
        one = chance.choice(able).staff
        site.open_record(at, one, order.patient)
        if order.department == LABORATORY:
            site.open_record(
                at + 20 * MINUTE,
                one,
                order.patient,
                what="DiagnosticReport",
                type="record.created",
                program=site.programs.laboratory,
            )
        elif order.department == RADIOLOGY:
            site.open_record(
                at + 10 * MINUTE, one, order.patient, what="ImagingStudy", program=site.programs.radiology
            )
        elif order.department == PHARMACY:
            site.open_record(
                at + MINUTE, one, order.patient, what="MedicationRequest", program=site.programs.pharmacy
            )


def _offices(site: Site, chance: Random, shifts: Sequence[Shift], day: int) -> None:
    """Admissions, bills and codes. Each bill and each coded stay takes some minutes."""
    clerks = [shift for shift in shifts if shift.department == ADMISSIONS]
    for ward in site.size.wards:
        new = [stay for stay in site.stays.inpatients[ward, day] if stay.begins >= day * DAY]
        for stay in (*new, *site.stays.visits[ward, day]):
            able = [shift for shift in clerks if shift.holds(stay.begins)]
            if able:
                one = chance.choice(able).staff
                site.search(stay.begins - 60, one, site.population.patients[stay.patient].family_name)
                site.open_record(stay.begins - 40, one, stay.patient)
                site.open_record(stay.begins, one, stay.patient, what="Encounter", type="record.created")
    for department, after in ((BILLING, 3), (CODING, 7)):
        able = [shift for shift in shifts if shift.department == department]
        for number, stay in enumerate(site.stays.discharges[day - after] if able else ()):
            shift = able[number % len(able)]
            at = shift.begins + 20 * MINUTE + number // len(able) * chance.uniform(4, 7) * MINUTE
            if at < shift.ends:
                what = "Account" if department == BILLING else "Condition"
                site.open_record(at, shift.staff, stay.patient, what=what, purpose_of_use=("HPAYMT",))
