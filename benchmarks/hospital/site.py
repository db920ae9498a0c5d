"""The programs of the hospital, and how a person at a desk uses them."""

from __future__ import annotations

from random import Random
from typing import Any

from msgspec import Struct

from benchmarks.hospital.diary import Diary, Incident, Instance
from benchmarks.hospital.people import Population, Size, Staff
from benchmarks.hospital.rosters import Rosters, Shift
from benchmarks.hospital.stays import Stays
from domain.access.redaction import DEPARTMENT
from domain.catalogue import TRAIL_SERVICE
from domain.event import Actor, ActorKind, Change, Client, Outcome, Request, Resource

PROGRAM = "WardApp/7.3"


class Programs:
    """The sources of events. The radiology system is old, and does not number its events."""

    def __init__(self) -> None:
        self.authentication = [Instance("authentication-service", f"auth-{n}") for n in (1, 2)]
        self.records = [Instance("patient-service", f"patient-{n}") for n in (1, 2, 3)]
        self.vitals = Instance("vitals-service", "vitals-1")
        self.laboratory = Instance("laboratory-interface", "laboratory-1")
        self.radiology = Instance("radiology-system", "radiology-1", numbered=False)
        self.pharmacy = Instance("pharmacy-service", "pharmacy-1")
        self.devices = Instance("device-service", "gateway-1")
        self.gateway = Instance("api-gateway", "edge-1", numbered=False)
        self.trail = Instance(TRAIL_SERVICE, "trail-1", numbered=False)

    def record_of(self, patient: str) -> Instance:
        """The instance that keeps this patient's record."""
        return self.records[hash_of(patient) % len(self.records)]

    def sign_in_of(self, account: str) -> Instance:
        """The instance at which this account signs in."""
        return self.authentication[hash_of(account) % len(self.authentication)]


