"""The public keys of an issuer (RFC 7517): from a file, or fetched, cached, rotated and bounded."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import jwt
import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from domain.errors import ConfigurationError, UnavailableError

log = structlog.get_logger(__name__)

ALGORITHMS = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}
"""The one algorithm that each type of key is used with: a token can't choose another (RFC 8725, section 3.1)."""
_LEAST_RSA_BITS = 2048
_MOST_BYTES = 256 << 10
_MOST_KEYS = 100
_FETCH_SECONDS = 5.0
_FRESH_SECONDS = 300.0
"""How long fetched keys are used without asking again."""
_STALE_SECONDS = 24 * 3600.0
"""How long they are used while the issuer is away."""
_PAUSE_SECONDS = 10.0
"""Between two fetches at least: tokens with unknown keys ask nobody to death."""

Keys = Mapping[str | None, jwt.PyJWK]


class _JwkSet(msgspec.Struct):
    keys: list[Any]


class KeySet(Protocol):
    """Finds a key by its id."""

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """None when there is no such key. Raises `UnavailableError` while the keys can't be had."""
        ...


def parse_key_set(text: bytes) -> Keys:
    """The usable keys of a JWK Set by their ids. Raises `ValueError` when it is none.

    What we don't use (encryption, symmetric keys, other curves, short RSA keys) is left out. A key without an id is
    used when it is the only one.
    """
    try:
        entries = msgspec.json.decode(text, type=_JwkSet).keys
    except msgspec.DecodeError as exc:
        raise ValueError("no JWK Set") from exc
    found: dict[str | None, jwt.PyJWK] = {}
    for entry in entries[:_MOST_KEYS]:
        key = _usable(entry)
        if key is not None:
            found[key.key_id] = key
    if len(found) > 1:
        found.pop(None, None)
    return found


def _usable(entry: Any) -> jwt.PyJWK | None:
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    algorithm = ALGORITHMS.get(str(entry.get("kty")))
    if algorithm is None or entry.get("alg", algorithm) != algorithm:
        return None
    if entry.get("crv", "P-256") not in {"P-256", "Ed25519"}:
        return None
    try:
        key = jwt.PyJWK(entry, algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < _LEAST_RSA_BITS:
        return None
    return key


class FileKeys:
    """The keys of a file that holds a JWK Set. It is read again when it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed: int | None = None
        self._keys: Keys = {}
        self._read()

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """See `KeySet`."""
        try:
            self._read()
        except ConfigurationError:
            log.warning("issuer_keys_not_read")  # it may be half written; what was read before is still good
        return _pick(self._keys, key_id)

    def _read(self) -> None:
        try:
            changed = self._path.stat().st_mtime_ns
            if changed != self._changed:
                self._keys = parse_key_set(self._path.read_bytes()[:_MOST_BYTES])
                self._changed = changed
        except (OSError, ValueError) as exc:
            raise ConfigurationError(f"{self._path} is no readable JWK Set") from exc


class FetchedKeys:
    """The keys of an issuer on the network. `fetch` blocks, and runs in a thread; one fetch serves all who wait."""

    def __init__(
        self,
        fetch: Callable[[], bytes],
        run: Callable[[Callable[[], bytes]], Awaitable[bytes]] = asyncio.to_thread,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._run = run
        self._clock = clock
        self._lock = asyncio.Lock()
        self._keys: Keys = {}
        self._fetched = float("-inf")
        self._tried = float("-inf")

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """See `KeySet`. A key that is not known may be new: the issuer is asked, but not all the time."""
        key = _pick(self._keys, key_id)
        now = self._clock()
        if key is None or now - self._fetched > _FRESH_SECONDS:
            await self._refresh()
            key = _pick(self._keys, key_id)
        if self._clock() - self._fetched > _STALE_SECONDS:
            raise UnavailableError("the keys of the issuer can't be had")
        return key

    async def _refresh(self) -> None:
        async with self._lock:
            if self._clock() - self._tried < _PAUSE_SECONDS:
                return
            self._tried = self._clock()
            try:
                self._keys = parse_key_set(await self._run(self._fetch))
            except (ValueError, UnavailableError) as exc:
                log.warning("issuer_keys_not_fetched", error=type(exc).__name__)
                return
            self._fetched = self._clock()


def _pick(keys: Keys, key_id: str | None) -> jwt.PyJWK | None:
    if key_id in keys:
        return keys[key_id]
    return next(iter(keys.values())) if key_id is None and len(keys) == 1 else keys.get(None)


def fetcher(issuer: str, url: str | None) -> Callable[[], bytes]:
    """Fetches the JWK Set at `url`, which the issuer's discovery document names when it is None.

    OpenID Connect Discovery 1.0, section 4. Raises `ConfigurationError` for an address that may not be asked.
    """
    _check(url or issuer)

    def fetch() -> bytes:
        where = url or _discovered(issuer)
        return _get(where)

    return fetch


def _discovered(issuer: str) -> str:
    document = json.loads(_get(issuer.rstrip("/") + "/.well-known/openid-configuration"))
    where = document.get("jwks_uri") if isinstance(document, dict) else None
    # Section 4.3: the document has to be this issuer's.
    if not isinstance(where, str) or document.get("issuer") != issuer:
        raise ValueError("the discovery document is not that of the issuer")
    try:
        _check(where)
    except ConfigurationError as exc:
        raise ValueError("the keys are not at an https address") from exc
    return where


def _check(url: str) -> None:
    parts = urlsplit(url)
    local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if parts.hostname is None or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise ConfigurationError(f"{url} is no https address, and keys are fetched from no other")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Keys come from where the setting, or the issuer, says and from nowhere else."""

    def redirect_request(self, *_: object) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def _get(url: str) -> bytes:
    try:
        with _opener.open(url, timeout=_FETCH_SECONDS) as answer:
            text: bytes = answer.read(_MOST_BYTES + 1)
    except (urllib.error.URLError, OSError) as exc:
        raise UnavailableError("the issuer is away") from exc
    if len(text) > _MOST_BYTES:
        raise ValueError("the answer is too long")
    return text
