"""`POST /v1/intake/...`: what tools report is published with the rights and the limits of `POST /v1/events`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from audit_trail.embedded.broker import Broker
from domain.validation import decode_event
from tests.hospital import record
from tests.tokens import bearer
from tests.web.conftest import NO_BROKER, NO_DATABASE, Serve
from tests.web.rest.publishing import published
from web.rest.monitor_intake import TOOLS

SAMPLES = Path(__file__).parents[2] / "samples" / "monitoring"


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.json").read_bytes()


def test_notifications_are_published_and_a_repetition_has_the_same_bytes(
    publishing_client: httpx2.Client, broker: Broker, topic: str
) -> None:
    first = publishing_client.post("/v1/intake/alertmanager", content=sample("alertmanager-firing"))
    assert first.status_code == 202, first.text
    counts = {name: first.json()[name] for name in ("accepted", "ignored", "rejected")}
    assert counts == {"accepted": 2, "ignored": 0, "rejected": 0}
    second = publishing_client.post(
        "/v1/intake/alertmanager", content=sample("alertmanager-one-resolved")
    ).json()
    assert second["events"][1]["event_id"] == first.json()["events"][1]["event_id"]
    other = publishing_client.post(
        "/v1/intake/kubernetes?source=north-cluster", content=sample("exporter-unhealthy")
    )
    assert other.json()["accepted"] == 1
    values = [value for value, _ in published(broker, topic, 5)]
    events = {decode_event(value).event_id: decode_event(value) for value in values}
    assert (len(values), len(set(values)), len(events)) == (5, 4, 4)
    assert {each.source.service for each in events.values()} == {"alertmanager", "north-cluster"}


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_each_tool_may_report_as_its_own_source_alone(
    tool: Any, publishing_client: httpx2.Client, broker: Broker, topic: str
) -> None:
    url = f"/v1/intake/{tool.name}"
    post = publishing_client.post
    assert post(url, json=tool.example, headers=bearer("auditor")).status_code == 403
    assert post(url, json=tool.example, headers=bearer("publisher", sources=["other"])).status_code == 403
    own = bearer("publisher", sources=[tool.name])
    assert post(f"{url}?source=audit-trail", json=tool.example, headers=own).status_code == 403
    answer = post(url, json=tool.example, headers=own)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1), answer.text
    [(value, _)] = published(broker, topic, 1)
    assert decode_event(value).source.service == tool.name


def test_a_test_of_the_webhook_succeeds_and_is_no_event(publishing_client: httpx2.Client) -> None:
    body = {"heartbeat": None, "monitor": None, "msg": "My webhook Testing"}
    answer = publishing_client.post("/v1/intake/uptime-kuma", json=body)
    assert (answer.status_code, answer.json()["ignored"]) == (202, 1)
    assert "no check" in answer.json()["events"][0]["message"]


def test_a_repetition_of_gatus_is_noticed_by_the_last_event_of_the_service(
    serve: Serve, projected_url: str, broker: Broker, topic: str
) -> None:
    client = serve(projected_url, broker.bootstrap_servers, topic=topic)
    body = {"endpoint": "portal", "group": "clinic", "status": "TRIGGERED", "errors": "timeout"}

    def post(status: str) -> tuple[int, int]:
        answer = client.post("/v1/intake/gatus", json=body | {"status": status}).json()
        return answer["accepted"], answer["ignored"]

    assert post("TRIGGERED") == (1, 0)
    record(projected_url, [decode_event(value) for value, _ in published(broker, topic, 1)])
    assert post("TRIGGERED") == (0, 1)  # a reminder
    assert post("RESOLVED") == (1, 0)
    # The trail still shows the failure as the newest event.
    assert post("TRIGGERED") == (1, 0)


def test_a_recovery_from_gatus_is_recorded_also_while_the_trail_does_not_show_the_failure_yet(
    serve: Serve, projected_url: str, broker: Broker, topic: str
) -> None:
    clients = [serve(projected_url, broker.bootstrap_servers, topic=topic) for _ in range(2)]
    body = {"endpoint": "portal", "group": "clinic"}
    for each in clients:
        answer = each.post("/v1/intake/gatus", json=body | {"status": "RESOLVED"})
        assert answer.json()["accepted"] == 1
    record(projected_url, [decode_event(value) for value, _ in published(broker, topic, 2)])
    for each, status in zip(clients, ("TRIGGERED", "RESOLVED"), strict=True):
        assert each.post("/v1/intake/gatus", json=body | {"status": status}).json()["accepted"] == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"alerts": 1}', 400),
        (b'{"version": "3", "alerts": []}', 400),
        (b'{"version": "4", "alerts": [{"status": "firing"}]}', 422),
        (b'{"version": "4", "alerts": [7]}', 422),
        (b'{"version": "4", "alerts": [' + b"{}," * 1000 + b"{}]}", 413),
        (b'{"version": "4", "alerts": [{"labels": {"alertname": "\\u0000"}}]}', 400),
    ],
)  # fmt: skip
def test_what_is_no_notification_is_refused_and_explained(
    publishing_client: httpx2.Client, body: bytes, status: int
) -> None:
    answer = publishing_client.post("/v1/intake/alertmanager", content=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]


def test_good_alerts_beside_a_bad_one_are_published(
    publishing_client: httpx2.Client, broker: Broker, topic: str
) -> None:
    body = json.loads(sample("alertmanager-firing"))
    del body["alerts"][0]["fingerprint"]
    answer = publishing_client.post("/v1/intake/alertmanager", json=body).json()
    assert (answer["accepted"], answer["rejected"]) == (1, 1)
    assert answer["events"][0]["field"] == "alerts[0].fingerprint"
    assert len(published(broker, topic, 1)) == 1


def test_without_kafka_the_tool_is_told_to_try_again(serve: Serve) -> None:
    answer = serve(NO_DATABASE, NO_BROKER).post(
        "/v1/intake/alertmanager", content=sample("alertmanager-firing")
    )
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