class Site(Struct, frozen=True, kw_only=True):
    """All that the scenes of a day need."""

    size: Size
    population: Population
    stays: Stays
    rosters: Rosters
    programs: Programs
    diary: Diary
    gone: dict[str, bool]
    """Staff who left, and whether their account was misused since."""
    back: dict[str, float]
    """Staff who are still on leave, and the second at which it ends."""

    def sign_in(self, at: float, one: Staff, **fields: Any) -> None:
        """A sign-in with its session."""
        program = self.programs.sign_in_of(one.id)
        fields = {"client": desk(one), "session": session(one, at), **fields}
        self.diary.add(at, "user.logged_in", program, one.actor, **fields)
        self.diary.add(at + 0.05, "session.started", program, one.actor, **fields)

    def sign_out(self, at: float, one: Staff, begun: float) -> None:
        """The end of the session that began at `begun`."""
        program = self.programs.sign_in_of(one.id)
        fields: dict[str, Any] = {"client": desk(one), "session": session(one, begun)}
        self.diary.add(at, "user.logged_out", program, one.actor, **fields)
        self.diary.add(at + 0.05, "session.ended", program, one.actor, **fields)

    def mistype(self, at: float, one: Staff, times: int, **fields: Any) -> float:
        """Sign-ins that fail, ten seconds apart; the time after the last."""
        for number in range(times):
            self.diary.add(
                at + 10 * number,
                "user.login_failed",
                self.programs.sign_in_of(one.id),
                one.actor,
                outcome=Outcome.MINOR_FAILURE,
                outcome_reason="Wrong password",
                **({"client": desk(one)} | fields),
            )
        return at + 10 * times

    def open_record(
        self,
        at: float,
        one: Staff,
        patient: str,
        *,
        what: str = "Patient",
        type: str = "record.read",
        program: Instance | None = None,
        incident: Incident | None = None,
        **fields: Any,
    ) -> None:
        """A person opens, writes or deletes a part of a patient's record. At work, others see to one's own."""
        if incident is None and patient == one.patient_id:
            return
        known = self.population.patients[patient].patient
        self.diary.add(
            at,
            type,
            program or self.programs.record_of(patient),
            one.actor,
            incident=incident,
            patients=(known,),
            resources=(
                Resource(type=what, id=patient if what == "Patient" else f"{what[:3].lower()}-{patient}"),
            ),
            **(at_work(one, at) | fields),
        )

    def search(self, at: float, one: Staff, name: str, incident: Incident | None = None) -> None:
        """A person searches patients by name."""
        self.diary.add(
            at,
            "record.searched",
            self.programs.records[0],
            one.actor,
            incident=incident,
            **(at_work(one, at) | {"attributes": {DEPARTMENT: one.department, "query": {"name": name}}}),
        )

    def list_ward(self, at: float, one: Staff, ward: str) -> None:
        """A person lists the patients of a ward."""
        fields = {"attributes": {DEPARTMENT: one.department, "query": {"ward": ward}}}
        self.diary.add(
            at, "record.searched", self.programs.records[0], one.actor, **(at_work(one, at) | fields)
        )

    def call(self, at: float, one: Staff, path: str) -> None:
        """A request of a person's program that opens no record."""
        request = Request(method="GET", path=path, status=200, duration_ms=12.5)
        self.diary.add(
            at, "api.called", self.programs.gateway, one.actor, request=request, **at_work(one, at)
        )

    def change(self, at: float, one: Staff, path: str, values: tuple[Any, Any], **fields: Any) -> None:
        """A person changes a setting of a device or a service."""
        before, after = values
        program = fields.pop("program", self.programs.devices)
        self.diary.add(
            at,
            "configuration.changed",
            program,
            one.actor,
            changes=(Change(path=path, before=before, after=after),),
            **(at_work(one, at) | fields),
        )

    def change_roles(self, at: float, one: Staff, account: str, after: list[str], **fields: Any) -> None:
        """An administrator changes the roles of an account."""
        self.diary.add(
            at,
            "role.changed",
            self.programs.sign_in_of(account),
            one.actor,
            resources=(Resource(type="User", id=account),),
            changes=(Change(path="roles", before=["nurse"], after=after),),
            **(at_work(one, at) | fields),
        )

    def free(self, day: int) -> list[Staff]:
        """Staff of wards who work neither on that day nor on the one before or after it, and have not left."""
        working = {shift.staff.id for each in (day - 1, day, day + 1) for shift in self.rosters.of_day(each)}
        staff = self.population.staff.values()
        return [one for one in staff if one.on_ward and one.id not in working and one.id not in self.gone]

    def on_shift(self, chance: Random, day: int, *roles: str) -> Shift:
        """The shift of somebody with one of these roles, which begins on that day or the next with one."""
        for each in range(day, day + 7):
            shifts = [one for one in self.rosters.of_day(each) if one.staff.role in roles and not one.on_call]
            if shifts:
                return chance.choice(shifts)
        raise ValueError(f"nobody works as {roles} in the week of day {day}")


def service_account(id: str, address: str) -> dict[str, Any]:
    """The fields of what a service account does with its own program."""
    return {
        "actor": Actor(kind=ActorKind.SERVICE, id=id, name=id.replace("-", " ")),
        "client": Client(address=address, user_agent=f"{id}/2.1"),
    }


def device_actor(id: str) -> Actor:
    """The device as an actor: nobody operates it."""
    return Actor(kind=ActorKind.DEVICE, id=id)


def at_work(one: Staff, at: float) -> dict[str, Any]:
    """The fields that a person's everyday events share."""
    return {
        "client": desk(one),
        "session": session(one, at),
        "purpose_of_use": ("TREAT" if one.on_ward else "HOPERAT",),
        "attributes": {DEPARTMENT: one.department},
    }


def desk(one: Staff) -> Client:
    """The client at a person's desk."""
    return Client(address=one.desk, user_agent=PROGRAM)


def session(one: Staff, at: float) -> str:
    """The id of a session; a shift has one, whose night belongs to the day before."""
    return f"{one.id}-{int((at - 6 * 3600) // 86400)}"


def hash_of(text: str) -> int:
    """A small number that is the same in every process."""
    return sum(text.encode())
