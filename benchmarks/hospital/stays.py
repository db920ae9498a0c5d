"""Why records are opened: encounters, their teams, orders and referrals, planned for the whole time."""

from __future__ import annotations

from collections import defaultdict
from random import Random

from msgspec import Struct

from benchmarks.hospital.people import DAY, DIAGNOSTICS, HOUR, Population, Size

_BEFORE = 130
"""Days before the first one: those who are here when the simulation begins, and those who were here long before."""
_BEDS = 0.4
"""Beds for each member of staff."""
_OUTPATIENTS = 0.1
"""Visits a day for each member of staff."""
FOLLOW_UP = 14
"""Days after a stay in which its department and practitioners still work on it: letters, results, calls."""


class Encounter(Struct, frozen=True, kw_only=True):
    """A stay or a visit. Times are in seconds of the simulation, and may be negative."""

    id: str
    patient: str
    department: str
    begins: float
    ends: float
    team: tuple[str, ...]
    inpatient: bool


class Order(Struct, frozen=True, kw_only=True):
    """What a doctor asked a department to do for a patient."""

    id: str
    patient: str
    department: str
    at: float
    by: str


class Referral(Struct, frozen=True, kw_only=True):
    """A patient whom a ward sent to another ward, for an opinion."""

    id: str
    patient: str
    department: str
    to: str
    at: float


class Stays:
    """All encounters, orders and referrals, and whether they explain an access."""

    def __init__(self, size: Size, population: Population) -> None:
        self._population = population
        chance = size.chance("stays")
        self.encounters: list[Encounter] = []
        self.orders: list[Order] = []
        self.referrals: list[Referral] = []
        self.inpatients: dict[tuple[str, int], list[Encounter]] = defaultdict(list)
        """By department and day."""
        self.visits: dict[tuple[str, int], list[Encounter]] = defaultdict(list)
        self.discharges: dict[int, list[Encounter]] = defaultdict(list)
        self.orders_for: dict[tuple[str, int], list[Order]] = defaultdict(list)
        self.referred_to: dict[tuple[str, int], list[Referral]] = defaultdict(list)
        self.of_patient: dict[str, list[Encounter]] = defaultdict(list)
        self._orders_of: dict[str, list[Order]] = defaultdict(list)
        self._referrals_of: dict[str, list[Referral]] = defaultdict(list)
        self.deceased: dict[str, float] = {}
        # A fifth of the patients is treated again and again; some are not treated in this time at all.
        ids = list(population.patients)
        self._chronic = chance.sample(ids, len(ids) // 5)
        self._others = chance.sample(ids, len(ids) * 7 // 10)
        for day in range(-_BEFORE, size.days):
            for _ in range(_about(chance, size.staff * _BEDS / 4.5)):
                self._admit(chance, size, day)
            for _ in range(_about(chance, size.staff * _OUTPATIENTS) if day % 7 < 5 else 0):
                self._visit(chance, size, day)

    def related(self, staff_id: str, department: str, patient: str, second: float) -> bool:
        """Whether a person who works for `department` has a reason that is on file to open this record."""
        for stay in self.of_patient.get(patient, ()):
            near = stay.begins - DAY <= second <= stay.ends + FOLLOW_UP * DAY
            if near and (stay.department == department or staff_id in stay.team):
                return True
        day = 2 * DAY
        ordered = self._orders_of.get(patient, ())
        if any(each.department == department and abs(second - each.at) <= day for each in ordered):
            return True
        return any(
            each.to == department and -HOUR <= second - each.at <= FOLLOW_UP * DAY
            for each in self._referrals_of.get(patient, ())
        )

    def last_stay(self, patient: str, before: float) -> Encounter | None:
        """Of the stays that began before a time the one that ends last."""
        stays = (stay for stay in self.of_patient.get(patient, ()) if stay.begins < before)
        return max(stays, key=lambda stay: stay.ends, default=None)

    def _patient(self, chance: Random) -> str:
        while True:
            id = chance.choice(self._chronic if chance.random() < 0.5 else self._others)
            if id not in self.deceased:
                return id

    def _admit(self, chance: Random, size: Size, day: int) -> None:
        begins = day * DAY + chance.uniform(7, 22) * HOUR
        ends = begins + min(21.0, chance.lognormvariate(1.2, 0.7)) * DAY
        stay = self._encounter(chance, size, begins, ends, inpatient=True)
        for each in range(day, int(ends // DAY) + 1):
            self.inpatients[stay.department, each].append(stay)
            if chance.random() < 0.75:
                self._order(chance, stay, each)
        if chance.random() < 0.25:
            self._refer(chance, size, stay)
        if chance.random() < 0.015:
            self.deceased[stay.patient] = ends

    def _visit(self, chance: Random, size: Size, day: int) -> None:
        begins = day * DAY + chance.uniform(8, 15) * HOUR
        stay = self._encounter(chance, size, begins, begins + chance.uniform(0.5, 3) * HOUR, inpatient=False)
        self.visits[stay.department, day].append(stay)
        if chance.random() < 0.5:
            self._order(chance, stay, day)

    def _encounter(
        self, chance: Random, size: Size, begins: float, ends: float, *, inpatient: bool
    ) -> Encounter:
        department = chance.choice(size.wards)
        colleagues = self._population.of_department[department]
        doctors = [one.id for one in colleagues if one.role == "doctor"]
        stay = Encounter(
            id=f"e{len(self.encounters) + 1}",
            patient=self._patient(chance),
            department=department,
            begins=begins,
            ends=ends,
            team=tuple(chance.sample(doctors, min(len(doctors), 3 if inpatient else 1))),
            inpatient=inpatient,
        )
        self.encounters.append(stay)
        self.of_patient[stay.patient].append(stay)
        self.discharges[int(ends // DAY)].append(stay)
        return stay

    def _order(self, chance: Random, stay: Encounter, day: int) -> None:
        at = day * DAY + chance.uniform(8, 18) * HOUR
        if not stay.begins <= at <= stay.ends or not stay.team:
            return
        department = chance.choices(DIAGNOSTICS, weights=(50, 25, 25))[0]
        order = Order(
            id=f"o{len(self.orders) + 1}",
            patient=stay.patient,
            department=department,
            at=at,
            by=chance.choice(stay.team),
        )
        self.orders.append(order)
        self.orders_for[department, day].append(order)
        self._orders_of[stay.patient].append(order)

    def _refer(self, chance: Random, size: Size, stay: Encounter) -> None:
        to = chance.choice([ward for ward in size.wards if ward != stay.department])
        at = stay.begins + chance.uniform(0.1, 0.8) * min(stay.ends - stay.begins, 3 * DAY)
        referral = Referral(
            id=f"r{len(self.referrals) + 1}", patient=stay.patient, department=stay.department, to=to, at=at
        )
        self.referrals.append(referral)
        self.referred_to[to, int(at // DAY)].append(referral)
        self._referrals_of[stay.patient].append(referral)


def _about(chance: Random, count: float) -> int:
    return max(0, round(chance.gauss(count, count**0.5)))
