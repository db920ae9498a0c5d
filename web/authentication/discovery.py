"""Where an issuer's keys are, and how they are fetched: bounded in time and size, and from nowhere else."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from domain.errors import ConfigurationError, UnavailableError
from web.authentication.key_sets import MOST_BYTES

_SECONDS = 5.0
"""For the whole of one answer."""
_CHUNK = 16 << 10


class _Discovery(msgspec.Struct):
    """OpenID Connect Discovery 1.0, section 3, as far as it is needed."""

    issuer: str
    jwks_uri: str


def fetcher(issuer: str, url: str | None, *, seconds: float = _SECONDS) -> Callable[[], bytes]:
    """Fetches the JWK Set at `url`, which the issuer's discovery document names when it is None.

    Raises `ConfigurationError` for an address that may not be asked. What it returns raises `ValueError` for a document
    that is none, and `UnavailableError` while the issuer is away or answers no HTTP; each answer may take `seconds`.
    """
    _check(url or issuer)

    def fetch() -> bytes:
        return _get(url or _discovered(issuer, seconds), seconds)

    return fetch


def _discovered(issuer: str, seconds: float) -> str:
    text = _get(issuer.rstrip("/") + "/.well-known/openid-configuration", seconds)
    try:
        document = msgspec.json.decode(text, type=_Discovery)
        _check(document.jwks_uri)
    except (msgspec.DecodeError, UnicodeError, RecursionError, ConfigurationError) as exc:
        raise ValueError("no discovery document with an https address of keys") from exc
    # Section 4.3: the document has to be this issuer's.
    if document.issuer != issuer:
        raise ValueError("the discovery document is not that of the issuer")
    return document.jwks_uri


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as exc:
        raise ConfigurationError(f"{url} is no address") from exc
    local = host in {"localhost", "127.0.0.1", "::1"}
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
        raise ConfigurationError(f"{url} is no https address, and keys are fetched from no other")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Keys come from where the setting, or the issuer, says and from nowhere else."""

    def redirect_request(self, *_: object) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirect)


def _get(url: str, seconds: float) -> bytes:
    until = time.monotonic() + seconds
    text = bytearray()
    try:
        with _opener.open(url, timeout=seconds) as answer:
            # The time-out is that of one look at the socket; an answer that drips would take for ever.
            while chunk := answer.read1(_CHUNK):
                text += chunk
                if len(text) > MOST_BYTES:
                    raise ValueError("the answer is too long")
                if time.monotonic() > until:
                    raise UnavailableError("the issuer answers too slowly")
    except (urllib.error.URLError, http.client.HTTPException, OSError) as exc:
        raise UnavailableError("the issuer is away") from exc
    return bytes(text)
