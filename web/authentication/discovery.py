"""Where an issuer's keys are, and how they are fetched: bounded in time and size, and from nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from domain.errors import ConfigurationError, UnavailableError
from event_store.outgoing_http import Deadline, Target, exchange, parse_target
from web.authentication.key_sets import MOST_BYTES

_SECONDS = 5.0
"""For the discovery document and the keys together."""


class _Discovery(msgspec.Struct):
    """OpenID Connect Discovery 1.0, section 3, as far as it is needed."""

    issuer: str
    jwks_uri: str


def fetcher(issuer: str, url: str | None, *, seconds: float = _SECONDS) -> Callable[[], bytes]:
    """Fetches the JWK Set at `url`, which the issuer's discovery document names when it is None.

    Raises `ConfigurationError` for an address that may not be asked. What it returns raises `ValueError` for a document
    that can't be used, and `UnavailableError` while the issuer is away, fails, or takes longer than `seconds` in all.
    """
    address = _address(url or issuer)

    def fetch() -> bytes:
        deadline = Deadline(seconds)
        return _get(address if url else _discovered(issuer, deadline), deadline)

    return fetch


def _discovered(issuer: str, deadline: Deadline) -> Target:
    # Section 4: the path is put behind the issuer, whose own slash at the end is dropped.
    text = _get(_address(issuer.rstrip("/") + "/.well-known/openid-configuration"), deadline)
    try:
        document = msgspec.json.decode(text, type=_Discovery)
        keys = _address(document.jwks_uri)
    except (msgspec.DecodeError, UnicodeError, RecursionError, ConfigurationError) as exc:
        raise ValueError("no discovery document with an https address of keys") from exc
    # Section 4.3: the document has to be this issuer's.
    if document.issuer != issuer:
        raise ValueError("the discovery document is not that of the issuer")
    return keys


def _address(url: str) -> Target:
    """Raises `ConfigurationError` unless keys may be fetched from `url`."""
    target = parse_target(url, "the address of an issuer or its keys")
    local = target.host in {"localhost", "127.0.0.1", "::1"}
    if target.scheme != "https" and not local:
        raise ConfigurationError(f"{url} is no https address, and keys are fetched from no other")
    return target


def _get(target: Target, deadline: Deadline) -> bytes:
    answer = exchange(target, deadline, what="the issuer", most=MOST_BYTES)
    if not 200 <= answer.status < 300:
        raise UnavailableError(f"the issuer answered {answer.status}")
    if not answer.complete:
        raise ValueError("the answer is too long or was cut off")
    return answer.body
