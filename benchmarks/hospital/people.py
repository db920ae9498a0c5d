"""The people of the hospital: households, of which some members are patients, staff, or both."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from random import Random

from msgspec import Struct

from benchmarks.hospital import names
from domain.event import Actor, ActorKind, Patient

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
"""The simulation begins on a Monday, at midnight."""
DAY = 86400.0
HOUR = 3600.0
MINUTE = 60.0
LEFT = 3
"""The day from which on those who left, or are on leave, have no shift."""

WARDS = (
    "emergency", "internal medicine", "surgery", "cardiology", "intensive care", "neurology", "orthopaedics",
    "paediatrics", "obstetrics", "oncology", "psychiatry", "urology",
)  # fmt: skip
"""Departments that treat patients; a small hospital has the first of them."""
LABORATORY, RADIOLOGY, PHARMACY = "laboratory", "radiology", "pharmacy"
DIAGNOSTICS = (LABORATORY, RADIOLOGY, PHARMACY)
ADMISSIONS, BILLING, CODING, RESEARCH = "admissions", "billing", "coding", "research"
IT, ENGINEERING, PRIVACY = "IT", "engineering", "privacy office"

_STAFF_OF = (  # department, role, share of the staff; at least two each
    (LABORATORY, "technician", 0.04),
    (RADIOLOGY, "radiographer", 0.03),
    (PHARMACY, "pharmacist", 0.02),
    (ADMISSIONS, "clerk", 0.04),
    (BILLING, "billing clerk", 0.03),
    (CODING, "coder", 0.015),
    (RESEARCH, "researcher", 0.015),
    (IT, "administrator", 0.015),
    (ENGINEERING, "device technician", 0.015),
    (PRIVACY, "privacy officer", 0.002),
)
_DOCTORS = 0.3
"""The share of doctors on a ward; the others are nurses."""


class Size(Struct, frozen=True, kw_only=True):
    """What is simulated. The same values give the same events."""

    seed: int = 1
    days: int = 100
    staff: int = 200
    patients: int = 2000

    def chance(self, *what: object) -> Random:
        """A random generator for one purpose, so that a change in one place leaves the others as they are."""
        return Random("/".join(map(str, (self.seed, *what))))

    def scaled(self, count: float, least: int = 3) -> int:
        """How many of something there are, if a hospital of 2,000 staff has `count` in 90 days."""
        return max(least, round(count * self.staff / 2000 * self.days / 90))

    @property
    def wards(self) -> tuple[str, ...]:
        """The departments that treat patients: one for about 35 members of staff."""
        return WARDS[: max(4, min(len(WARDS), self.staff // 35))]


class Person(Struct, frozen=True, kw_only=True):
    """A patient."""

    id: str
    given_name: str
    family_name: str
    address: str
    birth_date: date
    vip: bool = False

    @property
    def patient(self) -> Patient:
        """The patient of an event."""
        return Patient(id=self.id, name=f"{self.given_name} {self.family_name}")


class Staff(Struct, frozen=True, kw_only=True):
    """A member of staff. `patient_id`: their own record, if they were ever treated here."""

    id: str
    given_name: str
    family_name: str
    address: str
    birth_date: date
    department: str
    role: str
    desk: str
    patient_id: str | None

    @property
    def actor(self) -> Actor:
        """The actor of this person's events."""
        name = f"{self.given_name} {self.family_name}"
        return Actor(kind=ActorKind.USER, id=self.id, name=name, roles=(self.role,))

    @property
    def on_ward(self) -> bool:
        """Whether they treat patients of a ward."""
        return self.role in ("nurse", "doctor")


class Population:
    """All patients and staff. A third of the staff with a record of their own have their user id as patient id."""

    def __init__(self, size: Size) -> None:
        chance = size.chance("people")
        self.staff: dict[str, Staff] = {}
        self.patients: dict[str, Person] = {}
        self.households: dict[str, list[str]] = {}
        """Patients by address."""
        self.of_department: dict[str, list[Staff]] = {}
        places = _places(size)
        joined = set(chance.sample(range(size.patients // 2), min(len(places), size.patients // 2)))
        household = 0
        while len(self.patients) < size.patients or places:
            family, home = names.surname(chance), names.address(chance)
            members = chance.choices((1, 2, 3, 4), weights=(40, 30, 15, 15))[0]
            if places and (household in joined or len(self.patients) >= size.patients):
                department, role = places.pop()
                self._hire(chance, department, role, family, home, known=chance.random() < 0.6)
                members -= 1
            for _ in range(members if len(self.patients) < size.patients else 0):
                self._register(chance, family, home, vip=chance.random() < 0.004)
            household += 1
        self.addresses = {person.id: person.address for person in self.patients.values()}
        by_name: dict[str, list[str]] = {}
        for person in self.patients.values():
            by_name.setdefault(person.family_name, []).append(person.id)
        self.of_name = by_name
        self.staff_patients = {one.patient_id: one.id for one in self.staff.values() if one.patient_id}
        self.vips = [person.id for person in self.patients.values() if person.vip]

    def _hire(
        self, chance: Random, department: str, role: str, family: str, home: str, *, known: bool
    ) -> None:
        id = f"u{1000 + len(self.staff)}"
        born = _birth_date(chance, 22, 64)
        given = names.given_name(chance)
        patient = None
        if known:
            own = id if chance.random() < 1 / 3 else None
            patient = self._register(chance, family, home, given=given, born=born, id=own)
        colleagues = self.of_department.setdefault(department, [])
        network = 16 + list(self.of_department).index(department)
        one = Staff(
            id=id,
            given_name=given,
            family_name=family,
            address=home,
            birth_date=born,
            department=department,
            role=role,
            desk=f"10.{network}.{len(colleagues) // 200}.{10 + len(colleagues) % 200}",
            patient_id=patient,
        )
        colleagues.append(one)
        self.staff[id] = one

    def _register(
        self,
        chance: Random,
        family: str,
        home: str,
        *,
        given: str | None = None,
        born: date | None = None,
        id: str | None = None,
        vip: bool = False,
    ) -> str:
        person = Person(
            id=id or f"{100000 + len(self.patients)}",
            given_name=given or names.given_name(chance),
            family_name=family,
            address=home,
            birth_date=born or _birth_date(chance, 0, 95),
            vip=vip,
        )
        self.patients[person.id] = person
        self.households.setdefault(home, []).append(person.id)
        return person.id


def _birth_date(chance: Random, youngest: int, oldest: int) -> date:
    return (MONDAY - timedelta(days=chance.randint(youngest * 365, oldest * 365 + 364))).date()


def _places(size: Size) -> list[tuple[str, str]]:
    """The department and role of each member of staff, in no order."""
    places = [
        (department, role)
        for department, role, share in _STAFF_OF
        for _ in range(max(2, round(share * size.staff)))
    ]
    for number in range(size.staff - len(places)):
        ward = size.wards[number % len(size.wards)]
        places.append((ward, "doctor" if (number // len(size.wards)) % 10 < 10 * _DOCTORS else "nurse"))
    size.chance("places").shuffle(places)
    return places
