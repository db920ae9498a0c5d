"""Work that looks like misuse. What a rule finds here is a false alarm."""

from __future__ import annotations

from random import Random

from benchmarks.hospital.accounts import denied, export
from benchmarks.hospital.diary import Incident
from benchmarks.hospital.machines import ACCOUNTS
from benchmarks.hospital.people import DAY, HOUR, MINUTE
from benchmarks.hospital.site import Site, service_account
from domain.event import Client, Outcome


def change_while_on_call(site: Site, chance: Random, kind: str, day: int) -> Incident | None:
    """The administrator on call repairs something at night."""
    shifts = [
        shift
        for shift in site.rosters.of_day(day)
        if shift.on_call and shift.staff.role in ("administrator", "device technician")
    ]
    if not shifts:
        return None
    shift = chance.choice(shifts)
    incident = site.diary.incident(kind, shift.staff.id)
    at = chance.uniform(shift.begins + 2 * HOUR, shift.ends - HOUR)
    site.change(at, shift.staff, "memory_limit_mib", (256, 512), reason="Fault 4711", incident=incident)
    return incident


def pharmacy_round(site: Site, chance: Random, kind: str, day: int) -> Incident | None:
    """A pharmacist checks the prescriptions of a whole ward or two within an hour."""
    shift = site.on_shift(chance, day, "pharmacist")
    beds = [
        stay.patient
        for ward in site.size.wards[:4]
        for stay in site.stays.inpatients[ward, int(shift.begins // DAY)]
    ]
    beds = sorted(set(beds))
    if len(beds) < 30:
        return None
    incident = site.diary.incident(kind, shift.staff.id)
    at = chance.uniform(shift.begins + HOUR, shift.ends - 2 * HOUR)
    for number, patient in enumerate(chance.sample(beds, min(len(beds), chance.randint(30, 38)))):
        site.open_record(at + 95 * number, shift.staff, patient, what="MedicationRequest", incident=incident)
    return incident


def recall_list(site: Site, chance: Random, kind: str, day: int) -> Incident | None:
    """A clerk calls those who missed a visit: one search, then a dozen records."""
    shift = site.on_shift(chance, day, "clerk")
    missed = sorted({stay.patient for ward in site.size.wards for stay in site.stays.visits[ward, day]})
    if len(missed) < 12:
        return None
    incident = site.diary.incident(kind, shift.staff.id)
    at = chance.uniform(shift.begins + HOUR, shift.ends - 2 * HOUR)
    site.search(at - 30, shift.staff, "missed", incident)
    for number, patient in enumerate(chance.sample(missed, chance.randint(10, 12))):
        site.open_record(at + 110 * number, shift.staff, patient, incident=incident)
    return incident


def forgotten_password(site: Site, chance: Random, kind: str, day: int) -> Incident:
    """Back from holidays: five to seven wrong passwords at the usual desk, then the right one."""
    shift = site.on_shift(chance, day, "nurse", "doctor", "clerk")
    incident = site.diary.incident(kind, shift.staff.id)
    at = shift.begins + chance.uniform(1, 3) * HOUR
    at = site.mistype(at, shift.staff, chance.randint(5, 7), incident=incident)
    site.sign_in(at + 30, shift.staff, incident=incident)
    return incident


def old_password_in_a_script(site: Site, chance: Random, kind: str, day: int) -> Incident:
    """After a change of its password, a service account fails every half minute until somebody notices."""
    id = chance.choice(list(ACCOUNTS))
    incident = site.diary.incident(kind, id)
    at = day * DAY + chance.uniform(1, 22) * HOUR
    for number in range(chance.randint(15, 60)):
        site.diary.add(
            at + 30 * number,
            "user.login_failed",
            site.programs.sign_in_of(id),
            incident=incident,
            outcome=Outcome.MINOR_FAILURE,
            outcome_reason="Wrong password",
            **service_account(id, ACCOUNTS[id]),
        )
    return incident


def terminal_server(site: Site, chance: Random, kind: str, day: int) -> Incident:
    """On the day on which passwords expire, many mistype theirs behind one address."""
    client = Client(address="10.30.0.5", user_agent="Mozilla/5.0")
    incident = site.diary.incident(kind, "10.30.0.5")
    at = day * DAY + 6 * HOUR + chance.uniform(0, 30) * MINUTE
    for one in chance.sample(list(site.population.staff.values()), chance.randint(6, 12)):
        at += chance.uniform(30, 200)
        site.mistype(at, one, chance.randint(1, 2), client=client, incident=incident)
    return incident


def study(site: Site, chance: Random, kind: str, day: int) -> Incident:
    """A researcher exports the tables of an approved study, one after the other."""
    shift = site.on_shift(chance, day, "researcher")
    incident = site.diary.incident(kind, shift.staff.id)
    at = chance.uniform(shift.begins + HOUR, shift.ends - 2 * HOUR)
    for number in range(chance.randint(8, 12)):
        export(site, at + 4 * MINUTE * number, shift.staff, incident, reason="Study 42, approved")
    return incident


def first_day(site: Site, chance: Random, kind: str, day: int) -> Incident:
    """A researcher gets the role that was asked for, and works with it at once."""
    shift = site.on_shift(chance, day, "administrator")
    colleague = site.on_shift(chance, day, "researcher").staff
    incident = site.diary.incident(kind, colleague.id)
    at = chance.uniform(shift.begins + HOUR, shift.ends - 2 * HOUR)
    site.change_roles(
        at, shift.staff, colleague.id, ["researcher", "data export"], reason="Request 815", incident=incident
    )
    export(site, at + 30 * MINUTE, colleague, incident, reason="Study 43, approved")
    return incident


def refused_client(site: Site, chance: Random, kind: str, day: int) -> Incident:
    """After a role was withdrawn, a program that is still open asks again and again."""
    shift = site.on_shift(chance, day, "doctor", "nurse")
    incident = site.diary.incident(kind, shift.staff.id)
    at = chance.uniform(shift.begins + HOUR, shift.ends - HOUR)
    for number in range(chance.randint(12, 24)):
        denied(site, at + 25 * number, shift.staff, incident)
    return incident


def investigation(site: Site, chance: Random, kind: str, day: int) -> Incident:
    """The privacy officer works on a complaint, with many queries of the trail."""
    shift = site.on_shift(chance, day, "privacy officer")
    incident = site.diary.incident(kind, shift.staff.id)
    at = chance.uniform(shift.begins + HOUR, shift.ends - 2 * HOUR)
    for number in range(chance.randint(35, 65)):
        site.diary.add(
            at + 50 * number, "audit_log.read", site.programs.trail, shift.staff.actor, incident=incident
        )
    return incident


def swapped_shift(site: Site, chance: Random, kind: str, day: int) -> Incident | None:
    """Two nurses swapped a shift, and nobody changed the roster."""
    free = [one for one in site.free(day) if one.role == "nurse"]
    if not free:
        return None
    one = chance.choice(free)
    beds = site.stays.inpatients[one.department, day]
    incident = site.diary.incident(kind, one.id)
    at = day * DAY + 14 * HOUR
    site.sign_in(at - 5 * MINUTE, one, incident=incident)
    for number, stay in enumerate(chance.sample(beds, min(len(beds), 5))):
        for begins in (1, 5):
            site.open_record(at + begins * HOUR + 600 * number, one, stay.patient, incident=incident)
    return incident


def maintenance(site: Site, chance: Random, kind: str, day: int) -> Incident:
    """A source is stopped for planned work, says so, and is silent for three hours of the night."""
    program = site.programs.devices
    incident = site.diary.incident(kind, program.service)
    begins = day * DAY + 1 * HOUR
    one = site.on_shift(chance, day, "device technician").staff
    site.diary.add(begins, "service.stopped", program, one.actor, reason="Planned update", incident=incident)
    site.diary.silence(program, begins + 1, begins + 3 * HOUR, incident)
    site.diary.add(begins + 3 * HOUR, "service.started", program, one.actor, incident=incident)
    return incident
