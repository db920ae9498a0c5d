"""OCSF objects made of the parts of an event. A part that the event lacks is None, and the attribute is absent.

Where the schema requires an object that the event can't fill, its name is ``Unknown``, as OCSF tells.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from domain.event import Action, ActorKind, AuditEvent, Device
from interop.leaf import LeafFacts

Json = dict[str, Any]

UNKNOWN = "Unknown"
_METHODS = frozenset(
    (
        "CONNECT",
        "COPY",
        "DELETE",
        "GET",
        "HEAD",
        "LOCK",
        "MERGE",
        "MOVE",
        "OPTIONS",
        "PATCH",
        "POST",
        "PUT",
        "TRACE",
    )
)
"""The methods that are in the schema's enumeration and in use; any other stays in `api` and in `unmapped`."""
_USER_TYPES = {
    ActorKind.USER: (1, "User"),
    ActorKind.PATIENT: (99, "Patient"),
    ActorKind.SERVICE: (4, "Service"),
    ActorKind.DEVICE: (3, "System"),
    ActorKind.ORGANIZATION: (99, "Organization"),
    ActorKind.UNKNOWN: (0, UNKNOWN),
}
_ACTIONS = {
    Action.CREATE: "create",
    Action.READ: "read",
    Action.UPDATE: "update",
    Action.DELETE: "delete",
    Action.EXECUTE: "execute",
}
_ACCOUNTS = frozenset({"User", "Account", "Person", "Practitioner", "PractitionerRole", "RelatedPerson"})
"""Types of resources that stand for a user: whose roles were changed."""
_EMERGENCY = "emergency access"


def actor(event: AuditEvent, _: LeafFacts) -> Json:
    """The actor and their session."""
    return present(user=user(event), session=session(event))


def user(event: AuditEvent, _: LeafFacts | None = None) -> Json:
    """The actor as a user. One without id and name is unknown."""
    who = event.actor
    type_id, type = _USER_TYPES[who.kind]
    return present(uid=who.id, name=who.name or (None if who.id else UNKNOWN), type_id=type_id, type=type)


def managed_user(event: AuditEvent, leaf: LeafFacts) -> Json:
    """The user whose roles or privileges change: the resource that stands for one, or else the actor."""
    if event.type == "role.changed":
        account = managed_account(event)
        return {"name": UNKNOWN} if account is None else {"uid": account}
    return user(event, leaf)


def managed_account(event: AuditEvent) -> str | None:
    """The id of the first resource that stands for a user."""
    return next((resource.id for resource in event.resources if resource.type in _ACCOUNTS), None)


def privileges(event: AuditEvent, _: LeafFacts) -> list[str] | None:
    """What a break-glass access gives and takes."""
    return [_EMERGENCY] if event.type.startswith("emergency_access.") else None


def iam_roles(event: AuditEvent, _: LeafFacts) -> list[Json] | None:
    """The roles that were assigned or removed; after a change of both, those that hold now."""
    if event.type != "role.changed":
        return None
    before, after = map(dict.fromkeys, roles_before_and_after(event))
    added, gone = (
        [role for role in after if role not in before],
        [role for role in before if role not in after],
    )
    named = list(after) if bool(added) == bool(gone) else added or gone
    return [{"name": role} for role in named] or None


def roles_before_and_after(event: AuditEvent) -> tuple[list[str], list[str]]:
    """The roles in the changes of fields called so, such as ``roles``, as far as they are texts or lists of texts."""
    changes = [change for change in event.changes if "role" in change.path.lower()]
    before = [role for change in changes for role in _texts(change.before)]
    return before, [role for change in changes for role in _texts(change.after)]


def session(event: AuditEvent, _: LeafFacts | None = None) -> Json | None:
    """The session."""
    return {"uid": event.session} if event.session else None


def src_endpoint(event: AuditEvent, leaf: LeafFacts) -> Json:
    """Where the request came from, for the classes that require it."""
    return known_src_endpoint(event, leaf) or {"name": UNKNOWN}


def known_src_endpoint(event: AuditEvent, _: LeafFacts) -> Json | None:
    """Where the request came from: an IP address, or the name of a machine."""
    address = event.client.address if event.client else None
    if address is None:
        return None
    try:
        return {"ip": str(ipaddress.ip_address(address))}
    except ValueError:
        return {"hostname": address}


