"""An issuer of tokens for `demo` and `up`: its key is in the data folder."""

from __future__ import annotations

import base64
import json
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
from event_store.files.folders import Folder, read_file

ISSUER = "audit-trail-development"
AUDIENCE = "audit-trail"
PRIVATE = "development-issuer.pem"
PUBLIC = "development-issuer.jwks.json"
_MOST_BYTES = 65_536


def create_issuer(folder: Path) -> str:
    """Create the keys when there are none. Returns the entry of the setting `auth_issuers`; `folder` is absolute.

    The entry has the URL of the file, since a path may contain a comma, which ends an entry.
    """
    public = folder / PUBLIC
    with Folder.open(folder) as opened:
        if not opened.has_file(PRIVATE):
            new = Ed25519PrivateKey.generate()
            opened.replace(PRIVATE, new.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        opened.replace(PUBLIC, json.dumps({"keys": [_public(_read(folder))]}).encode(), 0o644)
    return f"{ISSUER} {public.as_uri()}"


def has_issuer(folder: Path) -> bool:
    """Whether tokens can be made from `folder`."""
    return (folder / PRIVATE).is_file()


def _read(folder: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(read_file(folder / PRIVATE, _MOST_BYTES), None)
    except OSError as exc:
        raise ConfigurationError(
            f"{folder} has no development issuer: start `audit-trail up` first, or name its folder with --data"
        ) from exc
    except ValueError as exc:
        raise ConfigurationError(
            f"{folder / PRIVATE} holds no key: remove it, and a new one is made"
        ) from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"{folder / PRIVATE} holds no key: remove it, and a new one is made")
    return key


def issue(folder: Path, minutes: float, **claims: Any) -> str:
    """A token with `claims`. Raises `ConfigurationError` when no stack keeps its data in `folder`."""
    key = _read(folder)
    now = int(time.time())
    standard = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + int(minutes * 60),
        "jti": secrets.token_hex(8),
    }
    return jwt.encode(standard | claims, key, "EdDSA", headers={"kid": _public(key)["kid"]})


def _public(key: Ed25519PrivateKey) -> dict[str, str]:
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    x = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": x[:16], "x": x}
