"""What the hospital knows besides the log, as the rows of the context tables."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from benchmarks.hospital.machines import ACCOUNTS
from benchmarks.hospital.people import ADMISSIONS, BILLING, CODING, DAY, LEFT, MONDAY
from benchmarks.hospital.site import Site
from detection.context.index import ContextIndex, TableRows
from detection.context.rows import encode_row, make_row
from detection.context.tables import TABLES
from detection.context.values import Given

Rows = Iterator[dict[str, Given]]


class Context:
    """The context in memory. Each night loads the patients again, with their ward, discharge and death."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._others = [_loaded(name, rows(site)) for name, rows in _TABLES.items()]

    def of(self, day: int) -> ContextIndex:
        """What is known in the morning of a day."""
        return ContextIndex([*self._others, _loaded(_PATIENTS, _patients(self._site, day))])


def canonical_tables(site: Site, day: int) -> dict[str, list[bytes]]:
    """The tables as they are in the morning of a day, in the form in which they are stored."""
    tables = {name: rows(site) for name, rows in _TABLES.items()} | {_PATIENTS: _patients(site, day)}
    return {name: _canonical(name, rows) for name, rows in tables.items()}


def write_csv(site: Site, day: int, folder: Path) -> list[Path]:
    """Files that `audit-trail context load` takes, one a table, as they are in the morning of a day."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {name: rows(site) for name, rows in _TABLES.items()} | {_PATIENTS: _patients(site, day)}
    files = []
    for name, rows in tables.items():
        files.append(folder / f"{name}.csv")
        with files[-1].open("w", encoding="utf-8", newline="") as file:
            columns = [column.name for column in TABLES[name].columns]
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return files


def _loaded(name: str, rows: Rows) -> TableRows:
    return TableRows(TABLES[name], _canonical(name, rows))


def _canonical(name: str, rows: Rows) -> list[bytes]:
    return sorted({encode_row(make_row(TABLES[name], row)) for row in rows})


def _cell(value: Given) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime) or hasattr(value, "isoformat"):
        return value.isoformat()
    return ";".join(value)


def _time(second: float) -> datetime:
    return MONDAY + timedelta(seconds=round(second))


def _staff(site: Site) -> Rows:
    for one in site.population.staff.values():
        yield {
            "id": one.id,
            "name": f"{one.given_name} {one.family_name}",
            "family_name": one.family_name,
            "departments": [one.department],
            "roles": [one.role],
            "address": one.address,
            "birth_date": one.birth_date,
            "patient_id": one.patient_id,
            "active_until": _time(LEFT * DAY) if one.id in site.gone else None,
        }


def _patients(site: Site, day: int) -> Rows:
    morning = day * DAY
    for person in site.population.patients.values():
        stay = site.stays.last_stay(person.id, morning)
        died = site.stays.deceased.get(person.id, morning)
        here = stay is not None and stay.ends > morning
        yield {
            "id": person.id,
            "family_name": person.family_name,
            "address": person.address,
            "birth_date": person.birth_date,
            "department": stay.department if stay and here else None,
            "discharged_at": _time(stay.ends) if stay and not here else None,
            "deceased_at": _time(died) if died < morning else None,
            "vip": person.vip,
        }


def _encounters(site: Site) -> Rows:
    for stay in site.stays.encounters:
        yield {
            "id": stay.id,
            "patient": stay.patient,
            "starts_at": _time(stay.begins),
            "ends_at": _time(stay.ends),
            "department": stay.department,
            "practitioners": stay.team,
        }


def _care_teams(site: Site) -> Rows:
    """The doctors of each stay, from the day before it to the letters after it."""
    for stay in site.stays.encounters:
        if stay.inpatient:
            for member in stay.team:
                yield {
                    "patient": stay.patient,
                    "staff": member,
                    "starts_at": _time(stay.begins - DAY),
                    "ends_at": _time(stay.ends + 7 * DAY),
                }


def _orders(site: Site) -> Rows:
    for order in site.stays.orders:
        yield {
            "id": order.id,
            "patient": order.patient,
            "at": _time(order.at),
            "staff": [order.by],
            "departments": [order.department],
        }


def _referrals(site: Site) -> Rows:
    for referral in site.stays.referrals:
        yield {
            "id": referral.id,
            "patient": referral.patient,
            "at": _time(referral.at),
            "departments": [referral.to],
        }


def _billing(_: Site) -> Rows:
    for department in (ADMISSIONS, BILLING, CODING):
        yield {"department": department}


def _service_accounts(_: Site) -> Rows:
    for id, address in ACCOUNTS.items():
        yield {"id": id, "networks": [address], "purpose": "Interface"}


def _rosters(site: Site) -> Rows:
    for day in range(site.size.days):
        for shift in site.rosters.of_day(day):
            yield {
                "staff": shift.staff.id,
                "starts_at": _time(shift.begins),
                "ends_at": _time(shift.ends),
                "department": shift.department,
                "on_call": shift.on_call,
            }


def _vips(site: Site) -> Rows:
    for id in site.population.vips:
        yield {"patient": id, "why": "press"}


_PATIENTS = "patients"
_TABLES: dict[str, Callable[[Site], Rows]] = {
    "staff": _staff,
    "encounters": _encounters,
    "care_teams": _care_teams,
    "orders": _orders,
    "referrals": _referrals,
    "billing": _billing,
    "service_accounts": _service_accounts,
    "rosters": _rosters,
    "vips": _vips,
}
