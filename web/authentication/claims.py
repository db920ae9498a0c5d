"""The principal of a token's claims. The names of the claims and of the roles are settings."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, field

from domain.access.principal import Principal, Role
from domain.event import ActorKind

_MOST = 200
"""The number of values of one claim that are read."""
_LONGEST = 256
_REFERENCE = re.compile(r"(?:.*/)?(?P<type>[A-Z][A-Za-z]*)/(?P<id>[^/?#|\s]+)(?:/_history/[^/?#|\s]+)?")
"""A FHIR reference, relative or absolute, with or without a version."""
_LATEST = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp())
"""Some issuers write "never" as a year beyond the calendar."""


class ClaimNames(Struct, frozen=True, kw_only=True):
    """The claim for each field: its name, or a path such as ``realm_access.roles``.

    `role_map` maps the issuer's names of roles to ours. When it is empty, the issuer uses our names.
    """

    roles: str = "roles"
    patients: str = "patient"
    sources: str = "sources"
    devices: str = "devices"
    actors: tuple[str, ...] = ("sub", "fhirUser")
    name: str = "name"
    purpose_of_use: str = "purpose_of_use"
    role_map: Mapping[str, Role] = field(default_factory=dict)


def principal_from(claims: Mapping[str, Any], names: ClaimNames) -> Principal:
    """The principal of verified claims. Unknown roles are ignored. Raises `ValueError` for an odd subject.

    The session is the token's `jti`, else `sid`, else a digest of issuer, subject and time of issue.
    """
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST:
        raise ValueError("no subject that can be recorded")
    roles = frozenset(_roles(claims, names))
    sources = tuple(_values(claims, names.sources))
    if not sources and _at(claims, names.sources) is not None:
        # Without the claim a publisher may report as any service; an unusable claim must not mean the same.
        roles -= {Role.PUBLISHER}
    client = _text(claims.get("client_id")) or _text(claims.get("azp"))
    return Principal(
        id=subject,
        roles=roles,
        kind=_kind(roles, subject, client),
        name=_text(_at(claims, names.name)),
        issuer=_text(claims.get("iss")),
        session=_text(claims.get("jti")) or _text(claims.get("sid")) or _digest(claims),
        client_id=client,
        actors=tuple(dict.fromkeys(_actors(claims, names))),
        patients=tuple(_without_type(value, "Patient") for value in _values(claims, names.patients)),
        sources=sources,
        devices=tuple(_without_type(value, "Device") for value in _values(claims, names.devices)),
        purpose_of_use=tuple(_words(claims, names.purpose_of_use)),
        expires_at=datetime.fromtimestamp(min(int(claims["exp"]), _LATEST), UTC),
    )


def _roles(claims: Mapping[str, Any], names: ClaimNames) -> Iterator[Role]:
    for value in _words(claims, names.roles):
        if names.role_map:
            if value in names.role_map:
                yield names.role_map[value]
        elif value in set(Role):
            yield Role(value)


def _kind(roles: frozenset[Role], subject: str, client: str | None) -> ActorKind:
    if roles == {Role.PATIENT}:
        return ActorKind.PATIENT
    # RFC 9068, section 2.2: in a token that a client got for itself, the subject is the client.
    return ActorKind.SERVICE if client is not None and client == subject else ActorKind.USER


def _actors(claims: Mapping[str, Any], names: ClaimNames) -> Iterator[str]:
    for name in names.actors:
        for value in _values(claims, name):
            yield _as_events_name_it(value) if name.endswith("fhirUser") else value


def _as_events_name_it(reference: str) -> str:
    """The actor's id in events that come as FHIR (see `interop.fhir.elements.Target.key`).

    It is ``Practitioner/17`` without the server's address, and a patient's bare id. The bare id of staff is not given:
    it may belong to somebody else.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        return reference
    return match["id"] if match["type"] == "Patient" else f"{match['type']}/{match['id']}"


def _without_type(value: str, type: str) -> str:
    match = _REFERENCE.fullmatch(value)
    return match["id"] if match is not None and match["type"] == type else value


def _values(claims: Mapping[str, Any], name: str) -> list[str]:
    """The texts of a claim: a list, or one text. An id is never split: it may contain blanks."""
    return _usable(_at(claims, name))


def _words(claims: Mapping[str, Any], name: str) -> list[str]:
    """The same for a claim whose text is split at blanks (as `scope`, RFC 8693 section 4.2).

    A list may hold codings too (`purpose_of_use` of IHE IUA, section 3.71.4.2.2.1).
    """
    found = _at(claims, name)
    if isinstance(found, str):
        return _usable(found.split())
    if isinstance(found, list):
        return _usable([each.get("code") if isinstance(each, Mapping) else each for each in found])
    return []


def _usable(found: Any) -> list[str]:
    values = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    return [value for value in values[:_MOST] if isinstance(value, str) and _may_be_stored(value)]


def _may_be_stored(value: str) -> bool:
    """Whether an event can hold the value: no query is made for others."""
    surrogate = any("\ud800" <= letter <= "\udfff" for letter in value)
    return 0 < len(value) <= _LONGEST and "\0" not in value and not surrogate


def _at(claims: Mapping[str, Any], name: str) -> Any:
    # First the name as a whole: custom claims are often URLs, which contain dots.
    found: Any = claims
    for part in [name] if name in claims else name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _text(value: Any) -> str | None:
    return value[:_LONGEST] if isinstance(value, str) and value else None


def _digest(claims: Mapping[str, Any]) -> str:
    text = f"{claims.get('iss')} {claims.get('sub')} {claims.get('iat')} {claims.get('exp')}"
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