def api(event: AuditEvent, _: LeafFacts) -> Json:
    """The operation: the request's method and path where there was one, or else the action."""
    request = event.request
    parts = [request.method, request.path] if request is not None else []
    operation = " ".join(filter(None, parts)) or (_ACTIONS[event.action] if event.action else event.type)
    return present(
        operation=operation,
        service=source_service(event),
        request=present(uid=event.correlation_id) or None,
    )


def source_service(event: AuditEvent, _: LeafFacts | None = None) -> Json:
    """The reporting service."""
    return present(name=event.source.service, uid=event.source.instance or None)


def http_request(event: AuditEvent, _: LeafFacts) -> Json | None:
    """Method, path and user agent."""
    request = event.request
    if request is None:
        return None
    return (
        present(
            http_method=request.method if request.method in _METHODS else None,
            url=_url(request.path),
            user_agent=event.client.user_agent if event.client else None,
        )
        or None
    )


def _url(path: str | None) -> Json | None:
    if not path:
        return None
    before, mark, query = path.partition("?")
    return present(path=before, query_string=query if mark else None)


def http_response(event: AuditEvent, _: LeafFacts) -> Json | None:
    """The status, and the time until the answer in milliseconds."""
    request = event.request
    if request is None or request.status is None:
        return None
    return present(
        code=request.status, latency=None if request.duration_ms is None else round(request.duration_ms)
    )


def resources(event: AuditEvent, _: LeafFacts) -> list[Json] | None:
    """The patients, and then the resources, each with its type."""
    patients = [present(type="Patient", uid=each.id, name=each.name) for each in event.patients]
    others = [
        present(
            type=each.type,
            uid=each.id,
            version=each.version,
            labels=[each.data_category] if each.data_category else None,
        )
        for each in event.resources
    ]
    return [*patients, *others] or None


def database(event: AuditEvent, _: LeafFacts) -> Json:
    """The records of the reporting service; what kind of store it has is unknown."""
    return {"name": event.source.service, "type_id": 0, "type": UNKNOWN}


def app(event: AuditEvent, _: LeafFacts) -> Json:
    """The reporting service as a product."""
    return present(name=event.source.service, uid=event.source.instance or None)


def device(event: AuditEvent, _: LeafFacts) -> Json | None:
    """The device that the event is about."""
    return None if event.device is None else _device(event.device)


def device_or_source(event: AuditEvent, _: LeafFacts) -> Json:
    """The device; where the event has none, the system whose configuration changed: the reporting service."""
    if event.device is not None:
        return _device(event.device)
    return present(
        name=event.source.service, instance_uid=event.source.instance or None, type_id=99, type="Service"
    )


def _device(given: Device) -> Json:
    """What kind of device it is, events don't say."""
    return present(uid=given.id, name=given.name, type_id=0, type=UNKNOWN)


def log_name(_: AuditEvent, leaf: LeafFacts) -> str:
    """The log, by its origin."""
    return leaf.origin


def finding_info(event: AuditEvent, leaf: LeafFacts) -> Json:
    """The finding. Its id is the same for the event that reports it and for those that end it."""
    number = event.attributes.get("finding")
    return present(
        uid=str(number) if isinstance(number, int | str) else f"{leaf.origin}#{leaf.position}",
        title=event.type,
        desc=event.outcome_reason or event.reason,
    )


BUILDERS: dict[str, Callable[[AuditEvent, LeafFacts], object]] = {
    "actor": actor,
    "api": api,
    "app": app,
    "database": database,
    "device": device,
    "device_or_source": device_or_source,
    "finding_info": finding_info,
    "http_request": http_request,
    "http_response": http_response,
    "iam_roles": iam_roles,
    "known_src_endpoint": known_src_endpoint,
    "log_name": log_name,
    "managed_user": managed_user,
    "privileges": privileges,
    "resources": resources,
    "service": source_service,
    "session": session,
    "src_endpoint": src_endpoint,
    "user": user,
}
NAMES = {"device_or_source": "device", "known_src_endpoint": "src_endpoint", "managed_user": "user"}
"""The attribute that a builder fills, where it is not that of its name."""


def present(**values: object) -> Json:
    """The values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
