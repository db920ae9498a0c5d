"""Tokens of an issuer that the tests are, and what takes them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from web.authentication.bearer import IssuedTokens
from web.authentication.combined import Authentication
from web.authentication.key_sets import parse_key_set

ISSUER = "https://issuer.example"
AUDIENCE = "audit-trail"
KEY_ID = "test-key"
KEY = Ed25519PrivateKey.generate()
JWK = {
    "kty": "OKP",
    "crv": "Ed25519",
    "kid": KEY_ID,
    "use": "sig",
    "alg": "EdDSA",
    "x": base64.urlsafe_b64encode(KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    .decode()
    .rstrip("="),
}


class Keys:
    """The key set of the tests' issuer."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self._keys = parse_key_set(json.dumps({"keys": list(keys or (JWK,))}).encode())

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """See `web.authentication.key_sets.KeySet`."""
        return self._keys.get(key_id)


def token(
    *roles: str, subject: str = "tester", key: Any = KEY, algorithm: str = "EdDSA", **claims: Any
) -> str:
    """A token for an hour; `claims` go before what it has by itself, and None leaves one out."""
    now = int(time.time())
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "iat": now,
        "exp": now + 3600,
        "roles": list(roles),
    } | claims
    given = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(given, key, algorithm, headers={"kid": KEY_ID})


def bearer(*roles: str, **claims: Any) -> dict[str, str]:
    """The header with such a token."""
    return {"Authorization": f"Bearer {token(*roles, **claims)}"}


def authentication(kinds: Sequence[Any] = ()) -> Authentication:
    """Takes the tests' tokens, and other kinds."""
    return Authentication([IssuedTokens({ISSUER: Keys()}, [AUDIENCE]), *kinds])


ADMIN = bearer("admin")
"""For tests of what is not about access."""
