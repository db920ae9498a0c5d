"""What happens in the simulated hour besides everyday work. One function, one story."""

from __future__ import annotations

from typing import Any

from audit_trail.demo.cast import (
    ADMINISTRATOR,
    AUTHENTICATION,
    GATEWAY,
    NAPPER,
    NIGHTINGALE,
    OFFICE,
    PATIENTS,
    PRIVACY,
    RECORDS,
    RESEARCHER,
    STAFF,
    TRAIL,
    VITALS,
    Clinic,
    Person,
    service_actor,
)
from audit_trail.demo.devices import add_devices
from domain.catalogue import DCM, GENERIC_TYPE
from domain.event import (
    Actor,
    ActorKind,
    Change,
    Client,
    Coding,
    Disclosure,
    Outcome,
    Patient,
    Request,
    Resource,
)

OUTAGE = (1860.0, 2010.0)
"""Start and end, in seconds, of the outage of vitals-service: the first failed check and the recovery."""
BREAK_GLASS = (1930.0, 2160.0)
"""Start and end, in seconds, of the nurse's emergency access to a record."""

PAULA = PATIENTS[0]


def add_stories(clinic: Clinic) -> None:
    """Add the events that every simulated hour has."""
    _recording_and_start(clinic)
    for person in (*STAFF, *OFFICE):
        _shift(clinic, person)
    _guessed_password(clinic)
    _break_glass(clinic)
    _outage(clinic)
    add_devices(clinic)
    _disclosure(clinic)
    _research(clinic)
    _administration(clinic)
    _trail_keeping(clinic)


def record_of(patient: Patient) -> Resource:
    """The patient's record, as a resource."""
    return Resource(type="Patient", id=patient.id, data_category="record")


def _recording_and_start(clinic: Clinic) -> None:
    supervisor = service_actor("supervisor", "Supervisor")
    clinic.add(0.0, "audit_recording.started", TRAIL, service_actor("audit-trail", "Audit Trail"))
    for second, source in enumerate((AUTHENTICATION, RECORDS, VITALS, GATEWAY), start=1):
        clinic.add(float(second), "service.started", source, supervisor)


def _shift(clinic: Clinic, person: Person) -> None:
    fields: dict[str, Any] = {"actor": person.actor, "client": person.client, "session": person.session}
    clinic.add(person.begins, "user.logged_in", AUTHENTICATION, **fields)
    clinic.add(person.begins + 0.05, "session.started", AUTHENTICATION, **fields)
    if person is NAPPER:
        why = "No activity for 15 minutes"
        clinic.add(person.ends, "session.ended", AUTHENTICATION, outcome_reason=why, **fields)
        return
    clinic.add(person.ends, "user.logged_out", AUTHENTICATION, **fields)
    clinic.add(person.ends + 0.05, "session.ended", AUTHENTICATION, **fields)


def _guessed_password(clinic: Clinic) -> None:
    """Somebody tries to log in as the nurse. Her account is locked and unlocked, and she logs in at her desk."""
    stranger = Client(address="203.0.113.77", user_agent="curl/8.5")
    for number in range(7):
        clinic.add(
            120.0 + 4.5 * number,
            "user.login_failed",
            AUTHENTICATION,
            NIGHTINGALE.actor,
            outcome=Outcome.MINOR_FAILURE,
            outcome_reason="Wrong password",
            client=stranger,
        )
    clinic.add(
        155.0,
        "access.denied",
        AUTHENTICATION,
        NIGHTINGALE.actor,
        outcome=Outcome.SERIOUS_FAILURE,
        outcome_reason="Account locked after 7 failed log-ins",
        client=stranger,
    )
    clinic.add(
        300.0,
        "user.login_failed",
        AUTHENTICATION,
        Actor(kind=ActorKind.UNKNOWN, id="root"),
        outcome=Outcome.MINOR_FAILURE,
        outcome_reason="No such user",
        client=stranger,
    )
    clinic.add(
        540.0,
        "privilege.used",
        AUTHENTICATION,
        reason="Account of n.nightshift unlocked; she was asked on the phone",
        resources=(Resource(type="User", id=NIGHTINGALE.id),),
        **ADMINISTRATOR.at_work,
    )


def _break_glass(clinic: Clinic) -> None:
    """The nurse needs the record of another ward's patient at once."""
    began, ended = BREAK_GLASS
    work = NIGHTINGALE.at_work | {"patients": (PAULA,), "correlation_id": "break-glass-0001"}
    emergency = work | {"emergency": True, "purpose_of_use": ("ETREAT",)}
    allergy = Resource(type="AllergyIntolerance", id="allergy-1007-1", data_category="allergies")
    clinic.add(
        began - 15,
        "access.denied",
        RECORDS,
        outcome=Outcome.MINOR_FAILURE,
        outcome_reason="No treatment relationship",
        resources=(record_of(PAULA),),
        **work,
    )
    clinic.add(
        began,
        "emergency_access.started",
        AUTHENTICATION,
        reason="Patient collapsed in the corridor, allergies unknown",
        **emergency,
    )
    clinic.add(began + 8, "record.read", RECORDS, resources=(record_of(PAULA),), **emergency)
    clinic.add(began + 21, "record.read", RECORDS, resources=(allergy,), **emergency)
    clinic.add(
        began + 160,
        "record.updated",
        RECORDS,
        resources=(allergy,),
        changes=(Change(path="criticality", before="unable-to-assess", after="high"),),
        **emergency,
    )
    clinic.add(ended, "emergency_access.ended", AUTHENTICATION, **emergency)


