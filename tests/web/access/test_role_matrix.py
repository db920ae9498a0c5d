"""What each role is told by each way in, checked in the bytes of all answers: one server, one trail full of secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing

import httpx2
import pytest

from audit_trail.embedded.broker import Broker
from domain.access.grants import OPERATIONS, Operation
from domain.access.principal import Role
from event_store.database import READER, Database
from event_store.log_reader import LogReader
from ingest.publisher import Publisher
from ingest.settings import IngestSettings
from queries.cursors import encode_id
from queries.export.pipeline import Exports
from queries.read_models import ReadModels
from tests.databases import MIGRATED, Databases
from tests.hospital import record
from tests.tokens import authentication
from tests.web.access.all_interfaces import RANGE, asked, by_socket, by_stream, everything
from tests.web.access.secret_trail import CLAIMS, EVENTS, EVERY_SECRET, VISIBLE, header, knowable, secrets_in
from tests.web.conftest import serving
from web.app import create_app
from web.probes import StoreProbes
from web.settings import WebSettings

READING = sorted(VISIBLE)
NOT_READING = sorted(set(Role) - set(VISIBLE))
NO_EVENT = "00000000-0000-0000-0000-00000000dead"


@pytest.fixture(scope="module")
def server(databases: Databases, broker: Broker) -> Iterator[httpx2.Client]:
    """One server for all: these tests only read."""
    with databases.copy(MIGRATED) as url:
        record(url, EVENTS)
        with (
            closing(Database(url, READER, size=4)) as database,
            closing(Database(url, READER, size=2)) as exporting,
            closing(Publisher(IngestSettings(bootstrap_servers=(broker.bootstrap_servers,)))) as publisher,
            serving(
                create_app(
                    ReadModels(database),
                    LogReader(database),
                    publisher,
                    StoreProbes(database),
                    WebSettings(),
                    exports=Exports(exporting),
                    authentication=authentication(),
                )
            ) as client,
        ):
            yield client


@pytest.fixture
def client(server: httpx2.Client, role: Role) -> Iterator[httpx2.Client]:
    """A client of somebody with `role`."""
    with httpx2.Client(base_url=server.base_url, timeout=30, headers=header(role)) as client:
        yield client


@pytest.fixture
def patient(server: httpx2.Client) -> Iterator[httpx2.Client]:
    """A client of the patient 17."""
    with httpx2.Client(base_url=server.base_url, timeout=30, headers=header(Role.PATIENT)) as client:
        yield client


@pytest.mark.parametrize("role", Role)
def test_no_way_in_tells_a_secret_that_a_role_may_not_know(client: httpx2.Client, role: Role) -> None:
    allowed = knowable(role)
    told: set[str] = set()
    for way, text in everything(client, len(VISIBLE.get(role, ()))):
        found = secrets_in(text)
        assert found <= allowed, way
        told |= found
    # And it is no wall: all that may be known is told somewhere.
    assert told == allowed
    assert (allowed == EVERY_SECRET) is (role in {Role.AUDITOR, Role.PRIVACY_OFFICER, Role.ADMIN})


@pytest.mark.parametrize("role", READING)
def test_each_way_in_gives_the_same_events(client: httpx2.Client, role: Role) -> None:
    visible = VISIBLE[role]
    listed = client.get("/v1/events?first=50&descending=false").json()["events"]
    assert [each["position"] for each in listed] == visible
    by_time = client.get("/v1/events?first=50&order_by=occurred_at&descending=false").json()["events"]
    assert [each["position"] for each in by_time] == visible
    found = asked(client, "{ events(last: 50) { nodes { position } pageInfo { hasNextPage } } }")
    assert [each["position"] for each in found["data"]["events"]["nodes"]] == visible[::-1]
    assert not found["data"]["events"]["pageInfo"]["hasNextPage"]
    exported = client.get("/v1/export?format=ndjson").text.splitlines()
    assert [json.loads(line)["position"] for line in exported] == visible
    table = client.get("/v1/export?format=csv").text.splitlines()
    assert len(table) == len(visible) + 1
    for way in (by_stream, by_socket):
        results = [json.loads(text.removeprefix("data:")) for text in way(client, len(visible))]
        payloads = [each.get("payload", each) for each in results]
        assert [each["data"]["eventRecorded"]["position"] for each in payloads] == visible
    counted = client.get(f"/v1/event-counts?by=type&{RANGE}").json()
    assert counted["events"] == len(visible)


@pytest.mark.parametrize("role", READING)
def test_an_event_that_a_role_does_not_see_looks_like_one_that_is_not_there(
    client: httpx2.Client, role: Role
) -> None:
    for number, event in enumerate(EVENTS):
        answers = [
            client.get(f"/v1/events/{id}{more}")
            for id in (event.event_id, NO_EVENT)
            for more in ("", "/proof")
        ]
        node = asked(
            client, "query ($id: ID!) { node(id: $id) { id } }", id=encode_id("Event", str(event.event_id))
        )
        if number in VISIBLE[role]:
            assert [each.status_code for each in answers] == [200, 200, 404, 404]
            assert node["data"]["node"] is not None
            continue
        assert [each.status_code for each in answers] == [404] * 4
        assert answers[0].content == answers[2].content
        assert answers[1].content == answers[3].content
        assert node == {"data": {"node": None}} | {key: node[key] for key in node if key == "extensions"}


@pytest.mark.parametrize("role", READING)
def test_pages_lead_to_no_event_that_a_role_does_not_see(client: httpx2.Client, role: Role) -> None:
    for order in ("position", "occurred_at"):
        link: str | None = f"/v1/events?first=1&order_by={order}"
        seen = []
        while link:
            page = client.get(link).json()
            seen += [each["position"] for each in page["events"]]
            link = page["next"]
        assert seen == VISIBLE[role][::-1]


@pytest.mark.parametrize("role", [Role.PATIENT, Role.CLINICIAN, Role.SERVICE_OWNER, Role.DEVICE_MANAGER])
def test_the_time_of_an_event_that_is_not_seen_is_not_told_by_a_cursor(
    client: httpx2.Client, server: httpx2.Client, role: Role
) -> None:
    by_time = "/v1/events?first=1&order_by=occurred_at"
    link: str | None = f"{by_time}"
    with httpx2.Client(base_url=server.base_url, headers=header(Role.AUDITOR)) as auditor:
        cursors: list[str] = []
        while link:
            page = auditor.get(link).json()
            link = page["next"]
            cursors += [link.partition("after=")[2]] if link else []
    positions = list(range(len(EVENTS) - 1, 0, -1))
    for position, cursor in zip(positions, cursors, strict=True):
        status = client.get(f"{by_time}&after={cursor}").status_code
        assert status == (200 if position in VISIBLE[role] else 409)


@pytest.mark.parametrize("role", NOT_READING)
def test_a_role_that_reads_no_events_is_told_so_by_each_way_in(client: httpx2.Client) -> None:
    for path, operation in (
        ("/v1/events", Operation.READ_EVENTS),
        (f"/v1/events/{EVENTS[0].event_id}", Operation.READ_EVENTS),
        ("/v1/event-counts?by=day", Operation.COUNT_EVENTS),
        ("/v1/patients/17", Operation.READ_PATIENT),
        ("/v1/export", Operation.EXPORT),
        ("/v1/projections/user/user_action", Operation.READ_TABLES),
    ):
        allowed = ", ".join(sorted(role for role in Role if operation in OPERATIONS[role]))
        answer = client.get(path)
        assert answer.status_code == 403, path
        assert answer.json() == {
            "title": "Forbidden",
            "status": 403,
            "detail": f"not allowed with these credentials: {operation} needs one of the roles {allowed}",
        }
    proof = client.get(f"/v1/events/{NO_EVENT}/proof")
    assert (proof.status_code, proof.json()["title"]) == (403, "Forbidden")
    assert proof.json()["detail"].startswith("not allowed with these credentials")
    refused = asked(client, "{ events(first: 1) { nodes { id } } }")
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    for way in (by_stream, by_socket):
        assert "FORBIDDEN" in way(client, 0)[0]


@pytest.mark.parametrize(
    "question",
    [
        "actor={}",
        "user={}",
        "actor_prefix={}",
        "session={}",
        "correlation_id={}",
        "address={}",
        "address_prefix={}",
        "patient={}",
        "device={}",
        "resource_type=Observation&resource_id={}",
    ],
)
def test_what_is_hidden_can_not_be_found_out_by_asking(patient: httpx2.Client, question: str) -> None:
    right = {
        "session={}": "secret-session-0",
        "correlation_id={}": "secret-correlation_id-0",
        "address={}": "10.9.9.0",
        "address_prefix={}": "10.9",
        "patient={}": "secret-patient-18",
        "device={}": "pump-1",
        "resource_type=Observation&resource_id={}": "o-17",
    }.get(question, "secret-staff-ada")
    for path in ("/v1/events", "/v1/event-counts?by=type", "/v1/export"):
        mark = "&" if "?" in path else "?"
        answers = [patient.get(f"{path}{mark}{RANGE}&{question.format(value)}") for value in (right, "guess")]
        assert [each.status_code for each in answers] == [403, 403], path
        assert answers[0].content == answers[1].content
    nested = '{"or": [{"patient": "17"}, {"not": {"actor": "secret-staff-ada"}}]}'
    assert patient.get("/v1/events", params={"filter": nested}).status_code == 403


def test_a_patient_can_not_count_by_actor(patient: httpx2.Client) -> None:
    assert patient.get("/v1/event-counts?by=actor&patient=17").status_code == 403
    for distinct in ("patients", "actors"):
        assert patient.get(f"/v1/event-counts?by=type&patient=17&distinct={distinct}").status_code == 403
    refused = asked(patient, '{ eventCounts(by: ACTOR, filter: {patient: "17"}) { events } }')
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize("role", [Role.PATIENT, Role.CLINICIAN, Role.SERVICE_OWNER])
def test_the_summary_of_somebody_else_is_refused_whether_they_are_there_or_not(
    client: httpx2.Client, role: Role
) -> None:
    kind = {Role.PATIENT: "patients", Role.CLINICIAN: "users", Role.SERVICE_OWNER: "services"}[role]
    there = {"patients": "secret-patient-18", "users": "secret-staff-bob", "services": "vitals"}[kind]
    answers = [client.get(f"/v1/{kind}/{id}") for id in (there, "nobody")]
    assert [each.status_code for each in answers] == [403, 403]
    assert answers[0].content == answers[1].content


SEEING_STATUS = {
    Role.AUDITOR, Role.PRIVACY_OFFICER, Role.SECURITY_OFFICER, Role.ANALYST, Role.OPERATOR, Role.ADMIN,
}  # fmt: skip
MAY = {
    "/metrics": {Role.OPERATOR, Role.ADMIN},
    "/log/checkpoint": set(Role) - {Role.PUBLISHER},
    "/v1/projections/user": {Role.AUDITOR, Role.PRIVACY_OFFICER, Role.ADMIN},
    "/v1/projections/user/user_action": {Role.AUDITOR, Role.PRIVACY_OFFICER, Role.ADMIN},
    "/v1/export?table=user_action": {Role.AUDITOR, Role.PRIVACY_OFFICER, Role.ADMIN},
    "/v1/followers": SEEING_STATUS,
    "/healthz": set(Role),
    "/readyz": set(Role),
}


@pytest.mark.parametrize("role", Role)
def test_what_is_no_event_is_for_those_whom_it_is_for(client: httpx2.Client, role: Role) -> None:
    for path, roles in MAY.items():
        assert client.get(path).status_code == (200 if role in roles else 403), path
    for query in ("{ projections { name } }", "{ sequenceGaps { service } }"):
        assert ("errors" not in asked(client, query)) is (role in SEEING_STATUS)
    gaps = client.get("/v1/sequence-gaps")
    assert gaps.status_code == (200 if role in SEEING_STATUS else 403)
    if role in SEEING_STATUS:
        # Who sees no events sees which service lacks some, and not which computer.
        known = {each["instance"] is not None for each in gaps.json()["gaps"]}
        assert known == {role is not Role.OPERATOR}
    head = asked(client, "{ treeHead { size } }")
    assert ("errors" not in head) is (role is not Role.PUBLISHER)


@pytest.mark.parametrize("role", Role)
def test_only_publishers_publish_and_only_privacy_officers_decide(client: httpx2.Client, role: Role) -> None:
    answer = client.post("/v1/events", content="[{}]", headers={"Content-Type": "application/json"})
    assert answer.status_code == (422 if role in {Role.PUBLISHER, Role.ADMIN} else 403)
    decided = client.post("/v1/patients/17/staff-disclosure", json={"names": True})
    assert decided.status_code == (400 if role in {Role.PRIVACY_OFFICER, Role.ADMIN} else 403)


def test_two_roles_see_what_either_does_and_each_event_as_the_better_one(server: httpx2.Client) -> None:
    both = header(Role.PATIENT, **CLAIMS[Role.PATIENT] | {"roles": ["patient", "device_manager"]})
    with httpx2.Client(base_url=server.base_url, headers=both) as client:
        events = client.get("/v1/events?first=50&descending=false").json()["events"]
        assert [each["position"] for each in events] == [0, 2, 3, 4, 5, 7]
        names = [each["event"]["actor"].get("name") for each in events]
        assert names == [None, None, "secret Tina Technician", None, "secret Paul Patientname", None]
