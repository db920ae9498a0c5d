"""What monitoring tools send, as they really send it, becomes events; a repeated notification the same ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from domain.errors import RejectedError
from domain.event import AuditEvent, Outcome
from domain.validation import decode_event, encode_event
from interop.monitoring import alertmanager, eventrouter, gatus, kubernetes, uptime_kuma
from interop.monitoring.readings import Ignored, Reading

SAMPLES = Path(__file__).parents[1] / "samples" / "monitoring"
NOW = datetime(2026, 3, 4, 9, tzinfo=UTC)
FAILED, RECOVERED = "health_check.failed", "health_check.recovered"


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_bytes())


def events(readings: list[Reading]) -> list[AuditEvent]:
    found = [each for each in readings if isinstance(each, AuditEvent)]
    assert len(found) == len(readings), readings
    for each in found:
        assert decode_event(encode_event(each)) == each  # as ingest reads it
    return found


def told(found: list[AuditEvent]) -> list[tuple[str, str, str]]:
    return [(each.type, each.resources[0].id, each.occurred_at.isoformat()) for each in found]


def test_alertmanager_repeats_what_fires_and_only_what_is_new_is_a_new_event() -> None:
    first = events(alertmanager.read_alerts(sample("alertmanager-firing"), "alertmanager", NOW))
    second = events(alertmanager.read_alerts(sample("alertmanager-one-resolved"), "alertmanager", NOW))
    assert told(first) == [
        (FAILED, "patient-service", "2026-12-01T01:55:45.123000+00:00"),
        (FAILED, "vitals-service", "2026-12-01T01:55:45.123000+00:00"),
    ]
    assert told(second)[0] == (RECOVERED, "patient-service", "2026-12-01T01:55:49.456000+00:00")
    assert second[1] == first[1]  # the other alert of the group still fires
    failed, recovered = first[0], second[0]
    assert recovered.correlation_id == failed.correlation_id == str(failed.event_id)
    assert recovered.attributes["outage_seconds"] == 4.333
    assert (failed.outcome, failed.outcome_reason) == (Outcome.SERIOUS_FAILURE, "ServiceDown")
    assert failed.attributes["labels"]["instance"] == "10.0.3.17:8080"
    assert failed.source.service == failed.actor.id == "alertmanager"


def test_an_alert_is_the_same_event_whatever_its_annotations_say_by_now() -> None:
    body = sample("alertmanager-firing")
    before = events(alertmanager.read_alerts(body, "alertmanager", NOW))
    body["alerts"][0]["annotations"]["description"] = "Up for the last 2 minutes: 0.5"
    body["alerts"][0]["generatorURL"] = "http://other-prometheus.example/"
    body["externalURL"] = "http://other-alertmanager.example/"
    assert events(alertmanager.read_alerts(body, "alertmanager", NOW)) == before
    assert events(alertmanager.read_alerts(body, "alertmanager-west", NOW))[0].event_id != before[0].event_id
    body["alerts"][0]["startsAt"] = "2026-12-01T02:55:45.123Z"  # it fires anew
    again = events(alertmanager.read_alerts(body, "alertmanager", NOW))
    assert again[0].event_id != before[0].event_id
    assert again[1] == before[1]


def test_events_of_kubernetes_are_about_the_workload_and_one_for_each_version() -> None:
    body = sample("exporter-unhealthy")
    [event] = events(kubernetes.read_events(body, "kubernetes", NOW))
    assert told([event]) == [(FAILED, "clinic/vitals-service", "2026-03-03T04:10:08+00:00")]
    assert [(each.type, each.id) for each in event.resources] == [
        ("Service", "clinic/vitals-service"),
        ("Pod", "clinic/vitals-service-54989875d7-52xnl"),
    ]
    assert event.outcome is Outcome.MINOR_FAILURE
    assert event.outcome_reason is not None
    assert event.outcome_reason.startswith("Readiness probe failed")
    assert (event.source.site, event.source.instance) == ("north", "node-7.clinic.example")
    assert (event.codes[0].code, event.attributes["count"]) == ("Unhealthy", 4)
    # What the exporter adds of its own can be gone when it sends the event again.
    del body["involvedObject"]["labels"], body["involvedObject"]["ownerReferences"]
    body["involvedObject"]["deleted"] = True
    assert events(kubernetes.read_events(body, "kubernetes", NOW)) == [event]
    body["metadata"]["resourceVersion"], body["count"] = "1613015300", 5
    [again] = events(kubernetes.read_events(body, "kubernetes", NOW))
    assert again.event_id != event.event_id


def test_events_of_the_newer_api_and_those_that_eventrouter_wraps_are_read_too() -> None:
    body = sample("events-k8s-io-list")
    found = events(kubernetes.read_events(body, "kubernetes", NOW))
    assert told(found) == [
        (FAILED, "clinic/imaging", "2026-03-03T04:12:30.500000+00:00"),
        ("service.started", "clinic/imaging", "2026-03-03T04:13:00+00:00"),
    ]
    assert found[0].outcome_reason == "0/3 nodes are available: 3 Insufficient memory."
    assert found[1].attributes["message"] == "Started container imaging"
    wrapped = [{"verb": "ADDED", "event": each} for each in body["items"]]
    assert events(kubernetes.read_events(wrapped, "kubernetes", NOW)) == found
    frames = [
        b"<27>1 2026-03-03T04:12:30Z node-2 kubelet - - - " + json.dumps(each).encode() for each in wrapped
    ]
    sent = b"".join(b"%d %s\n" % (len(each), each) for each in frames)
    assert eventrouter.is_framed(sent)
    assert not eventrouter.is_framed(json.dumps(body).encode())
    assert [json.loads(each) for each in eventrouter.unframed(sent)] == wrapped
    for broken in (sent[:-3], sent + b"12", sent.replace(b"<27>1", b"<27>2")):
        with pytest.raises(RejectedError):
            eventrouter.unframed(broken)
    many = b'<27>1 - {"a": [' + b"[]," * 20_000 + b"[]]}"
    with pytest.raises(RejectedError, match="arrays and objects"):
        eventrouter.unframed(b"".join(b"%d %s\n" % (len(many), many) for _ in range(3)))


def test_a_reason_without_a_row_keeps_its_code_and_changes_no_services_state() -> None:
    body = sample("exporter-unhealthy")
    for type, outcome in (("Normal", Outcome.SUCCESS), ("Warning", Outcome.MINOR_FAILURE)):
        body |= {"reason": "LeaderElection", "type": type}
        [event] = events(kubernetes.read_events(body, "kubernetes", NOW))
        assert (event.type, event.outcome, event.codes[0].code) == (
            "event.unclassified",
            outcome,
            "LeaderElection",
        )
        assert "Service" not in {each.type for each in event.resources}


@pytest.mark.parametrize(
    ("kind", "path", "name"),
    [
        ("Pod", "clinic/vitals-7d9f8b6c5d-x2x4z", "clinic/vitals"),
        ("Pod", "clinic/node-exporter-x2x4z", "clinic/node-exporter"),
        ("Pod", "clinic/postgres-0", "clinic/postgres"),
        ("Pod", "clinic/patient-service", "clinic/patient-service"),
        ("Job", "clinic/nightly-28456", "clinic/nightly"),
        ("ReplicaSet", "clinic/vitals-7d9f8b6c5d", "clinic/vitals"),
        ("Deployment", "clinic/vitals", "clinic/vitals"),
        ("Node", "node-7", "node-7"),
    ],
)
def test_a_workload_is_the_name_without_what_its_controller_generated(
    kind: str, path: str, name: str
) -> None:
    assert kubernetes.workload(kind, path) == name


def test_uptime_kuma_tells_each_change_once() -> None:
    [down] = events(uptime_kuma.read_heartbeat(sample("uptime-kuma-down"), "uptime-kuma", NOW))
    [up] = events(uptime_kuma.read_heartbeat(sample("uptime-kuma-up"), "uptime-kuma", NOW))
    assert told([down, up]) == [
        (FAILED, "pump gateway", "2026-03-01T14:06:38+00:00"),
        (RECOVERED, "pump gateway", "2026-03-01T14:16:38.250000+00:00"),
    ]
    assert up.attributes["outage_seconds"] == 600.25
    body = sample("uptime-kuma-down")
    assert events(uptime_kuma.read_heartbeat(body, "uptime-kuma", NOW)) == [down]
    for change in ({"important": False}, {"status": 2}, {"status": 3}):
        other = deepcopy(body)
        other["heartbeat"] |= change
        assert isinstance(uptime_kuma.read_heartbeat(other, "uptime-kuma", NOW)[0], Ignored)
    test = {"heartbeat": None, "monitor": None, "msg": "My webhook Testing"}
    assert isinstance(uptime_kuma.read_heartbeat(test, "uptime-kuma", NOW)[0], Ignored)


def test_gatus_has_no_time_of_its_own_and_placeholders_that_it_left_are_no_text() -> None:
    body = {
        "endpoint": "portal",
        "group": "clinic",
        "status": "TRIGGERED",
        "errors": "",
        "description": "[X]",
    }
    [down] = events(gatus.read_alert(body, "gatus", NOW))
    assert told([down]) == [(FAILED, "clinic/portal", NOW.isoformat())]
    assert down.outcome_reason is None
    body |= {"errors": 'Get "https://portal.example": EOF'}
    assert events(gatus.read_alert(body, "gatus", NOW))[0].outcome_reason == body["errors"]
    body |= {"status": "RESOLVED", "group": ""}
    assert told(events(gatus.read_alert(body, "gatus", NOW))) == [(RECOVERED, "portal", NOW.isoformat())]


Read = Callable[[Any, str, datetime], list[Reading]]
READERS: tuple[Read, ...] = (
    alertmanager.read_alerts,
    kubernetes.read_events,
    uptime_kuma.read_heartbeat,
    gatus.read_alert,
)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    "body",
    [None, 7, "x", [], {}, {"alerts": 1}, {"heartbeat": 1, "monitor": 1}, {"endpoint": 1, "status": 2}],
)
def test_what_a_tool_does_not_send_is_rejected_and_never_a_defect(read: Read, body: Any) -> None:
    found: list[Reading] = []
    with suppress(RejectedError):
        found = read(body, "x", NOW)
    assert not any(isinstance(each, AuditEvent) for each in found)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("value", [None, 1, "", "x" * 100_000, [], {}, True])
def test_a_field_of_any_other_value_is_an_error_or_a_shorter_text(read: Read, value: Any) -> None:
    names = (
        "alertmanager-firing",
        "exporter-unhealthy",
        "events-k8s-io-list",
        "uptime-kuma-down",
        "uptime-kuma-up",
    )
    bodies = [sample(name) for name in names] + [{"endpoint": "e", "status": "TRIGGERED", "group": "g"}]

    def places(node: Any) -> list[tuple[Any, Any]]:
        keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        return [(node, key) for key in keys] + [each for key in keys for each in places(node[key])]

    for body in bodies:
        for node, key in places(body):
            kept, node[key] = node[key], value
            with suppress(RejectedError):
                for each in read(body, "x", NOW):
                    assert not isinstance(each, AuditEvent) or decode_event(encode_event(each)) == each
            node[key] = kept
