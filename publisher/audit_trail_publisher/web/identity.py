"""Who made a request: an actor and a session, from what the application has verified.

Nothing here verifies a token. The application does, and hands over the claims.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from audit_trail_publisher.event_text import identifier, name
from audit_trail_publisher.generated.event import Actor, ActorKind

_MOST_ROLES = 100


class Identity(Struct, frozen=True):
    """An actor, and the session or token that the actor uses."""

    actor: Actor
    session: str | None = None


class ClaimNames(Struct, frozen=True, kw_only=True):
    """The claims to read. The first that has a value is taken; ``realm_access.roles`` is a claim within a claim."""

    id: tuple[str, ...] = ("sub",)
    name: tuple[str, ...] = ("name", "preferred_username")
    roles: tuple[str, ...] = ("roles", "realm_access.roles", "groups")
    session: tuple[str, ...] = ("sid", "jti")


IdentityLike = Identity | Actor | str | Mapping[str, Any] | None
"""What an application may say: an identity, an actor, a user's id, the claims of a verified token, or nobody."""


def identity_of(who: IdentityLike, names: ClaimNames = ClaimNames()) -> Identity | None:  # noqa: B008 - frozen
    """The identity that an application means; None for nobody. Raises `TypeError` for anything else."""
    match who:
        case None | "":
            return None
        case Identity():
            return who
        case Actor():
            return Identity(who)
        case str():
            return Identity(Actor(id=identifier(who)))
        case Mapping():
            return identity_from_claims(who, names)
    raise TypeError(f"an actor, an id or claims are expected, not {type(who).__name__}")


def identity_from_claims(claims: Mapping[str, Any], names: ClaimNames = ClaimNames()) -> Identity | None:  # noqa: B008
    """The identity in verified claims; None without a subject.

    A token that a client got for itself names a service (RFC 9068, section 2.2). A delegated token names the actor in
    `act`, and in `sub` on whose behalf (RFC 8693, section 4.1).
    """
    subject = _text(claims, names.id)
    if subject is None:
        return None
    acting = claims.get("act")
    delegate = _text(acting, ("sub",)) if isinstance(acting, Mapping) else None
    id = delegate or subject
    actor = Actor(
        kind=ActorKind.SERVICE if id in {claims.get("client_id"), claims.get("azp")} else ActorKind.USER,
        id=identifier(id),
        # The other claims describe the subject.
        name=None if delegate else name(_text(claims, names.name)),
        roles=() if delegate else tuple(_roles(claims, names.roles)),
        on_behalf_of=identifier(subject) if delegate else None,
    )
    return Identity(actor, identifier(_text(claims, names.session)))


def _text(claims: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    found = (_at(claims, each) for each in names)
    return next((value for value in found if isinstance(value, str) and value.strip()), None)


def _roles(claims: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[str]:
    found = next((value for each in names if (value := _at(claims, each))), ())
    values = found.split() if isinstance(found, str) else found if isinstance(found, list | tuple) else ()
    for value in values[:_MOST_ROLES]:
        if isinstance(value, str) and (role := name(value)):
            yield role


def _at(claims: Mapping[str, Any], name: str) -> Any:
    # First the name as a whole: custom claims are often URLs, which contain dots.
    found: Any = claims
    for part in [name] if name in claims else name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