def _outage(clinic: Clinic) -> None:
    """The vitals-service fails its health check. The first restart fails, the second one succeeds."""
    began, ended = OUTAGE
    monitor = service_actor("supervisor", "Supervisor")
    probe = Request(method="GET", path="/healthz", status=503, duration_ms=2000.0)
    for second in (began, began + 30, began + 60, began + 90):
        clinic.add(
            second,
            "health_check.failed",
            VITALS,
            monitor,
            outcome=Outcome.SERIOUS_FAILURE,
            outcome_reason="No answer within 2 s",
            request=probe,
        )
    clinic.add(
        began + 65,
        "service.restarted",
        VITALS,
        monitor,
        outcome=Outcome.MAJOR_FAILURE,
        outcome_reason="Exit code 137",
    )
    clinic.add(
        began + 100,
        "configuration.changed",
        VITALS,
        changes=(Change(path="memory_limit_mib", before=256, after=1024),),
        reason="Killed for want of memory",
        **ADMINISTRATOR.at_work,
    )
    clinic.add(began + 120, "service.restarted", VITALS, monitor, reason="Restart with the new limit")
    clinic.add(ended, "health_check.recovered", VITALS, monitor)
    clinic.add(3595.0, "service.stopped", GATEWAY, monitor, reason="Planned change of certificate")


def _disclosure(clinic: Clinic) -> None:
    clinic.add(
        2640.0,
        "record.disclosed",
        RECORDS,
        patients=(PAULA,),
        resources=(record_of(PAULA),),
        disclosure=Disclosure(
            recipient="Insurance of Elsewhere",
            recipient_address="1 Example Square, Elsewhere",
            description="Discharge letter and medication list",
            purpose="The patient's request, form 17",
        ),
        **PRIVACY.at_work,
    )


def _research(clinic: Clinic) -> None:
    clinic.add(
        1320.0,
        "record.exported",
        RECORDS,
        patients=PATIENTS,
        resources=(Resource(type="Group", id="study-42"),),
        reason="Study 42, approved by the committee that does not exist",
        attributes={"format": "ndjson", "records": 1184},
        **RESEARCHER.at_work,
    )
    clinic.add(
        1520.0,
        "record.imported",
        RECORDS,
        resources=(Resource(type="Bundle", id="laboratory-2291"),),
        patients=PATIENTS[4:6],
        actor=service_actor("laboratory-interface", "Laboratory interface"),
    )


def _administration(clinic: Clinic) -> None:
    """A new colleague gets a role; a record made by mistake is deleted; a log-in that says nothing more."""
    dora = Resource(type="User", id=NAPPER.id)
    mistake = Resource(type="Patient", id="9999", data_category="record")
    twin = Patient(id="9999", name="Paula Paperclip (twice)")
    work = ADMINISTRATOR.at_work
    clinic.add(
        200.0,
        "role.changed",
        AUTHENTICATION,
        resources=(dora,),
        changes=(Change(path="roles", before=["doctor"], after=["doctor", "ward lead"]),),
        reason="Stands in for the ward lead this week",
        **work,
    )
    clinic.add(400.0, "record.created", RECORDS, resources=(mistake,), patients=(twin,), **work)
    clinic.add(
        480.0,
        "record.deleted",
        RECORDS,
        resources=(mistake,),
        patients=(twin,),
        reason="The same person as 1007",
        **work,
    )
    clinic.add(
        2300.0,
        GENERIC_TYPE,
        GATEWAY,
        service_actor("label-printer", "Label printer"),
        codes=(
            Coding(system="urn:example:label-printer", code="ROLL-CHANGED", display="Paper roll changed"),
        ),
    )


def _trail_keeping(clinic: Clinic) -> None:
    """Events of the trail itself. The failed check and the erasure are marked as a drill."""
    trail = service_actor("audit-trail", "Audit Trail")
    drill = "Monthly drill on the training copy"
    clinic.add(
        2700.0,
        "audit_log.read",
        TRAIL,
        patients=(PAULA,),
        attributes={"filter": {"patient": PAULA.id}},
        codes=(Coding(system=DCM, code="110101", display="Audit Log Used"),),
        **PRIVACY.at_work,
    )
    clinic.add(
        2800.0,
        "access.questioned",
        TRAIL,
        Actor(kind=ActorKind.PATIENT, id=PAULA.id, name=PAULA.name, roles=("patient",)),
        patients=(PAULA,),
        resources=(record_of(PAULA),),
        reason="I met nobody of this ward today",
    )
    clinic.add(2850.0, "export.deleted", TRAIL, trail, resources=(Resource(type="Export", id="1"),))
    clinic.add(2900.0, "integrity_check.failed", TRAIL, trail, outcome=Outcome.MAJOR_FAILURE, reason=drill)
    clinic.add(
        2905.0, "integrity_check.unconfirmed", TRAIL, trail, outcome=Outcome.MINOR_FAILURE, reason=drill
    )
    clinic.add(2930.0, "integrity_check.recovered", TRAIL, trail, reason=drill)
    clinic.add(2940.0, "integrity_check.answered", TRAIL, reason=drill, **ADMINISTRATOR.at_work)
    clinic.add(
        2960.0,
        "subject.erased",
        TRAIL,
        resources=(Resource(type="Key", id="drill-1"),),
        reason=drill,
        **PRIVACY.at_work,
    )
    clinic.add(3000.0, "projection.rebuilt", TRAIL, trail, attributes={"projection": "patient", "rows": 512})
    clinic.add(3200.0, "audit_recording.stopped", TRAIL, reason=drill, **ADMINISTRATOR.at_work)
    clinic.add(3205.0, "audit_recording.started", TRAIL, reason=drill, **ADMINISTRATOR.at_work)
