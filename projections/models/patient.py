"""Patient activity: who accessed a patient's record, how often, when last, and for which purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from domain.catalogue import CATALOGUE, Category
from domain.event import ActorKind, AuditEvent, Outcome, RecordedEvent
from domain.read_audit.events import READ
from projections.binary_rows import utc
from projections.hash_codes import HOUR_NUMBER, OF_TIMELINES, timeline_hash_codes
from projections.merges import MAX, MIN, SUM, UNION, latest, text_set
from projections.tables import Column, Index, Kind, Row, Table

UNATTRIBUTED = ""
"""Stands for an actor without an id. No real identifier is empty."""

ACCESSED = frozenset(
    name for name, entry in CATALOGUE.items() if entry.category in {Category.DATA, Category.OTHER}
)
"""Types that count as access to data. An unclassified event about a patient counts as one."""

TIMELINE = Table(
    "patient_timeline",
    ("patient_id", "position"),
    (Column("position", Kind.BIGINT), *OF_TIMELINES, HOUR_NUMBER, Column("patient_id", Kind.TEXT)),
    carried=tuple(column.name for column in (*OF_TIMELINES, HOUR_NUMBER)),
    counted_in_index=True,
)

ACCESS = Table(
    "patient_access",
    ("patient_id", "actor_id"),
    (
        Column("events", Kind.BIGINT, SUM),
        Column("accesses", Kind.BIGINT, SUM),
        Column("emergencies", Kind.BIGINT, SUM),
        Column("without_purpose", Kind.BIGINT, SUM),
        Column("first_at", Kind.TIMESTAMP, MIN),
        Column("last_at", Kind.TIMESTAMP, MAX),
        Column("last_day", Kind.INTEGER, MAX),
        Column("by_patient", Kind.SMALLINT, MAX),
        Column("patient_id", Kind.TEXT),
        Column("actor_id", Kind.TEXT),
        Column("purposes", Kind.TEXTS, UNION),
        Column("roles", Kind.TEXTS, UNION),
    ),
    # This index lists the patients of a user, the latest first. By day: the time itself would change with each
    # event, and the index with it.
    (Index(("actor_id", "last_day"), "actor_id <> ''"),),
)

"""`by_patient` is 1 if the actor of one of the events is a patient, else 0.

`emergencies` counts events under break-glass; `without_purpose` the accesses for which no purpose of use was given.
"""

ACTOR = Table(
    "patient_actor",
    ("actor_id",),
    (
        Column("position", Kind.BIGINT, MAX),
        Column("actor_id", Kind.TEXT),
        Column("name", Kind.TEXT, latest("position")),
    ),
)
"""The actors' latest names, once for all their access rows."""


class PatientProjector:
    """Writes the patients' timelines and who accessed them. A patient's summary is the sum of its access rows."""

    name = "patient"
    version = 4
    tables = (TIMELINE, ACCESS, ACTOR)

    def rows(self, events: Sequence[RecordedEvent]) -> Mapping[str, list[Row]]:
        """For each patient that an event names: a timeline row, and an access by the event's actor."""
        timeline: list[Row] = []
        access: list[Row] = []
        actors: dict[str, Row] = {}
        for recorded in events:
            event = recorded.event
            if not event.patients:
                continue
            position = recorded.position
            moment = utc(event.occurred_at)
            actor_id = event.actor.id or UNATTRIBUTED
            if event.actor.id is not None and event.actor.name is not None:
                actors[event.actor.id] = (position, event.actor.id, event.actor.name)
            purposes = text_set(event.purpose_of_use)
            codes = timeline_hash_codes(event)
            hour = int(event.occurred_at.timestamp()) // 3600
            by_patient = int(event.actor.kind is ActorKind.PATIENT)
            accesses = int(_is_access(event))
            without_purpose = 0 if purposes else accesses
            counts = (
                *(1, accesses, int(event.emergency), without_purpose),
                *(moment, moment, moment.toordinal(), by_patient),
            )
            roles = text_set(event.actor.roles)
            patients = event.patients
            for patient_id in (
                (patients[0].id,) if len(patients) == 1 else {patient.id for patient in patients}
            ):
                timeline.append((position, *codes, hour, patient_id))
                # Reads of the trail are in the timeline. They are no access to the patient, and one such event may
                # name hundreds.
                if event.type == READ:
                    continue
                access.append((*counts, patient_id, actor_id, purposes, roles))
        return {
            "patient_timeline": timeline,
            "patient_access": access,
            "patient_actor": list(actors.values()),
        }


def _is_access(event: AuditEvent) -> bool:
    return event.type in ACCESSED and event.outcome is Outcome.SUCCESS
