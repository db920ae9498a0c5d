"""A simulated hour of a clinic, for the demonstration and for the tests, as native events.

`PATIENT`, `USER` and `DEVICE` have the most varied events. Nobody in here exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from audit_trail.demo.broken_messages import BrokenMessage, broken_messages
from audit_trail.demo.cast import (
    BEDSIDE,
    GATEWAY,
    NIGHTINGALE,
    PATIENTS,
    RECORDS,
    STAFF,
    VITALS,
    Clinic,
    Person,
    device_actor,
)
from audit_trail.demo.devices import STORIED, connected, device_at, patient_at
from audit_trail.demo.stories import OUTAGE, PAULA, add_stories, record_of
from domain.event import AuditEvent, Change, Outcome, Patient, Request, Resource

__all__ = ["DEVICE", "PATIENT", "USER", "BrokenMessage", "broken_messages", "simulate"]

PATIENT = PAULA.id
"""Her record was read in an emergency, with a reason, and disclosed to an insurance company."""
USER = NIGHTINGALE.id
"""Somebody tried to guess her password; later she used emergency access."""
DEVICE = STORIED
"""Five of its settings changed, and its software was upgraded."""

_HOUR = 3600.0
_NORMAL = {"heart_rate": 72, "spo2": 97, "respiratory_rate": 14, "temperature": 37}


def simulate(seed: int, start: datetime, events: int = 3000) -> Iterator[AuditEvent]:
    """The events of the hour that begins at `start` (aware), in the order of occurrence.

    The stories take about 110 events, whatever `events` says; everyday work fills up to `events`. Same arguments,
    same events; another seed or start gives other event ids.
    """
    clinic = Clinic(seed, start)
    add_stories(clinic)
    _everyday_work(clinic, events)
    yield from sorted(clinic.events, key=lambda event: event.occurred_at)


class _Ward(NamedTuple):
    """The ward of everyday work: the hour, and the last written vital signs.

    They are kept so that the old value of each change is the new value of the change before it.
    """

    clinic: Clinic
    signs: dict[tuple[str, str], int]

    def somebody(self, second: float) -> Person:
        """A random person who is logged in."""
        return self.clinic.chance.choice([one for one in STAFF if one.begins + 1 < second < one.ends - 1])

    def patient_of(self, person: Person) -> Patient:
        """A random patient of `person`: Paula is no patient of the nurse who uses emergency access."""
        return self.clinic.chance.choice(PATIENTS[1:] if person is NIGHTINGALE else PATIENTS)

    def write(self, patient: Patient, sign: str) -> Change:
        """A new value of `sign`. One far from normal returns to normal: this is a calm ward."""
        before = self.signs.get((patient.id, sign))
        after = (before or _NORMAL[sign]) + self.clinic.chance.choice((-2, -1, 1, 2))
        if abs(after - _NORMAL[sign]) > 6 or after == before:
            after = _NORMAL[sign]
        self.signs[patient.id, sign] = after
        return Change(path=f"{sign}.value", before=before, after=after)


def _everyday_work(clinic: Clinic, events: int) -> None:
    ward, stories = _Ward(clinic, {}), len(clinic.events)
    seconds = sorted(clinic.chance.uniform(100.0, _HOUR - 70.0) for _ in range(events - stories))
    for second in seconds:
        if len(clinic.events) >= events:
            break
        clinic.chance.choice(_WORK)(ward, second)
    # A piece of work may be two events, and the last one too many.
    del clinic.events[max(events, stories) :]


def _measure(ward: _Ward, second: float) -> None:
    """A monitor writes a measurement, or reports that vitals-service is away."""
    id = ward.clinic.chance.choice([id for id in BEDSIDE if connected(id, second)])
    device, patient = device_at(id, second), patient_at(id)
    ward.clinic.add(
        second,
        "record.created",
        VITALS,
        device_actor(device),
        device=device,
        **_writing(ward, second, patient),
    )


def _chart_vitals(ward: _Ward, second: float) -> None:
    person = ward.somebody(second)
    ward.clinic.add(
        second,
        "record.updated",
        VITALS,
        correlation_id=ward.clinic.correlation(),
        **_writing(ward, second, ward.patient_of(person)),
        **person.at_work,
    )


def _writing(ward: _Ward, second: float, patient: Patient) -> dict[str, Any]:
    sign = ward.clinic.chance.choice(list(_NORMAL))
    fields = _while_away(second)
    if not fields:
        fields["changes"] = (ward.write(patient, sign),)
    return fields | {"patients": (patient,), "resources": (_sign_of(patient, sign),)}


def _sign_of(patient: Patient, sign: str) -> Resource:
    return Resource(type="Observation", id=f"{sign}-{patient.id}", data_category="vitals")


def _read_record(ward: _Ward, second: float) -> None:
    """A person opens a record. The call of the gateway just before has the same correlation id."""
    person = ward.somebody(second)
    patient = ward.patient_of(person)
    work = person.at_work | {"correlation_id": ward.clinic.correlation()}
    if ward.clinic.chance.random() < 0.5:
        _call(ward.clinic, second - 0.02, f"/patients/{patient.id}", work)
    ward.clinic.add(
        second, "record.read", RECORDS, patients=(patient,), resources=(record_of(patient),), **work
    )


def _read_vitals(ward: _Ward, second: float) -> None:
    person = ward.somebody(second)
    patient = ward.patient_of(person)
    signs = tuple(_sign_of(patient, sign) for sign in _NORMAL)
    ward.clinic.add(
        second,
        "record.read",
        VITALS,
        patients=(patient,),
        resources=signs,
        correlation_id=ward.clinic.correlation(),
        **_while_away(second),
        **person.at_work,
    )


def _search(ward: _Ward, second: float) -> None:
    name = ward.clinic.chance.choice(("North", "South"))
    work = ward.somebody(second).at_work
    ward.clinic.add(second, "record.searched", RECORDS, attributes={"query": {"ward": name}}, **work)


def _look_around(ward: _Ward, second: float) -> None:
    path = ward.clinic.chance.choice(("/wards", "/rota", "/messages", "/formulary"))
    work = ward.somebody(second).at_work | {"correlation_id": ward.clinic.correlation()}
    _call(ward.clinic, second, path, work)


def _call(clinic: Clinic, second: float, path: str, work: dict[str, Any]) -> None:
    failed = clinic.chance.random() < 0.02
    request = Request(
        method="GET",
        path=path,
        status=504 if failed else 200,
        duration_ms=round(clinic.chance.lognormvariate(3.0, 0.6), 1),
    )
    outcome = Outcome.MINOR_FAILURE if failed else Outcome.SUCCESS
    clinic.add(second, "api.called", GATEWAY, request=request, outcome=outcome, **work)


def _while_away(second: float) -> dict[str, Any]:
    if OUTAGE[0] <= second <= OUTAGE[1]:
        return {"outcome": Outcome.SERIOUS_FAILURE, "outcome_reason": "vitals-service does not answer"}
    return {}


_WORK = (
    *(_measure,) * 4,
    *(_chart_vitals,) * 3,
    *(_read_record,) * 3,
    _read_vitals,
    _search,
    *(_look_around,) * 2,
)
"""The weights of everyday work."""
