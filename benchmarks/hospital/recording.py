"""What is wrong with the recording itself: pauses, contradictions, silent sources, gaps in numbers, wrong clocks."""

from __future__ import annotations

from random import Random
from typing import Any

from benchmarks.hospital.diary import Incident
from benchmarks.hospital.people import DAY, HOUR, MINUTE
from benchmarks.hospital.site import Site, at_work
from benchmarks.hospital.snooping import Scene
from domain.event import Actor, ActorKind, Outcome

_TRAIL = Actor(kind=ActorKind.SERVICE, id="audit-trail", name="Audit Trail")


def paused(site: Site, chance: Random, kind: str, day: int) -> Incident:
    """An administrator stops the recording for a while."""
    shift = site.on_shift(chance, day, "administrator")
    incident = site.diary.incident(kind, shift.staff.id)
    at = chance.uniform(shift.begins + HOUR, shift.ends - HOUR)
    fields: dict[str, Any] = at_work(shift.staff, at)
    site.diary.add(
        at, "audit_recording.stopped", site.programs.trail, shift.staff.actor, incident=incident, **fields
    )
    site.diary.add(
        at + 30 * MINUTE,
        "audit_recording.started",
        site.programs.trail,
        shift.staff.actor,
        incident=incident,
        **fields,
    )
    return incident


def by_trail(type: str) -> Scene:
    """A scene: the trail itself reports something."""

    def scene(site: Site, chance: Random, kind: str, day: int) -> Incident:
        incident = site.diary.incident(kind, "audit-trail")
        at = day * DAY + chance.uniform(1, 22) * HOUR
        fields: dict[str, Any] = {"outcome": Outcome.MAJOR_FAILURE, "reason": "Found by a check"}
        site.diary.add(at, type, site.programs.trail, _TRAIL, incident=incident, **fields)
        return incident

    return scene


def silent(least: float, most: float, *, first: float = 7) -> Scene:
    """A scene: a busy source falls silent for so many hours, beginning between hour `first` and an hour later."""

    def scene(site: Site, chance: Random, kind: str, day: int) -> Incident:
        program = chance.choice((site.programs.devices, site.programs.vitals))
        incident = site.diary.incident(kind, program.service)
        begins = day * DAY + chance.uniform(first, first + 1) * HOUR
        site.diary.silence(program, begins, begins + chance.uniform(least, most) * HOUR, incident)
        return incident

    return scene


def numbers_missing(site: Site, chance: Random, kind: str, day: int) -> Incident:
    """Events of a numbered source got lost on their way, or somebody removed them."""
    shift = site.on_shift(chance, day, "nurse")
    patient = chance.choice(list(site.population.patients))
    program = site.programs.record_of(patient)
    incident = site.diary.incident(kind, program.instance)
    at = chance.uniform(shift.begins + HOUR, shift.ends - HOUR)
    beds = site.stays.inpatients[shift.department, day]
    if beds:
        patient = chance.choice(beds).patient
    site.open_record(at, shift.staff, patient, program=program, lost=chance.randint(1, 20), incident=incident)
    return incident


def wrong_clock(ahead: float) -> Scene:
    """A scene: the clock of a source is ahead by so many seconds, or behind, for three hours."""

    def scene(site: Site, chance: Random, kind: str, day: int) -> Incident:
        program = chance.choice((site.programs.pharmacy, site.programs.vitals, *site.programs.records))
        incident = site.diary.incident(kind, program.instance)
        begins = day * DAY + chance.uniform(7, 18) * HOUR
        site.diary.set_clock(program, begins, begins + 3 * HOUR, ahead, incident)
        return incident

    return scene
