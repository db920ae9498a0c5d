"""What programs and devices report by themselves, and the work of those who look after them."""

from __future__ import annotations

from random import Random
from typing import Any

from benchmarks.hospital.people import DAY, ENGINEERING, HOUR, IT, MINUTE, PRIVACY, RESEARCH
from benchmarks.hospital.site import Site, device_actor, hash_of, service_account
from domain.event import Actor, ActorKind, Change, Device, Outcome, Request, Resource

ACCOUNTS = {
    "laboratory-analyser": "10.40.0.11",
    "scheduling": "10.40.0.12",
    "archive-interface": "10.40.0.13",
    "national-register": "10.40.0.14",
}
"""The service accounts, and the address that each works from."""
_SUPERVISOR = Actor(kind=ActorKind.SERVICE, id="supervisor", name="Supervisor")


def machines(site: Site, day: int) -> None:
    """A day of monitors, interfaces, checks and administration."""
    chance = site.size.chance("machines", day)
    _monitors(site, chance, day)
    _interfaces(site, chance, day)
    _checks(site, chance, day)
    _administration(site, chance, day)
    if day == 0:
        for program in (*site.programs.records, site.programs.vitals, site.programs.gateway):
            site.diary.add(1.0, "service.started", program, _SUPERVISOR)


def _monitors(site: Site, chance: Random, day: int) -> None:
    """Every second bed has a monitor, which writes vital signs every two hours; some were offline and are late."""
    for ward in site.size.wards:
        for stay in site.stays.inpatients[ward, day]:
            if hash_of(stay.id) % 2:
                continue
            id = f"monitor-{hash_of(ward) % 40}-{hash_of(stay.id) % 60}"
            device = Device(id=id, name=f"Monitor {ward}", software_version="4.1.2")
            offline = 3 * HOUR if chance.random() < 0.004 else 0.0
            for number in range(12):
                at = day * DAY + number * 2 * HOUR + chance.uniform(0, 300)
                if stay.begins < at < stay.ends:
                    sign = Change(path="heart_rate.value", before=70, after=chance.randint(55, 110))
                    site.diary.add(
                        at,
                        "record.created",
                        site.programs.devices,
                        device_actor(id),
                        # Its clock differs by a second or two, and what it measured offline it sends later.
                        clock=chance.gauss(0, 0.7) - offline,
                        device=device,
                        patients=(site.population.patients[stay.patient].patient,),
                        resources=(Resource(type="Observation", id=f"obs-{stay.patient}"),),
                        changes=(sign,),
                    )


def _interfaces(site: Site, chance: Random, day: int) -> None:
    """Results come in, appointments are read, and one account exports every night."""
    for order in site.stays.orders_for["laboratory", day]:
        site.diary.add(
            order.at + 30 * MINUTE,
            "record.imported",
            site.programs.laboratory,
            patients=(site.population.patients[order.patient].patient,),
            resources=(Resource(type="DiagnosticReport", id=f"dia-{order.patient}"),),
            **service_account("laboratory-analyser", ACCOUNTS["laboratory-analyser"]),
        )
    for stay in site.stays.discharges[day]:
        site.diary.add(
            day * DAY + 20 * HOUR + chance.uniform(0, 3) * HOUR,
            "record.read",
            site.programs.record_of(stay.patient),
            patients=(site.population.patients[stay.patient].patient,),
            resources=(Resource(type="Patient", id=stay.patient),),
            **service_account("scheduling", ACCOUNTS["scheduling"]),
        )
    for id in ("archive-interface", "national-register"):
        for number in range(2):
            site.diary.add(
                day * DAY + 2 * HOUR + 600 * number,
                "record.exported",
                site.programs.records[1],
                reason="Nightly transfer",
                **service_account(id, ACCOUNTS[id]),
            )


def _checks(site: Site, chance: Random, day: int) -> None:
    """Each program is checked every ten minutes; of these calls the gateway reports one an hour."""
    for hour in range(24):
        at = day * DAY + hour * HOUR + chance.uniform(0, 60)
        probe = Request(method="GET", path="/healthz", status=200, duration_ms=2.0)
        site.diary.add(at, "api.called", site.programs.gateway, _SUPERVISOR, request=probe)
    if chance.random() < 0.1:
        _restart(site, chance, day * DAY + chance.uniform(1, 23) * HOUR)


def _restart(site: Site, chance: Random, at: float) -> None:
    program = chance.choice((site.programs.vitals, site.programs.pharmacy))
    why: dict[str, Any] = {"outcome": Outcome.SERIOUS_FAILURE, "outcome_reason": "No answer within 2 s"}
    site.diary.add(at, "health_check.failed", program, _SUPERVISOR, **why)
    site.diary.add(at + 60, "service.restarted", program, _SUPERVISOR)
    site.diary.add(at + 90, "health_check.recovered", program, _SUPERVISOR)


def _administration(site: Site, chance: Random, day: int) -> None:
    """Settings, roles, exports for studies, and queries of the trail, all in office hours."""
    shifts = site.rosters.of_day(day)
    by_department = {
        name: [shift for shift in shifts if shift.department == name and not shift.on_call]
        for name in (IT, ENGINEERING, RESEARCH, PRIVACY)
    }
    for shift in by_department[ENGINEERING]:
        for _ in range(chance.randint(1, 5)):
            at = chance.uniform(shift.begins, shift.ends - HOUR)
            site.change(
                at, shift.staff, "alarm.spo2.low", (90, chance.randint(85, 92)), reason="Agreed with the ward"
            )
    for shift in by_department[IT]:
        for _ in range(chance.choice((0, 1, 1, 2))):
            account = chance.choice(list(site.population.staff))
            at = chance.uniform(shift.begins, shift.ends - HOUR)
            if account != shift.staff.id:
                site.change_roles(
                    at, shift.staff, account, ["nurse", "ward lead"], reason="Request of the ward"
                )
    for shift in by_department[RESEARCH]:
        for _ in range(chance.choice((0, 0, 1, 3))):
            site.diary.add(
                chance.uniform(shift.begins, shift.ends),
                "record.exported",
                site.programs.records[1],
                shift.staff.actor,
                reason="Study 42, approved",
                purpose_of_use=("HRESCH",),
            )
    for shift in by_department[PRIVACY]:
        for _ in range(chance.randint(2, 12)):
            at = chance.uniform(shift.begins, shift.ends)
            site.diary.add(at, "audit_log.read", site.programs.trail, shift.staff.actor)
