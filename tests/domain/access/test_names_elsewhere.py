"""Whoever does not see names, or staff, does not find them in another place of the event either."""

from __future__ import annotations

import pytest

from domain.access.grants import Operation, Part
from domain.access.person_names import is_name
from domain.access.principal import Role
from domain.access.scope import Scope
from domain.errors import AccessDeniedError
from domain.event import Actor, ActorKind, AuditEvent, Change, Client, Device, Patient, Request, Resource
from domain.validation import encode_event
from tests.domain.access.knowing import somebody
from tests.hospital import event, read

PSEUDONYMOUS = [Role.ANALYST, Role.PATIENT]


def seen(role: Role, event: AuditEvent) -> str:
    return encode_event(Scope(somebody(role)).redacted(event)).decode()


@pytest.mark.parametrize(
    "id",
    [
        "Jane Doe",
        "DOE^JANE",
        "DOE^^JANE",
        "Dr.\u00a0Example",
        "a\tb",
        "Doe,Jane",
        "Doe%20Jane",
        "Doe%2CJane",
        "Doe+Jane",
        "Doe\u200b,Jane",
        "\uff24\uff2f\uff25\uff3e\uff2a",
        "DOE&JANE",
        "M\u00fcller;Eva",
        "Doe%2520Jane",
        "DOE%255EJANE",
        "Doe\u2800Jane",
        "Doe\u3164Jane",
        "\u5c71\u7530\u3001\u592a\u90ce",
        "Doe\u060cJane",
        "Doe\\S\\Jane",
        "\u0301" * 9000,
    ],
)
def test_an_id_with_a_blank_or_a_separator_between_letters_is_a_name(id: str) -> None:
    assert is_name(id)


@pytest.mark.parametrize(
    "id",
    [
        None,
        "17",
        "Practitioner/17",
        "a.example",
        "17^^^HOSPITAL",
        "urn:oid:1.2",
        "https://b.example/fhir|17",
        "lab|17",
        "1,2",
        "a%2Fb",
        "M\u00fcller",
        "+41791234567",
    ],
)
def test_an_id_is_no_name(id: str | None) -> None:
    assert not is_name(id)


@pytest.mark.parametrize("role", PSEUDONYMOUS)
def test_a_name_is_shown_in_no_other_place_of_an_event(role: Role) -> None:
    recorded = read(
        0,
        session="Ada Staffname 7",
        correlation_id="visit of Paul",
        changes=(Change(path="contacts.Paul Patientname", before=1), Change(path="alarm.high", after=2)),
    )
    left = seen(role, recorded)
    assert "Staffname" not in left
    assert "Paul" not in left
    assert "Paul" in seen(Role.AUDITOR, recorded)


@pytest.mark.parametrize("role", PSEUDONYMOUS)
def test_a_name_in_the_place_of_an_id_is_not_shown(role: Role) -> None:
    recorded = read(
        0,
        actor=Actor(id="Ada Staffname", on_behalf_of="Bob Staffname"),
        resources=(Resource(type="Other", id="Report of Paul"), Resource(type="Observation", id="o-1")),
    )
    left = seen(role, recorded)
    assert "Staffname" not in left
    assert "Paul" not in left
    assert "o-1" in left
    assert "Ada Staffname" in seen(Role.AUDITOR, recorded)


@pytest.mark.parametrize("role", [Role.ANALYST, Role.SECURITY_OFFICER])
def test_a_patient_of_whom_only_the_name_is_known_is_not_shown(role: Role) -> None:
    recorded = event("record.read", 0, patients=(Patient(id="Paul Patientname"), Patient(id="18")))
    left = Scope(somebody(role)).redacted(recorded)
    assert left.patients == (Patient(id="18"),)


@pytest.mark.parametrize("type", ["Practitioner", "PractitionerRole", "User", "https://fhir.example/Person"])
def test_a_patient_does_not_find_the_staff_among_the_resources(type: str) -> None:
    recorded = read(0, resources=(Resource(type=type, id="staff-1"), Resource(type="Observation", id="o-1")))
    assert "staff-1" not in seen(Role.PATIENT, recorded)
    assert "o-1" in seen(Role.PATIENT, recorded)


def test_a_patient_does_not_find_another_patient_among_the_resources() -> None:
    resources = tuple(Resource(type="Patient", id=id) for id in ("17", "Patient/17", "other-18"))
    left = Scope(somebody(Role.PATIENT)).redacted(read(0, resources=resources))
    assert left.resources == resources[:2]


def test_who_sees_free_text_but_no_names_of_patients_sees_no_names_of_those_who_took_part() -> None:
    agents = [{"type": ["PAT", "IRCP"], "id": "17", "name": "Paul Patientname"}, {"id": "Olga Othername"}]
    recorded = read(0, attributes={"agents": agents, "policies": ["p-1"]})
    left = Scope(somebody(Role.SECURITY_OFFICER)).redacted(recorded)
    assert left.attributes == {"agents": [{"type": ["PAT", "IRCP"], "id": "17"}, {}], "policies": ["p-1"]}


@pytest.mark.parametrize("role", PSEUDONYMOUS)
def test_a_device_that_is_called_after_its_user_is_shown_without_its_name(role: Role) -> None:
    device = Device(id="laptop-1", name="Ada's laptop", software_version="2.1")
    left = Scope(somebody(role)).redacted(read(0, device=device))
    assert left.device == Device(id="laptop-1", software_version="2.1")
    nameless = Scope(somebody(role)).redacted(read(0, device=Device(id="Ada's laptop")))
    assert nameless.device is None


