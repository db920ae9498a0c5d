"""Accounts that are attacked or misused: passwords, service accounts, roles, exports, settings."""

from __future__ import annotations

from random import Random
from typing import Any

from benchmarks.hospital.diary import Incident
from benchmarks.hospital.machines import ACCOUNTS
from benchmarks.hospital.people import DAY, HOUR, MINUTE, Staff
from benchmarks.hospital.site import PROGRAM, Site, at_work, service_account
from benchmarks.hospital.snooping import Scene
from domain.event import Actor, Client, Outcome, Resource


def outside(chance: Random) -> Client:
    """A client that is not in the hospital."""
    return Client(address=f"203.0.113.{chance.randint(1, 254)}", user_agent="python-requests/2.32")


def guessed_password(least: int, most: int, *, found: bool, slow: bool = False) -> Scene:
    """A scene: many failed sign-ins of one account from outside, and perhaps one that succeeds."""

    def scene(site: Site, chance: Random, kind: str, day: int) -> Incident:
        one = _anybody(site, chance)
        incident, client = site.diary.incident(kind, one.id), outside(chance)
        at = day * DAY + chance.uniform(0.5, 22) * HOUR
        for _ in range(chance.randint(least, most)):
            at += chance.uniform(70, 150) if slow else chance.uniform(8, 22)
            site.mistype(at, one, 1, client=client, incident=incident)
        if found:
            site.sign_in(at + 20, one, client=client, session=f"{one.id}-x{day}", incident=incident)
        return incident

    return scene


def password_spray(accounts: int, minutes: float) -> Scene:
    """A scene: one or two failed sign-ins of each of many accounts from one address, so far apart in all."""

    def scene(site: Site, chance: Random, kind: str, day: int) -> Incident:
        client = outside(chance)
        incident = site.diary.incident(kind, client.address or "")
        at = day * DAY + chance.uniform(0.5, 18) * HOUR
        for one in chance.sample(list(site.population.staff.values()), accounts):
            at += minutes * MINUTE / accounts * chance.uniform(0.8, 1.2)
            site.mistype(at, one, 1, client=client, incident=incident)
        return incident

    return scene


def dormant_account(site: Site, chance: Random, kind: str, day: int) -> Incident | None:
    """Somebody who left months ago signs in and reads."""
    left = [one for one in site.population.staff.values() if one.id in site.gone and not site.gone[one.id]]
    if not left:
        return None
    one = left[chance.randrange(len(left))]
    site.gone[one.id] = True
    incident = site.diary.incident(kind, one.id)
    at, client = day * DAY + chance.uniform(1, 22) * HOUR, outside(chance)
    site.sign_in(at, one, client=client, incident=incident)
    for number, patient in enumerate(chance.sample(list(site.population.patients), 3)):
        site.open_record(at + 60 + 30 * number, one, patient, client=client, incident=incident)
    return incident


def service_account_by_hand(site: Site, chance: Random, kind: str, day: int) -> Incident:
    """A person uses the account of a service with a browser or a tool."""
    tool = chance.choice(("Mozilla/5.0 (X11; Linux x86_64)", "curl/8.5", "PostmanRuntime/7.3"))
    return _service_reads(site, chance, kind, day, tool)


def service_account_elsewhere(site: Site, chance: Random, kind: str, day: int) -> Incident:
    """The account of a service is used with its own program, from an address it never had."""
    return _service_reads(site, chance, kind, day, None)


def service_account_signs_in(site: Site, chance: Random, kind: str, day: int) -> Incident:
    """A person signs in with the account of a service, as if it were a user's."""
    id = chance.choice(list(ACCOUNTS))
    incident = site.diary.incident(kind, id)
    at = day * DAY + chance.uniform(1, 22) * HOUR
    client = Client(address=f"10.16.0.{chance.randint(10, 60)}", user_agent=PROGRAM)
    fields: dict[str, Any] = {"client": client, "session": f"{id}-x{day}"}
    program = site.programs.sign_in_of(id)
    site.diary.add(at, "user.logged_in", program, Actor(id=id), incident=incident, **fields)
    return incident


