"""An issuer of tokens for `demo` and `up`: a key in the data folder, for whoever may read that folder."""

from __future__ import annotations

import base64
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from domain.errors import ConfigurationError

ISSUER = "audit-trail-development"
AUDIENCE = "audit-trail"
PRIVATE = "development-issuer.pem"
PUBLIC = "development-issuer.jwks.json"


def create_issuer(folder: Path) -> str:
    """Make the keys where there are none. Returns the entry of the setting `auth_issuers`."""
    private = folder / PRIVATE
    if not private.exists():
        key = Ed25519PrivateKey.generate()
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text)
        (folder / PUBLIC).write_text(json.dumps({"keys": [_public(key)]}), encoding="utf-8")
    return f"{ISSUER} {folder / PUBLIC}"


def issue(folder: Path, minutes: float, **claims: Any) -> str:
    """A token with `claims`. Raises `ConfigurationError` when no stack keeps its data in `folder`."""
    try:
        key = load_pem_private_key((folder / PRIVATE).read_bytes(), None)
    except OSError as exc:
        raise ConfigurationError(
            f"{folder} has no development issuer: start `audit-trail up` first, or name its folder with --data"
        ) from exc
    assert isinstance(key, Ed25519PrivateKey)
    now = int(time.time())
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + int(minutes * 60),
        "jti": secrets.token_hex(8),
    }
    return jwt.encode(said | claims, key, "EdDSA", headers={"kid": _public(key)["kid"]})


def _public(key: Ed25519PrivateKey) -> dict[str, str]:
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    x = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": x[:16], "x": x}