@pytest.mark.parametrize("role", [Role.SECURITY_OFFICER])
def test_who_sees_no_names_of_patients_is_not_told_which_name_was_searched_for(role: Role) -> None:
    searched = event(
        "api.called",
        0,
        request=Request(method="GET", path="/Patient?name=Patientname"),
        attributes={"query": "name=Patientname", "note": "slow"},
    )
    left = Scope(somebody(role)).redacted(searched)
    assert left.request == Request(method="GET", path="/Patient")
    assert left.attributes == {"note": "slow"}
    assert Scope(somebody(Role.AUDITOR)).redacted(searched) is searched


def test_a_device_manager_sees_what_machines_do_and_no_calls_of_people() -> None:
    scope = Scope(somebody(Role.DEVICE_MANAGER))
    assert scope.admits(event("configuration.changed", 0))
    assert scope.admits(event("health_check.failed", 0))
    assert not scope.admits(event("api.called", 0, request=Request(method="GET", path="/patients/1034")))


@pytest.mark.parametrize("type", ["api.called", "record.read", "user.logged_in", "access.denied"])
def test_a_device_manager_is_not_told_what_people_did_with_a_device_in_their_care(type: str) -> None:
    scope = Scope(somebody(Role.DEVICE_MANAGER))
    assert not scope.admits(event(type, 0, device=Device(id="pump-1")))
    assert not scope.admits(event(type, 0, actor=Actor(kind=ActorKind.UNKNOWN, id="pump-1")))
    assert scope.admits(event(type, 0, actor=Actor(kind=ActorKind.DEVICE, id="pump-1")))


def test_a_device_manager_is_not_told_from_where_and_how_people_used_a_device_in_their_care() -> None:
    scope = Scope(somebody(Role.DEVICE_MANAGER))
    used = event(
        "event.unclassified",
        0,
        device=Device(id="pump-1"),
        attributes={"agents": [{"id": "ada", "address": "10.0.0.10", "name": "Ada"}]},
        client=Client(address="10.0.0.9", user_agent="Browser"),
        request=Request(method="GET", path="/patients/1034"),
    )
    assert scope.admits(used)
    left = scope.redacted(used)
    assert (left.client, left.request) == (None, None)
    assert left.attributes == {}
    with pytest.raises(AccessDeniedError):
        scope.rows(Operation.READ_EVENTS, {Part.CLIENT})


def test_a_clinician_does_not_see_what_a_machine_of_the_same_id_did() -> None:
    scope = Scope(somebody(Role.CLINICIAN))
    kinds = {
        kind for kind in ActorKind if scope.admits(event("record.read", 0, actor=Actor(kind=kind, id="ada")))
    }
    assert kinds == {ActorKind.USER, ActorKind.PATIENT, ActorKind.UNKNOWN}


@pytest.mark.parametrize(
    "path", ["/Patient/Paul Patientname", "/Patient/Paul%20Patientname/1", "/P/PAUL%5EPATIENTNAME"]
)
def test_a_name_in_an_address_is_not_shown_to_who_sees_no_names_of_patients(path: str) -> None:
    called = event("api.called", 0, request=Request(method="GET", path=path, status=200))
    left = Scope(somebody(Role.SECURITY_OFFICER)).redacted(called)
    assert left.request == Request(method="GET", status=200)
    plain = event("api.called", 0, request=Request(method="GET", path="/Patient/17"))
    assert Scope(somebody(Role.SECURITY_OFFICER)).redacted(plain).request == plain.request


def test_a_name_that_somebody_asked_the_trail_for_is_not_shown_to_who_sees_no_names_of_patients() -> None:
    asked = {"filter": {"or": [{"patient": "Paul Patientname"}, {"patient": "17"}]}, "page": {"first": 50}}
    where = [["patient_id", "eq", "PATIENTNAME^PAUL"]]
    looked = event(
        "audit_log.read",
        0,
        request=Request(method="GET", path="/v1/patients/Paul Patientname", status=200),
        resources=(Resource(type="AuditLog", id="/v1/patients/Paul Patientname"),),
        attributes={
            "via": "rest",
            "scope": {"roles": ["auditor"], "patients": ["Paul Patientname", "17"]},
            "questions": [
                {"operation": "events", "asked": asked, "returned": 3},
                {
                    "operation": "table_rows",
                    "asked": {"table": "patient_access", "where": where},
                    "returned": 1,
                },
            ],
            "returned": 4,
        },
    )
    left = Scope(somebody(Role.SECURITY_OFFICER)).redacted(looked)
    assert "patientname" not in encode_event(left).decode().lower()
    assert left.attributes["questions"] == [
        {
            "operation": "events",
            "asked": {"filter": {"or": [{}, {"patient": "17"}]}, "page": {"first": 50}},
            "returned": 3,
        },
        {
            "operation": "table_rows",
            "asked": {"table": "patient_access", "where": [["patient_id", "eq"]]},
            "returned": 1,
        },
    ]
    assert left.attributes["scope"] == {"roles": ["auditor"], "patients": ["17"]}
    assert (left.attributes["via"], left.attributes["returned"]) == ("rest", 4)
    assert Scope(somebody(Role.AUDITOR)).redacted(looked) is looked


@pytest.mark.parametrize("role", [Role.PATIENT, Role.ANALYST])
def test_the_record_of_a_look_does_not_say_whom_it_was_about(role: Role) -> None:
    looked = event(
        "audit_log.read",
        0,
        patients=(Patient(id="17"),),
        resources=(
            Resource(type="AuditLog", id="/v1/users/p.paragraph"),
            Resource(type="AuditLog", id="/fhir/Jane Doe"),
            Resource(type="AuditLog", id="/v1/events"),
        ),
    )
    left = Scope(somebody(role)).redacted(looked)
    assert left.resources == (Resource(type="AuditLog", id="/v1/events"),)
    assert Scope(somebody(Role.AUDITOR)).redacted(looked) is looked
