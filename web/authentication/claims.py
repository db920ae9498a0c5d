"""What the claims of a token say of its bearer. Which claim says what, and what roles are called, are settings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, field

from domain.access.principal import Principal, Role
from domain.event import ActorKind

_MOST = 200
"""Values of one claim that are looked at."""
_LONGEST = 256


class ClaimNames(Struct, frozen=True, kw_only=True):
    """The claim for each thing: its name, or a path such as ``realm_access.roles``.

    `role_map` is from the issuer's names of roles to ours; when it is empty, names that are ours count.
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
    """The principal of verified claims. Roles that are not known give nothing.

    The session is the token's `jti`, else `sid`, else a digest of issuer, subject and time of issue.
    """
    subject = str(claims["sub"])[:_LONGEST]
    roles = frozenset(_roles(claims, names))
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
        patients=tuple(_last(value, "Patient") for value in _values(claims, names.patients)),
        sources=tuple(_values(claims, names.sources)),
        devices=tuple(_values(claims, names.devices)),
        purpose_of_use=tuple(_values(claims, names.purpose_of_use)),
        expires_at=datetime.fromtimestamp(int(claims["exp"]), UTC),
    )


def _roles(claims: Mapping[str, Any], names: ClaimNames) -> Iterator[Role]:
    for value in _values(claims, names.roles):
        if names.role_map:
            if value in names.role_map:
                yield names.role_map[value]
        elif value in set(Role):
            yield Role(value)


def _kind(roles: frozenset[Role], subject: str, client: str | None) -> ActorKind:
    if roles == {Role.PATIENT}:
        return ActorKind.PATIENT
    # RFC 9068, section 2.2: of a token that a client got for itself, the subject is the client.
    return ActorKind.SERVICE if client is not None and client == subject else ActorKind.USER


def _actors(claims: Mapping[str, Any], names: ClaimNames) -> Iterator[str]:
    for name in names.actors:
        for value in _values(claims, name):
            # SMART App Launch: fhirUser is the address of the person's resource. Events name it without the server.
            yield "/".join(value.rsplit("/", 2)[-2:]) if name == "fhirUser" else value


def _last(value: str, type: str) -> str:
    return value.rsplit("/", 1)[-1] if f"{type}/" in value else value


def _values(claims: Mapping[str, Any], name: str) -> Sequence[str]:
    """The texts of a claim: a list of them, or one that blanks divide (as `scope` is, RFC 8693 section 4.2)."""
    found = _at(claims, name)
    values = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
    return [value for value in values[:_MOST] if isinstance(value, str) and 0 < len(value) <= _LONGEST]


def _at(claims: Mapping[str, Any], name: str) -> Any:
    # The name itself goes first: claims of one's own are often URLs, and hold dots.
    found: Any = claims
    for part in [name] if name in claims else name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _text(value: Any) -> str | None:
    return value[:_LONGEST] if isinstance(value, str) and value else None


def _digest(claims: Mapping[str, Any]) -> str:
    text = f"{claims.get('iss')} {claims.get('sub')} {claims.get('iat')} {claims.get('exp')}"
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
