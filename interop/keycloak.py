"""Keycloak's user events and admin events to `AuditEvent`, as its event listeners publish them in JSON.

Source: Keycloak server developer guide, "Event Listener SPI"; `org.keycloak.events.EventType` and
`org.keycloak.events.admin.ResourceType`. A type without a row here becomes an ``event.unclassified`` with its code.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec
from msgspec.structs import replace

from domain.catalogue import GENERIC_TYPE
from domain.errors import InvalidEventError
from domain.event import Action, Actor, ActorKind, AuditEvent, Client, Coding, Outcome, Resource, Source
from domain.event_time import is_usable
from domain.validation import check
from interop import truncation

Json = dict[str, Any]

SERVICE = "keycloak"
CODES = "https://www.keycloak.org/event-type"
MAX_DETAILS = 50
"""Details of one event that are kept as attributes; the message itself is stored whole."""

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:audit-trail:keycloak")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ERROR = "_ERROR"
_USER_TYPES = {
    "LOGIN": "user.logged_in",
    "CLIENT_LOGIN": "user.logged_in",
    "IDENTITY_PROVIDER_LOGIN": "user.logged_in",
    "LOGOUT": "user.logged_out",
    "USER_SESSION_DELETED": "session.ended",
    "CODE_TO_TOKEN": "session.started",
    "IMPERSONATE": "privilege.used",
    "REGISTER": "record.created",
    "DELETE_ACCOUNT": "record.deleted",
    "CLIENT_REGISTER": "configuration.changed",
    "CLIENT_UPDATE": "configuration.changed",
    "CLIENT_DELETE": "configuration.changed",
    "PERMISSION_TOKEN": "access.denied",
} | dict.fromkeys(
    (
        "UPDATE_PROFILE", "UPDATE_EMAIL", "UPDATE_PASSWORD", "RESET_PASSWORD", "UPDATE_TOTP", "REMOVE_TOTP",
        "UPDATE_CREDENTIAL", "REMOVE_CREDENTIAL", "VERIFY_EMAIL", "FEDERATED_IDENTITY_LINK",
        "REMOVE_FEDERATED_IDENTITY", "USER_DISABLED_BY_PERMANENT_LOCKOUT", "USER_DISABLED_BY_TEMPORARY_LOCKOUT",
    ),
    "record.updated",
)  # fmt: skip
_LOGINS = {"LOGIN", "CLIENT_LOGIN", "IDENTITY_PROVIDER_LOGIN", "CODE_TO_TOKEN"}
_OPERATIONS = {
    "CREATE": ("record.created", Action.CREATE),
    "UPDATE": ("record.updated", Action.UPDATE),
    "DELETE": ("record.deleted", Action.DELETE),
    "ACTION": ("record.updated", Action.EXECUTE),
}
_ROLES = {
    "REALM_ROLE_MAPPING",
    "CLIENT_ROLE_MAPPING",
    "GROUP_MEMBERSHIP",
    "REALM_SCOPE_MAPPING",
    "CLIENT_SCOPE_MAPPING",
}


def is_keycloak(payload: Json) -> bool:
    """Whether an object is one of Keycloak's events, by keys that all its versions write."""
    admin = "operationType" in payload and "authDetails" in payload
    return (
        "realmId" in payload
        and "time" in payload
        and (admin or ("type" in payload and "clientId" in payload))
    )


def read_keycloak(payload: Json, received_at: datetime) -> AuditEvent:
    """The event of a Keycloak event. `received_at` is its time if it has no usable one."""
    event = _admin(payload) if "operationType" in payload else _user(payload)
    moment = _time(payload.get("time"))
    attributes = event.attributes | ({} if moment else {"occurred_at_from": "receipt"})
    event = replace(event, occurred_at=moment or received_at, attributes=attributes)
    try:
        return check(event)
    except InvalidEventError:
        # A field that the catalogue requires is missing, such as the user of a log-in: the codes stay.
        return replace(event, type=GENERIC_TYPE)


