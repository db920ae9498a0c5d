"""Finds and fetches an issuer's keys, within bounds of time and size, and only from the issuer's addresses."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from domain.errors import ConfigurationError, UnavailableError
from event_store.outgoing_http import Deadline, Target, exchange, parse_target
from web.authentication.key_sets import MOST_BYTES

_SECONDS = 5.0
"""The time for the discovery document and the keys together."""


class _Discovery(msgspec.Struct):
    """The fields of OpenID Connect Discovery 1.0, section 3, that are needed."""

    issuer: str
    jwks_uri: str


def fetcher(issuer: str, url: str | None, *, seconds: float = _SECONDS) -> Callable[[], bytes]:
    """A function that fetches the JWK Set at `url`, or at the address in the issuer's discovery document.

    Raises `ConfigurationError` for a forbidden address. The function raises `ValueError` for an unusable document, and
    `UnavailableError` while the issuer is away, fails, or takes longer than `seconds` in all.
    """
    address = issuer_address(url or issuer)

    def fetch_keys() -> bytes:
        deadline = Deadline(seconds)
        return fetch(address if url else _discovered(issuer, deadline), deadline)

    return fetch_keys


def _discovered(issuer: str, deadline: Deadline) -> Target:
    # Section 4: the path is appended to the issuer, without the issuer's final slash.
    text = fetch(issuer_address(issuer.rstrip("/") + "/.well-known/openid-configuration"), deadline)
    try:
        document = msgspec.json.decode(text, type=_Discovery)
        keys = issuer_address(document.jwks_uri)
    except (msgspec.DecodeError, UnicodeError, RecursionError, ConfigurationError) as exc:
        raise ValueError("no discovery document with an https address of keys") from exc
    # Section 4.3: the document must name this issuer.
    if document.issuer != issuer:
        raise ValueError("the discovery document is not that of the issuer")
    return keys


def issuer_address(url: str) -> Target:
    """The target of `url`. Raises `ConfigurationError` unless it is https, or on this machine."""
    target = parse_target(url, "the address of an issuer or its keys")
    local = target.host in {"localhost", "127.0.0.1", "::1"}
    if target.scheme != "https" and not local:
        raise ConfigurationError(f"{url} is no https address, and keys are fetched from no other")
    return target


def fetch(target: Target, deadline: Deadline) -> bytes:
    """The document there. Raises `UnavailableError`, or `ValueError` when it is too long."""
    answer = exchange(target, deadline, what="the issuer", most=MOST_BYTES)
    if not 200 <= answer.status < 300:
        raise UnavailableError(f"the issuer answered {answer.status}")
    if not answer.complete:
        raise ValueError("the answer is too long or was cut off")
    return answer.body
