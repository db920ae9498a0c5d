"""Every way in to what is in the trail, and all that is answered there, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import httpx2
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from queries.cursors import encode_id
from tests.web.access.secret_trail import EVENTS

EVENT = """
  id eventId position type source { service site instance sequence } actor { kind id name roles onBehalfOf } session
  client { address userAgent } outcomeReason patients { id name } device { id name } resources { type id }
  changes { path before after } reason correlationId request { method path } codes { code display }
  disclosure { recipient recipientAddress description purpose } attributes inclusionProof { leafIndex }
"""
_COMMON = f"firstSeen timeline(first: 50) {{ nodes {{ {EVENT} }} }}"
_CONFIGURATION = " ".join(
    f'{name}: configurationAt(asOf: "{time}", first: 9) {{ nodes {{ path value changedBy }} }}'
    for name, time in (("before", "2026-02-01T00:00:00Z"), ("after", "2026-04-01T00:00:00Z"))
)
_NUMBERS = (
    "instances { instance highest } gaps { service instance fromNumber } conflicts { service instance }"
)
_SUBJECTS = f"""
  ... on Event {{ {EVENT} }}
  ... on PatientActivity {{ events accesses {{ actorId actorName accesses purposes }} {_COMMON} }}
  ... on UserActivity {{ userId name sessions {{ session }} patients {{ patientId }} actions {{ type }} {_COMMON} }}
  ... on DeviceActivity {{ name configuration {{ actorId path before after }} {_CONFIGURATION} {_COMMON} }}
  ... on ServiceActivity {{ state periods {{ instance }} apiUse {{ calls }} {_NUMBERS} {_COMMON} }}
  ... on ResourceActivity {{ resourceId history {{ nodes {{ actor {{ id name }} path before after }} }} {_COMMON} }}
"""
NODE = f"query ($id: ID!) {{ node(id: $id) {{ {_SUBJECTS} }} }}"
NODE_LIST = f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ {_SUBJECTS} }} }}"
SUBSCRIPTION = f"subscription {{ eventRecorded(after: -1) {{ {EVENT} }} }}"
RANGE = "occurred_from=2026-02-20T00:00:00Z&occurred_until=2026-03-10T00:00:00Z"
NODES = [
    *(("Event", str(event.event_id)) for event in EVENTS),
    *(("PatientActivity", id) for id in ("17", "secret-patient-18")),
    *(("UserActivity", id) for id in ("secret-staff-ada", "secret-staff-bob", "17")),
    ("PatientActivity", "secret Nora Nameid"),
    ("DeviceActivity", "pump-1"),
    *(("ServiceActivity", id) for id in ("patient-service", "vitals", "gateway")),
    *(("ResourceActivity", json.dumps(["Observation", id])) for id in ("o-17", "secret-o-18")),
    ("ResourceActivity", json.dumps(["SavedView", str(UUID(int=9))])),
]
PATHS = [
    "/v1/events?first=50",
    "/v1/events?first=50&order_by=occurred_at",
    *(f"/v1/events/{event.event_id}" for event in EVENTS),
    *(f"/v1/events/{event.event_id}/proof" for event in EVENTS),
    *(f"/v1/event-counts?by={by}&{RANGE}" for by in ("type", "actor", "service", "day")),
    "/v1/patients/17",
    "/v1/patients/secret-patient-18",
    "/v1/users/secret-staff-ada",
    "/v1/users/secret-staff-bob",
    "/v1/users/17",
    "/v1/patients/secret Nora Nameid",
    "/v1/resources/Patient/secret Nora Nameid",
    "/v1/devices/pump-1",
    "/v1/devices/pump-1/configuration",
    "/v1/devices/pump-1/configuration?as_of=2026-02-01T00:00:00Z",
    "/v1/services/patient-service",
    "/v1/services/vitals",
    "/v1/sequence-gaps",
    *(f"/v1/resources/Observation/{id}{more}" for id in ("o-17", "secret-o-18") for more in ("", "/changes")),
    *(f"/v1/projections/{name}" for name in ("patient", "user", "activity")),
    "/v1/projections/patient/patient_access",
    "/v1/projections/user/user_action",
    "/v1/projections/user/user_view",
    "/v1/views",
    "/v1/watched-targets",
    "/v1/followers",
    "/v1/alerts",
    "/v1/cases",
    "/v1/own-questions",
    "/v1/suppressions",
    "/v1/reviews",
    "/v1/detection/rules",
    "/v1/detection/explained",
    "/v1/projections/activity/activity",
    "/v1/projections/device/device_configuration",
    *(f"/v1/export?format={format}" for format in ("ndjson", "csv")),
    "/v1/export?manifest=true",
    *(f"/v1/export?table={name}" for name in ("patient_access", "user_action", "user_view", "activity")),
    "/metrics",
    "/log/checkpoint",
    "/openapi.json",
]
"""Of the trail's own; a question that names a secret is not repeated in any answer."""


