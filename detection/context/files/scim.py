"""SCIM 2.0: the staff of ListResponses of Users (RFC 7644, section 3.4.2; RFC 7643, sections 4.1 and 4.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct, field

from detection.context.files.resources import Pages, parsed, read_document
from detection.context.files.source import Found, Source, Tally
from detection.context.values import Given
from domain.errors import Reason, RejectedError
from interop.fhir.elements import mapping, objects, string

_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
_MAX_SCHEMAS = 10_000
"""Bytes of the list of schemas."""
_LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


class _ListResponse(Struct, rename={"total": "totalResults", "resources": "Resources"}):
    schemas: msgspec.Raw = msgspec.Raw(b"[]")
    total: int | None = None
    resources: list[msgspec.Raw] = field(default_factory=list)


class ScimReader:
    """Reads the pages of one list, each a file."""

    def __init__(self) -> None:
        self._pages = Pages()

    def read(self, source: Source, tally: Tally) -> Iterator[Found]:
        """The rows of a page. Raises `RejectedError` that names file, user and column."""
        try:
            page = msgspec.json.decode(read_document(source), type=_ListResponse)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
            raise RejectedError(
                Reason.INVALID_JSON, f"this is no ListResponse of SCIM: {exc}", field=source.name
            ) from exc
        if f'"{_LIST}"'.encode() not in bytes(page.schemas)[:_MAX_SCHEMAS]:
            raise RejectedError(Reason.UNKNOWN_FORMAT, f"write {_LIST}", field=f"{source.name}, schemas")
        self._pages.add(len(page.resources), page.total, last=True)
        for number, raw in enumerate(page.resources):
            place = f"{source.name}, Resources[{number}]"
            user = parsed(raw, place)
            tally.read += 1
            kind = string(mapping(user.get("meta")).get("resourceType")) or "User"
            if kind != "User":
                tally.leave_out(kind)
                continue
            yield Found(place, _staff(user))

    def finish(self) -> None:
        """Raise `RejectedError` when the files lack users that the list says it has."""
        self._pages.check("users")


def _staff(user: dict[str, Any]) -> dict[str, Given]:
    work, name = mapping(user.get(_ENTERPRISE)), mapping(user.get("name"))
    id = string(user.get("userName")) or ""
    others = [string(user.get("id")), string(user.get("externalId"))]
    department = string(work.get("department"))
    active = user.get("active")
    return {
        "id": id,
        "other_ids": [each for each in others if each and each != id],
        "name": string(user.get("displayName")) or string(name.get("formatted")),
        "family_name": string(name.get("familyName")),
        "departments": [department] if department else [],
        "roles": [each for each in map(_value, objects(user.get("roles"))) if each],
        "address": _address(objects(user.get("addresses"))),
        "active": active if active is None or isinstance(active, bool) else str(active),
        "supervisor": _manager(work.get("manager")),
        "email": _email(objects(user.get("emails"))),
    }


def _email(emails: list[dict[str, Any]]) -> str | None:
    """The address at work, of several the primary one. A private address gets no notice."""
    work = [each for each in emails if each.get("type") in {"work", None}]
    work.sort(key=lambda each: each.get("primary") is not True)
    return string(work[0].get("value")) if work else None


def _value(item: dict[str, Any]) -> str | None:
    return string(item.get("value")) or string(item.get("display"))


def _manager(manager: Any) -> str | None:
    """The id of the manager. Some servers write it without an object around it."""
    return string(mapping(manager).get("value")) or string(manager)


def _address(addresses: list[dict[str, Any]]) -> str | None:
    """The home address. That of the place of work is the same for all."""
    home = next((each for each in addresses if each.get("type") == "home"), None)
    if home is None:
        return None
    parts = (string(home.get(name)) for name in ("streetAddress", "postalCode", "locality"))
    return " ".join(part for part in parts if part) or string(home.get("formatted"))
