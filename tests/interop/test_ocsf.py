"""An OCSF event is valid by the schema of 1.9 for every type and whatever text, and loses nothing of the event."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given, settings

from domain.catalogue import CATALOGUE
from domain.event import RecordedEvent
from interop import ocsf
from interop.leaf import LeafFacts
from tests.interop.outgoing_events import EVERY_TYPE, FULL, HOSTILE, LEAF, LEAST, LEAVES, huge, recorded

SCHEMA: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "samples" / "ocsf" / "ocsf-1.9.0.json").read_text()
)
CLASSES = {int(uid): found for uid, found in SCHEMA["classes"].items()}

EXPECTED = {
    "record.created": 600301,
    "record.read": 600302,
    "record.searched": 600504,
    "record.updated": 600303,
    "record.deleted": 600304,
    "record.exported": 600501,
    "record.imported": 600301,
    "record.disclosed": 600302,
    "user.logged_in": 300201,
    "user.logged_out": 300202,
    "user.login_failed": 300201,
    "session.started": 300201,
    "session.ended": 300202,
    "access.denied": 600399,
    "privilege.used": 600399,
    "role.changed": 300702,
    "emergency_access.started": 300714,
    "emergency_access.ended": 300715,
    "configuration.changed": 501901,
    "device.connected": 500199,
    "device.disconnected": 500199,
    "service.started": 600203,
    "service.stopped": 600204,
    "service.restarted": 600205,
    "health_check.failed": 600801,
    "health_check.recovered": 600899,
    "api.called": 600399,
    "node.authentication_failed": 300201,
    "audit_log.read": 600302,
    "audit_recording.started": 100806,
    "audit_recording.stopped": 100807,
    "integrity_check.failed": 200401,
    "subject.erased": 600507,
}


@cache
def validator(class_uid: int) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(CLASSES[class_uid]["schema"] | {"$defs": SCHEMA["$defs"]})


def valid(event: RecordedEvent, leaf: LeafFacts = LEAF) -> dict[str, Any]:
    """The event as a receiver reads it, once it is checked against the schema of its class and its captions."""
    found: dict[str, Any] = json.loads(msgspec.json.encode(ocsf.event(event, leaf)))
    errors = [
        f"{error.instance_path} {error.message}" for error in validator(found["class_uid"]).iter_errors(found)
    ]
    assert not errors, (event.event.type, errors)
    captions = CLASSES[found["class_uid"]]["captions"]
    assert (found["class_name"], found["category_name"]) == (
        captions["class_name"],
        captions["category_name"],
    )
    assert found["type_uid"] == found["class_uid"] * 100 + found["activity_id"]
    assert found["type_name"] == f"{found['class_name']}: {captions['activity'][str(found['activity_id'])]}"
    for name in ("status", "severity"):
        assert found[name] == captions[name][str(found[f"{name}_id"])]
    if found["activity_id"] != 99:
        assert found["activity_name"] == captions["activity"][str(found["activity_id"])]
    return found


@settings(max_examples=60)
@given(HOSTILE, LEAVES)
def test_hostile_text_is_valid_and_whole(event: RecordedEvent, leaf: LeafFacts) -> None:
    found, said = valid(event, leaf), json.loads(msgspec.json.encode(event.event))
    assert found["metadata"]["uid"] == f"{leaf.origin}#{leaf.position}"
    unmapped = found["unmapped"]
    for name in (
        "actor",
        "changes",
        "reason",
        "purpose_of_use",
        "attributes",
        "disclosure",
        "codes",
        "request",
    ):
        assert unmapped.get(name) == said.get(name)
    ids = [each["id"] for each in said.get("patients", [])]
    told = [each["uid"] for each in found.get("resources", []) if each["type"] == "Patient"]
    assert ids == [each["id"] for each in unmapped.get("patients", [])] or ids == told[: len(ids)]


@pytest.mark.parametrize("event", EVERY_TYPE, ids=lambda event: event.event.type)
def test_every_type_is_valid_in_its_class(event: RecordedEvent) -> None:
    found = valid(event)
    if event.event.type in EXPECTED:
        assert found["type_uid"] == EXPECTED[event.event.type]
    assert found["metadata"]["event_code"] == event.event.type
    assert found["message"] == CATALOGUE[event.event.type].description


def test_an_event_with_every_field_is_told_in_full() -> None:
    assert valid(recorded("record.updated")) == {
        "class_uid": 6003, "class_name": "API Activity",
        "category_uid": 6, "category_name": "Application Activity",
        "activity_id": 3, "activity_name": "Update", "type_uid": 600303, "type_name": "API Activity: Update",
        "time": 1772357400500, "severity_id": 1, "severity": "Informational",
        "status_id": 1, "status": "Success", "status_code": "success", "status_detail": "as asked",
        "message": "A record was changed.",
        "metadata": {
            "version": "1.9.0", "profiles": ["record_integrity", "host"],
            "product": {"name": "Audit Trail", "vendor_name": "Audit Trail", "version": "1"},
            "uid": "trail.example/log#41", "sequence": 41,
            "original_event_uid": "0b6a1f4e-95f7-4c1b-8f2c-0a3d5e6f7a8b",
            "original_time": "2026-03-01T10:30:00.500000+01:00", "event_code": "record.updated",
            "correlation_uid": "c-1", "log_provider": "Audit Trail", "log_name": "trail.example/log",
            "processed_time": 1772357415123,
            "reporter": {"name": "patient-service", "uid": "pod-1", "org": {"name": "North"}},
        },
        "attestation_list": [
            {
                "uid": "41", "authority_uid": "trail.example/log", "chain_uid": "trail.example/log",
                "fingerprint": {
                    "algorithm_id": 3, "algorithm": "SHA-256", "encoding_id": 1, "encoding": "Hex",
                    "serialization_id": 99, "serialization": "RFC 6962 leaf of audit-trail-entry/1",
                    "value": bytes(range(32)).hex(),
                },
                "prev_event": {"uid": "trail.example/log#39"},
            }
        ],
        "actor": {
            "user": {"uid": "dr-smith", "name": "Jo Smith", "type_id": 1, "type": "User"},
            "session": {"uid": "s-1"},
        },
        "api": {
            "operation": "GET /Observation?x=1",
            "service": {"name": "patient-service", "uid": "pod-1"},
            "request": {"uid": "c-1"},
        },
        "src_endpoint": {"ip": "10.0.0.7"},
        "resources": [
            {"type": "Patient", "uid": "17", "name": "Ann"},
            {"type": "Patient", "uid": "lab|18"},
            {"type": "Observation", "uid": "o-1", "version": "2", "labels": ["laboratory"]},
        ],
        "http_request": {
            "http_method": "GET", "url": {"path": "/Observation", "query_string": "x=1"}, "user_agent": "curl/8",
        },
        "http_response": {"code": 200, "latency": 4},
        "device": {"uid": "pump-3", "name": "Pump", "type_id": 0, "type": "Unknown"},
        "unmapped": {
            **{
                name: FULL[name]
                for name in (
                    "actor", "client", "device", "changes", "purpose_of_use", "reason", "emergency", "request",
                    "disclosure", "codes", "attributes",
                )
            },
            "changes": [{"path": "value", "before": 1, "after": {"a": None}}, {"path": "status", "after": "final"}],
            "log": {"position": 41, "previous_position": 39, "tree_size": 64},
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "activity", "roles"),
    [
        (["doctor"], ["doctor", "lead"], "Assign Roles", ["lead"]),
        (["doctor", "lead"], ["doctor"], "Remove Roles", ["lead"]),
        (None, "doctor", "Assign Roles", ["doctor"]),
        (["a"], ["b"], "Update", ["b"]),
        (1, {"x": 1}, "Update", []),
    ],
)
def test_a_change_of_roles_says_which_and_of_whom(
    before: Any, after: Any, activity: str, roles: list[str]
) -> None:
    change = {"path": "roles", "before": before, "after": after}
    event = recorded(
        "role.changed", LEAST | {"changes": [change], "resources": [{"type": "User", "id": "nap"}]}
    )
    found = valid(event)
    assert (found["activity_name"], found["user"]) == (activity, {"uid": "nap"})
    assert [role["name"] for role in found.get("iam_roles", [])] == roles


def test_what_was_denied_is_told_by_what_was_tried_and_as_a_failure() -> None:
    found = valid(recorded("access.denied", LEAST | {"action": "R"}))
    assert (found["activity_name"], found["status"], found["severity"]) == ("Read", "Failure", "Medium")


def test_the_events_of_one_finding_have_one_id_and_the_last_closes_it() -> None:
    about = LEAST | {"attributes": {"finding": 7}, "actor": {"id": "op"}, "reason": "restored"}
    found = [
        valid(recorded(f"integrity_check.{name}", about))
        for name in ("failed", "unconfirmed", "recovered", "answered")
    ]
    assert [each["finding_info"]["uid"] for each in found] == ["7"] * 4
    assert [each["status"] for each in found] == ["New", "New", "Resolved", "Resolved"]


def test_an_export_of_the_log_is_one_in_ocsf_too() -> None:
    found = valid(recorded("audit_log.read", LEAST | {"attributes": {"via": "export"}}))
    assert (found["type_uid"], found["log_name"]) == (100803, "trail.example/log")


def test_what_the_event_lacks_and_the_schema_requires_is_called_unknown() -> None:
    found = valid(recorded("record.read", LEAST))
    assert found["actor"]["user"]["name"] == "Unknown"
    assert found["src_endpoint"] == {"name": "Unknown"}
    first = valid(recorded("record.read", LEAST), LEAF._replace(previous_position=None, tree_head_size=None))
    assert "prev_event" not in first["attestation_list"][0]
    assert first["unmapped"]["log"] == {"position": 41}


def test_a_large_event_stays_whole() -> None:
    found = valid(huge())
    assert found["unmapped"]["reason"] == "ü" * 65536
    assert len(found["resources"]) == 1000
