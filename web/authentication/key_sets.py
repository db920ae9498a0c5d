"""The public keys of an issuer (RFC 7517): from a file, or fetched, cached, rotated and bounded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import jwt
import msgspec
import structlog
from cachetools import TTLCache
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from domain.errors import ConfigurationError, UnavailableError
from domain.json_parsing import decoder_of
from event_store.files.folders import read_file

log = structlog.get_logger(__name__)

_ALGORITHM_OF: Mapping[tuple[str, str | None], str] = {
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}
"""The only algorithm for each type of key: a token can't choose another (RFC 8725, section 3.1)."""
_LEAST_RSA_BITS = 2048
MOST_BYTES = 256 << 10
_MOST_KEYS = 100
_LONGEST_ID = 256
_PUBLIC = frozenset({"kty", "crv", "x", "y", "n", "e", "kid"})
"""The members of a key that are read. Private members, published by mistake, are ignored."""
_FRESH_SECONDS = 300.0
"""How long fetched keys are used before they are fetched again."""
_STALE_SECONDS = 24 * 3600.0
"""How long fetched keys are used while the issuer is away."""
_PAUSE_SECONDS = 10.0
"""The time between two fetches that renew known keys, after a failed fetch, and between two of one unknown key."""
_PACE_SECONDS = 1.0
"""The shortest time between two fetches, so that tokens with unknown keys do not flood the issuer."""
_MOST_UNKNOWN = 1000
"""The number of unknown key ids that are remembered."""
_PATIENCE_SECONDS = 1.0
"""How long a token with a known key waits for a new fetch."""
_LONG_PATIENCE_SECONDS = 15.0
"""How long a token with an unknown key waits for one fetch: longer than a fetch takes."""

_AWAY = "the keys of the issuer can't be fetched"

Keys = Mapping[str | None, jwt.PyJWK]


class _JwkSet(msgspec.Struct):
    keys: list[Any]


_decode = decoder_of(_JwkSet)


class KeySet(Protocol):
    """Finds a key by its id."""

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key; None for an unknown id. Raises `UnavailableError` while the keys can't be fetched."""
        ...


def parse_key_set(text: bytes) -> Keys:
    """The usable keys of a JWK Set by their ids. Raises `ValueError` when it is invalid.

    Other keys (for encryption, symmetric, on other curves, short RSA keys) are left out. A key without an id is used if
    it is the only one.
    """
    try:
        entries = _decode(text).keys
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
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
    if not isinstance(entry, dict):
        return None
    algorithm = _algorithm(entry)
    if algorithm is None or not _is_text(entry.get("kid")) or len(entry.get("kid") or "") > _LONGEST_ID:
        return None
    try:
        key = jwt.PyJWK({name: entry[name] for name in _PUBLIC & entry.keys()}, algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    short = isinstance(key.key, RSAPublicKey) and key.key.key_size < _LEAST_RSA_BITS
    return None if short else key


def _algorithm(entry: Mapping[str, Any]) -> str | None:
    """The algorithm for the signatures of a key; None for an unsupported key."""
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    type, curve = entry.get("kty"), entry.get("crv")
    found = _ALGORITHM_OF.get((type, curve)) if isinstance(type, str) and _is_text(curve) else None
    return found if entry.get("alg", found) == found else None


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


class FileKeys:
    """The keys of a file that holds a JWK Set. It is read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed: tuple[int, int, int] | None = None
        self._failing = False
        self._keys: Keys = {}
        self._read()

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key of an id, as `KeySet` says."""
        try:
            self._read()
        except ConfigurationError:
            # It may be half written: the known keys stay valid. Logged once, not for each request.
            if not self._failing:
                log.warning("issuer_keys_not_read")
            self._failing = True
        return _pick(self._keys, key_id)

    def _read(self) -> None:
        try:
            state = self._path.stat()
            changed = (state.st_mtime_ns, state.st_size, state.st_ino)
            if changed != self._changed:
                self._keys = parse_key_set(read_file(self._path, MOST_BYTES))
                self._changed = changed
        except (OSError, ValueError) as exc:
            raise ConfigurationError(f"{self._path} is no readable JWK Set") from exc
        self._failing = False


class FetchedKeys:
    """The keys of an issuer on the network. `fetch` blocks, and runs in a thread; one fetch serves all waiting tokens.

    `fetch` raises `ValueError` or `UnavailableError`; `issuer` is the name in the log. For the event loop's thread.
    """

    def __init__(
        self,
        fetch: Callable[[], bytes],
        run: Callable[[Callable[[], bytes]], Awaitable[bytes]] = asyncio.to_thread,
        *,
        issuer: str = "",
        clock: Callable[[], float] = time.monotonic,
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._run = run
        self._clock = clock
        self._patience = patience
        self._fetching: asyncio.Task[None] | None = None
        self._keys: Keys = {}
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._failed = False
        self._unknown: TTLCache[str | None, bool] = TTLCache(_MOST_UNKNOWN, _PAUSE_SECONDS, timer=clock)

    async def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key of an id. An unknown key may be new: only a fetch that began after the query decides.

        Raises `UnavailableError` when that fetch fails.
        """
        key = _pick(self._keys, key_id)
        age = self._clock() - self._fetched
        if key is None or age > _STALE_SECONDS:
            return await self._find_new(key_id)
        if age > _FRESH_SECONDS and self._clock() - self._tried >= _PAUSE_SECONDS:
            await self._refresh(self._patience)
            key = _pick(self._keys, key_id)
        return key

    async def _find_new(self, key_id: str | None) -> jwt.PyJWK | None:
        if key_id in self._unknown or len(key_id or "") > _LONGEST_ID:
            return None
        under_way = self._fetching is not None and not self._fetching.done()
        if not under_way and self._failed and self._clock() - self._tried < _PAUSE_SECONDS:
            raise UnavailableError(_AWAY)
        # A fetch under way may have been answered before the issuer had the key; the next one was not.
        for _ in range(2 if under_way else 1):
            if not await self._refresh(_LONG_PATIENCE_SECONDS) or self._failed:
                raise UnavailableError(_AWAY)
            key = _pick(self._keys, key_id)
            if key is not None:
                return key
        self._unknown[key_id] = True
        return None

    async def _refresh(self, patience: float) -> bool:
        """Wait for the fetch that is under way, or a new one. False when it takes longer than `patience`."""
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch_now())
        # A cancelled request cancels no fetch, and each request waits for a limited time.
        done, _ = await asyncio.wait({self._fetching}, timeout=patience)
        return bool(done)

    async def _fetch_now(self) -> None:
        await asyncio.sleep(min(_PACE_SECONDS, max(0.0, self._tried + _PACE_SECONDS - self._clock())))
        self._tried = self._clock()
        try:
            self._keys = parse_key_set(await self._run(self._fetch))
        except (ValueError, UnavailableError) as exc:
            why = str(exc) if isinstance(exc, UnavailableError) else "what it answers can't be used"
            log.warning("issuer_keys_not_fetched", issuer=self._issuer, why=why)
            self._failed = True
            return
        self._failed = False
        self._fetched = self._clock()


def _pick(keys: Keys, key_id: str | None) -> jwt.PyJWK | None:
    if key_id in keys:
        return keys[key_id]
    return next(iter(keys.values())) if key_id is None and len(keys) == 1 else keys.get(None)
