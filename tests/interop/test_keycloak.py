"""Keycloak's events, in the shapes that its listeners publish."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.body import BodyFormat, read_event
from domain.event import ActorKind, AuditEvent, Outcome
from interop.decoding import decode

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LOGIN: dict[str, Any] = {
    "id": "5d5c8c86-8dc5-4f1c-9d1a-0d6d3c1f2b11",
    "time": 1714557600123,
    "type": "LOGIN",
    "realmId": "hospital",
    "realmName": "Hospital",
    "clientId": "portal",
    "userId": "0f1e2d3c-aaaa-4bbb-8ccc-1234567890ab",
    "sessionId": "s-1",
    "ipAddress": "10.0.0.9",
    "error": None,
    "details": {"auth_method": "openid-connect", "username": "ann", "code_id": "s-1"},
}
ADMIN: dict[str, Any] = {
    "id": "6d5c8c86-8dc5-4f1c-9d1a-0d6d3c1f2b11",
    "time": 1714557600123,
    "realmId": "hospital",
    "authDetails": {
        "realmId": "master",
        "clientId": "admin-cli",
        "userId": "admin-1",
        "ipAddress": "10.0.0.1",
    },
    "resourceType": "REALM_ROLE_MAPPING",
    "operationType": "CREATE",
    "resourcePath": "users/u-7/role-mappings/realm",
    "representation": '[{"name":"auditor"}]',
    "error": None,
}


def read(payload: dict[str, Any]) -> AuditEvent:
    received = decode(json.dumps(payload).encode(), [], max_bytes=100_000, received_at=NOW)
    assert received.format is BodyFormat.KEYCLOAK
    assert read_event(received.format, received.body) == received.event
    return received.event


def test_a_log_in_is_read_whole() -> None:
    event = read(LOGIN)
    assert (event.type, event.outcome) == ("user.logged_in", Outcome.SUCCESS)
    assert (event.actor.id, event.actor.name, event.actor.kind) == (LOGIN["userId"], "ann", ActorKind.USER)
    assert event.client is not None
    assert (event.session, event.client.address) == ("s-1", "10.0.0.9")
    assert (event.source.service, event.source.site) == ("keycloak", "Hospital")
    assert event.occurred_at == datetime(2024, 5, 1, 10, 0, 0, 123000, tzinfo=UTC)
    assert str(event.event_id) == LOGIN["id"]
    assert event.codes[0].code == "LOGIN"
    assert event.attributes["auth_method"] == "openid-connect"


@pytest.mark.parametrize(
    ("changed", "type"),
    [
        ({"type": "LOGIN_ERROR", "error": "invalid_user_credentials", "userId": None}, "user.login_failed"),
        ({"type": "LOGOUT"}, "user.logged_out"),
        ({"type": "LOGIN", "userId": None}, "event.unclassified"),
        ({"type": "CODE_TO_TOKEN"}, "session.started"),
        ({"type": "CODE_TO_TOKEN", "sessionId": None, "details": {}}, "event.unclassified"),
        ({"type": "CLIENT_LOGIN", "userId": None}, "user.logged_in"),
        ({"type": "IMPERSONATE"}, "privilege.used"),
        ({"type": "UPDATE_PASSWORD"}, "record.updated"),
        ({"type": "REFRESH_TOKEN"}, "event.unclassified"),
        ({"type": "PERMISSION_TOKEN_ERROR"}, "access.denied"),
        ({"type": "CLIENT_UPDATE"}, "configuration.changed"),
    ],
)
def test_each_type_becomes_what_it_means(changed: dict[str, Any], type: str) -> None:
    event = read(LOGIN | changed)
    assert event.type == type
    assert (event.outcome is Outcome.SUCCESS) == (not str(changed["type"]).endswith("_ERROR"))


@pytest.mark.parametrize(
    ("changed", "type", "resource"),
    [
        ({}, "role.changed", ("User", "u-7")),
        ({"resourceType": "USER", "resourcePath": "users/u-7"}, "record.created", ("User", "u-7")),
        ({"resourceType": "USER", "resourcePath": "users/u-7", "operationType": "DELETE"}, "record.deleted",
         ("User", "u-7")),
        ({"resourceType": "USER", "resourcePath": "users/u-7/impersonation", "operationType": "ACTION"},
         "privilege.used", ("User", "u-7")),
        ({"resourceType": "CLIENT", "resourcePath": "clients/c-1"}, "configuration.changed", ("Client", "clients/c-1")),
        ({"resourceType": "AUTH_FLOW", "resourcePath": ""}, "configuration.changed", None),
        ({"operationType": "OTHER", "resourceType": "X"}, "event.unclassified", ("User", "u-7")),
    ],
)  # fmt: skip
def test_admin_events_say_who_changed_what(
    changed: dict[str, Any], type: str, resource: tuple[str, str] | None
) -> None:
    event = read(ADMIN | changed)
    assert (event.type, event.actor.id) == (type, "admin-1")
    assert [(each.type, each.id) for each in event.resources] == ([resource] if resource else [])
    assert "auditor" not in json.dumps(event.attributes)  # the representation may hold secrets


def test_an_event_without_id_is_its_own_duplicate_and_without_time_has_that_of_receipt() -> None:
    first, second = read(LOGIN | {"id": None}), read(LOGIN | {"id": None})
    assert first.event_id == second.event_id
    for time in (0, None, "2024", 10**20, True):
        event = read(LOGIN | {"time": time})
        assert (event.occurred_at, event.attributes["occurred_at_from"]) == (NOW, "receipt")


def test_a_cloudevent_may_carry_one() -> None:
    envelope = {
        "specversion": "1.0",
        "id": "1",
        "source": "/keycloak",
        "type": "org.keycloak.event",
        "data": LOGIN,
    }
    received = decode(json.dumps(envelope).encode(), [], max_bytes=100_000, received_at=NOW)
    assert received.event.type == "user.logged_in"
    assert received.format is BodyFormat.CLOUDEVENTS


@pytest.mark.parametrize("part", ["details", "authDetails", "resourcePath", "type", "clientId", "realmName"])
@pytest.mark.parametrize("value", [None, 1, [], {}, "x" * 5000, ["a"], {"a": {"b": 1}}])
def test_no_shape_of_a_part_breaks_it(part: str, value: Any) -> None:
    read((LOGIN if part in LOGIN else ADMIN) | {part: value})