def _user(payload: Json) -> AuditEvent:
    code = _text(payload.get("type")) or ""
    base = code.removesuffix(_ERROR)
    failed = code.endswith(_ERROR) or bool(payload.get("error"))
    details = payload.get("details") if isinstance(payload.get("details"), dict) else {}
    assert isinstance(details, dict)
    user, client = truncation.identifier(_text(payload.get("userId"))), _text(payload.get("clientId"))
    type = _USER_TYPES.get(base, GENERIC_TYPE)
    if failed and base in _LOGINS:
        type = "user.login_failed"
    elif base == "PERMISSION_TOKEN" and not failed:
        type = GENERIC_TYPE
    service = base == "CLIENT_LOGIN"
    name = truncation.name(_text(details.get("username")))
    return _event(
        payload,
        code,
        type,
        failed=failed,
        actor=Actor(
            kind=ActorKind.SERVICE if service else ActorKind.USER,
            id=user or (truncation.identifier(client) if service else None),
            name=None if name == user else name,
        ),
        address=_text(payload.get("ipAddress")),
        session=_text(payload.get("sessionId")) or _text(details.get("code_id")),
        resources=(Resource(type="User", id=user),) if user and type.startswith("record.") else (),
        action=None,
        details=details,
    )


def _admin(payload: Json) -> AuditEvent:
    by = payload.get("authDetails")
    by = by if isinstance(by, dict) else {}
    operation = _text(payload.get("operationType")) or ""
    kind = _text(payload.get("resourceType")) or ""
    path = _text(payload.get("resourcePath")) or ""
    type, action = _OPERATIONS.get(operation, (GENERIC_TYPE, None))
    if kind in _ROLES:
        type = "role.changed"
    elif path.endswith("/impersonation"):
        type = "privilege.used"
    elif kind != "USER" and action is not None:
        type = "configuration.changed"
    subject = _subject(path)
    name = "".join(word.capitalize() for word in kind.split("_")) or "Resource"
    resource = Resource(type="User", id=subject) if subject and path.startswith("users/") else None
    if resource is None and path:
        resource = Resource(
            type=truncation.identifier(name) or "Resource", id=truncation.identifier(path) or "*"
        )
    return _event(
        payload,
        f"{operation} {kind}".strip(),
        type,
        failed=bool(payload.get("error")),
        actor=Actor(id=truncation.identifier(_text(by.get("userId")))),
        address=_text(by.get("ipAddress")),
        session=None,
        resources=(resource,) if resource else (),
        action=action,
        details={"resource_path": path, "client": _text(by.get("clientId"))},
    )


def _event(
    payload: Json,
    code: str,
    type: str,
    *,
    failed: bool,
    actor: Actor,
    address: str | None,
    session: str | None,
    resources: tuple[Resource, ...],
    action: Action | None,
    details: Json,
) -> AuditEvent:
    client = truncation.identifier(address)
    kept = dict(list(details.items())[:MAX_DETAILS]) | {"client_id": _text(payload.get("clientId"))}
    return AuditEvent(
        event_id=_event_id(payload),
        type=type,
        occurred_at=_EPOCH,
        source=Source(
            service=SERVICE,
            site=truncation.name(_text(payload.get("realmName")) or _text(payload["realmId"])),
        ),
        actor=actor,
        action=action,
        outcome=Outcome.MINOR_FAILURE if failed else Outcome.SUCCESS,
        outcome_reason=truncation.text(_text(payload.get("error"))),
        session=truncation.identifier(session),
        client=Client(address=client) if client else None,
        resources=resources,
        codes=(Coding(system=CODES, code=truncation.name(code)),),
        attributes={
            truncation.name(name) or "": truncation.name(value)
            for name, value in kept.items()
            if isinstance(value, str) and value
        },
    )


def _event_id(payload: Json) -> UUID:
    """Keycloak's id if it is a UUID; else the UUID version 5 of the content, so that a copy is a duplicate."""
    own = truncation.uuid(_text(payload.get("id")))
    return own or uuid5(_NAMESPACE, msgspec.json.encode(payload, order="deterministic").decode())


def _time(value: Any) -> datetime | None:
    """Milliseconds since the Unix epoch."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 10**14:
        return None
    moment = _EPOCH + timedelta(milliseconds=value)
    return moment if is_usable(moment) else None


def _subject(path: str) -> str | None:
    """The user in a path such as ``users/ID/role-mappings/realm``."""
    parts = path.split("/", 2)
    return truncation.identifier(parts[1]) if len(parts) > 1 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