def asked(client: httpx2.Client, query: str, **variables: Any) -> dict[str, Any]:
    """The answer to a GraphQL request."""
    answer = client.post("/graphql", json={"query": query, "variables": variables})
    found: dict[str, Any] = answer.json()
    return found


def by_stream(client: httpx2.Client, count: int) -> list[str]:
    """So many results of the subscription as server-sent events, or the end of it."""
    found: list[str] = []
    headers = {"Accept": "text/event-stream"}
    with client.stream("POST", "/graphql", json={"query": SUBSCRIPTION}, headers=headers) as answer:
        for line in answer.iter_lines():
            if line.startswith("data:") and len(line) > len("data: "):
                found.append(line)
            if len(found) >= max(count, 1):
                break
    return found


def by_socket(client: httpx2.Client, count: int) -> list[str]:
    """So many results over a WebSocket, or the error."""
    url = str(client.base_url).rstrip("/").replace("http", "ws", 1) + "/graphql"
    headers = {"Authorization": client.headers["Authorization"]}
    found: list[str] = []
    with connect(
        url, subprotocols=[Subprotocol("graphql-transport-ws")], additional_headers=headers
    ) as socket:
        socket.send('{"type": "connection_init"}')
        assert "connection_ack" in str(socket.recv(timeout=10))
        socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": SUBSCRIPTION}}))
        while len(found) < max(count, 1):
            found.append(str(socket.recv(timeout=10)))
    return found


def everything(client: httpx2.Client, count: int) -> Iterator[tuple[str, str]]:
    """Each way in by name, and its whole answer as text, headers included. `count` events are waited for in streams."""
    for path in PATHS:
        answer = client.get(path)
        yield path, f"{answer.headers}\n{answer.text}"
    queries: list[tuple[str, Callable[[], Any]]] = [
        ("events", lambda: asked(client, f"{{ events(first: 50) {{ nodes {{ {EVENT} }} }} }}")),
        ("counts", lambda: asked(client, _counts())),
        ("heads", lambda: asked(client, "{ treeHead { size } consistencyProof(from: 1, to: 2) { hashes } }")),
        ("status", lambda: asked(client, "{ projections { name position error } }")),
        ("gaps", lambda: asked(client, "{ sequenceGaps { service instance fromNumber noticedAt } }")),
        ("followers", lambda: asked(client, "{ followers { name position problem } }")),
        ("rows", lambda: asked(client, '{ projection(name: "user") { rows(first: 50) { nodes } } }')),
        ("sse", lambda: by_stream(client, count)),
        ("ws", lambda: by_socket(client, count)),
    ]
    for name, ask in queries:
        yield name, json.dumps(ask(), ensure_ascii=False)
    ids = [encode_id(kind, name) for kind, name in NODES]
    for id, (kind, name) in zip(ids, NODES, strict=True):
        yield f"node {kind} {name}", json.dumps(asked(client, NODE, id=id), ensure_ascii=False)
    yield "nodes", json.dumps(asked(client, NODE_LIST, ids=ids), ensure_ascii=False)


def _counts() -> str:
    filter = 'filter: {occurredFrom: "2026-02-20T00:00:00Z", occurredUntil: "2026-03-10T00:00:00Z"}'
    parts = [
        f"{by}: eventCounts(by: {by.upper()}, {filter}) {{ events buckets {{ key }} }}"
        for by in ("type", "actor", "service", "day")
    ]
    return f"{{ {' '.join(parts)} }}"