def _service_reads(site: Site, chance: Random, kind: str, day: int, tool: str | None) -> Incident:
    id = chance.choice(list(ACCOUNTS))
    address = (
        f"10.16.0.{chance.randint(10, 60)}"
        if tool
        else f"10.99.{chance.randint(0, 9)}.{chance.randint(1, 254)}"
    )
    fields = service_account(id, address)
    if tool:
        fields["client"] = Client(address=address, user_agent=tool)
    incident = site.diary.incident(kind, id)
    at = day * DAY + chance.uniform(1, 22) * HOUR
    for number, patient in enumerate(chance.sample(list(site.population.patients), 5)):
        site.diary.add(
            at + 25 * number,
            "record.read",
            site.programs.record_of(patient),
            incident=incident,
            patients=(site.population.patients[patient].patient,),
            resources=(Resource(type="Patient", id=patient),),
            **fields,
        )
    return incident


def export(site: Site, at: float, one: Staff, incident: Incident | None, **fields: Any) -> None:
    """One export by a person."""
    fields = at_work(one, at) | fields
    site.diary.add(at, "record.exported", site.programs.records[1], one.actor, incident=incident, **fields)


def export_spike(site: Site, chance: Random, kind: str, day: int) -> Incident:
    """Somebody exports again and again within 40 minutes."""
    shift = site.on_shift(chance, day, "doctor", "clerk", "billing clerk")
    incident = site.diary.incident(kind, shift.staff.id)
    at = chance.uniform(shift.begins + HOUR, shift.ends - 2 * HOUR)
    for number in range(chance.randint(12, 20)):
        export(site, at + number * 2 * MINUTE, shift.staff, incident)
    return incident


def grant_then_use(site: Site, chance: Random, kind: str, day: int) -> Incident:
    """An administrator gives a friend a role, who uses it at once."""
    shift = site.on_shift(chance, day, "administrator")
    friend = _anybody(site, chance, but=shift.staff)
    incident = site.diary.incident(kind, friend.id)
    at = chance.uniform(shift.begins + HOUR, shift.ends - 2 * HOUR)
    site.change_roles(at, shift.staff, friend.id, ["nurse", "data export"], incident=incident)
    for number in range(2):
        export(site, at + (10 + 3 * number) * MINUTE, friend, incident)
    return incident


def own_role(site: Site, chance: Random, kind: str, day: int) -> Incident:
    """An administrator gives themselves a role."""
    shift = site.on_shift(chance, day, "administrator")
    incident = site.diary.incident(kind, shift.staff.id)
    at = chance.uniform(shift.begins + HOUR, shift.ends - HOUR)
    site.change_roles(at, shift.staff, shift.staff.id, ["administrator", "auditor"], incident=incident)
    return incident


def change_off_shift(first: float, last: float) -> Scene:
    """A scene: an administrator or technician changes settings between two hours of a day without a shift."""

    def scene(site: Site, chance: Random, kind: str, day: int) -> Incident | None:
        at = day * DAY + chance.uniform(first, last) * HOUR
        able = [
            one
            for one in site.population.staff.values()
            if one.role in ("administrator", "device technician")
        ]
        free = [one for one in able if not site.rosters.on_duty(one.id, at)]
        if not free:
            return None
        one = chance.choice(free)
        incident = site.diary.incident(kind, one.id)
        for number in range(3):
            site.change(at + 60 * number, one, "alarm.enabled", (True, False), incident=incident)
        return incident

    return scene


def probing(site: Site, chance: Random, kind: str, day: int) -> Incident:
    """Somebody tries what they may not do, 25 to 40 times."""
    shift = site.on_shift(chance, day, "clerk", "nurse", "billing clerk")
    incident = site.diary.incident(kind, shift.staff.id)
    at = chance.uniform(shift.begins + HOUR, shift.ends - HOUR)
    for number in range(chance.randint(25, 40)):
        denied(site, at + 12 * number, shift.staff, incident)
    return incident


def denied(site: Site, at: float, one: Staff, incident: Incident) -> None:
    """A request that is refused."""
    site.diary.add(
        at,
        "access.denied",
        site.programs.gateway,
        one.actor,
        incident=incident,
        outcome=Outcome.SERIOUS_FAILURE,
        outcome_reason="Not allowed",
        **at_work(one, at),
    )


def _anybody(site: Site, chance: Random, but: Staff | None = None) -> Staff:
    return chance.choice(
        [one for one in site.population.staff.values() if one is not but and one.id not in site.gone]
    )
