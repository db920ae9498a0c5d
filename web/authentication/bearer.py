"""Tokens of an issuer: JSON Web Tokens, checked as RFC 8725 advises."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jwt
from cachetools import TLRUCache

from domain.access.principal import Principal
from domain.errors import UnauthenticatedError
from web.authentication.claims import ClaimNames, principal_from
from web.authentication.key_sets import KeySet

_LONGEST = 16 << 10
_LEEWAY = 30
"""The accepted clock difference in seconds."""
_REMEMBERED = 10_000
_REMEMBERED_SECONDS = 60.0
"""Seconds before a valid token is checked again: a withdrawn key takes effect then."""
_INVALID = "invalid_token"
_TYPES = frozenset({"jwt", "at+jwt"})
"""Accepted values of `typ`, if present (RFC 8725, section 3.11): an issuer signs other tokens with the same key, such
as logout tokens."""


class Authenticator(Protocol):
    """Finds the principal of a token."""

    async def principal(self, token: str) -> Principal | None:
        """The principal; None for a token of another kind.

        Raises `UnauthenticatedError` for an invalid token, `UnavailableError` while it can't be checked.
        """
        ...


def _remembered_until(_digest: bytes, principal: Principal, now: float) -> float:
    assert principal.expires_at is not None
    return min(principal.expires_at.timestamp(), now + _REMEMBERED_SECONDS)


class IssuedTokens:
    """Tokens of trusted issuers. Only for the event loop's thread."""

    def __init__(
        self,
        issuers: Mapping[str, KeySet],
        audiences: Sequence[str],
        names: ClaimNames | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuers = issuers
        self._audiences = list(audiences)
        self._names = names or ClaimNames()
        self._clock = clock
        self._good: TLRUCache[bytes, Principal] = TLRUCache(_REMEMBERED, _remembered_until, timer=clock)

    async def principal(self, token: str) -> Principal | None:
        """The principal of a token, as `Authenticator` says."""
        if token.count(".") != 2:
            return None
        digest = hashlib.sha256(token.encode()).digest()
        known = self._good.get(digest)
        if known is not None:
            return known
        claims = await self._claims(token, self._audiences)
        try:
            found = principal_from(claims, self._names)
        except ValueError as exc:
            raise UnauthenticatedError("the token is not valid", code=_INVALID) from exc
        self._good[digest] = found
        return found

    async def of_sign_in(
        self, access_token: str, id_token: str, *, issuer: str, client_id: str, nonce: str
    ) -> Principal:
        """The principal of a sign-in by OpenID Connect: that of the access token if the API accepts it.

        Else that of the ID token (OpenID Connect Core 1.0, section 3.1.3.7), which must be of `issuer`, for
        `client_id`, and have `nonce`. Raises `UnauthenticatedError`, or `UnavailableError` while the keys can't be
        fetched.
        """
        claims = await self._claims(id_token, [client_id])
        if claims["iss"] != issuer or claims.get("nonce") != nonce:
            raise UnauthenticatedError("the ID token belongs to another sign-in", code=_INVALID)
        try:
            found = await self.principal(access_token)
        except UnauthenticatedError:
            found = None
        if found is None:
            try:
                return principal_from(claims, self._names)
            except ValueError as exc:
                raise UnauthenticatedError("the ID token is not valid", code=_INVALID) from exc
        if (found.id, found.issuer) != (claims["sub"], issuer):
            raise UnauthenticatedError("the two tokens are of different subjects", code=_INVALID)
        return found

    async def _claims(self, token: str, audiences: Sequence[str]) -> dict[str, Any]:
        if len(token) > _LONGEST:
            raise UnauthenticatedError("the token is too long", code=_INVALID)
        try:
            header = jwt.get_unverified_header(token)
            unverified = jwt.decode(token, options={"verify_signature": False})
            key_id, issuer = header.get("kid"), unverified.get("iss")
            keys = self._issuers.get(issuer) if isinstance(issuer, str) else None
            if not _is_access_token(header.get("typ")):
                raise UnauthenticatedError("the token is of another kind", code=_INVALID)
            # No critical extension is supported (RFC 7515, section 4.1.11).
            if keys is None or "crit" in header or not isinstance(key_id, str | None):
                raise UnauthenticatedError("the issuer of the token is not trusted", code=_INVALID)
            key = await keys.find(key_id)
            if key is None:
                raise UnauthenticatedError("the token's key is not one of the issuer's", code=_INVALID)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=audiences,
                issuer=issuer,
                leeway=_LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError as exc:
            raise UnauthenticatedError("the token has expired", code=_INVALID) from exc
        except jwt.InvalidAudienceError as exc:
            raise UnauthenticatedError("the token is for another audience", code=_INVALID) from exc
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError, OverflowError) as exc:
            raise UnauthenticatedError("the token is not valid", code=_INVALID) from exc
        return claims


def _is_access_token(type: Any) -> bool:
    if type is None:
        return True
    # The prefix is optional (RFC 7515, section 4.1.9), and case does not matter.
    return isinstance(type, str) and type.lower().removeprefix("application/") in _TYPES
