"""What receivers over HTTP share: the address, one POST with its deadline, and the meaning of a status."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256

from domain.errors import ConfigurationError
from event_store.outgoing_http import Answer, Deadline, Target, exchange, parse_target, unavailable
from forwarding.errors import ReceiverRefusesError, RecordsRefusedError
from forwarding.receivers.secrets import read_secret, tls_context
from forwarding.settings import HttpSettings

MAX_ANSWER = 64 << 10
MAX_REQUEST = 512 << 10
"""Bytes of records in one request: common servers and proxies refuse more than 1 MiB by default."""
_RECORDS_AT_FAULT = frozenset({400, 413, 422})
_TEMPORARY = frozenset({408, 425, 429})


class HttpReceiver:
    """The address of a receiver, from its settings."""

    pace_seconds = 0.0
    max_bytes = MAX_REQUEST

    def __init__(self, settings: HttpSettings, field: str, kind: str) -> None:
        """`field` is the place of the settings, for messages. Raises `ConfigurationError`."""
        url = read_url(settings, field)
        self.target = parse_target(url, f"{field}.url")
        self.where = f"{kind} {origin_of(self.target)}"
        self._seconds = settings.timeout_seconds
        self._tls = tls_context(settings, field) if self.target.scheme == "https" else None

    def post(self, target: Target, body: bytes, headers: Mapping[str, str]) -> Answer:
        """POST, within the receiver's deadline. Raises `UnavailableError` when there is no answer."""
        return exchange(
            target,
            Deadline(self._seconds),
            what=self.where,
            most=MAX_ANSWER,
            body=body,
            headers=headers,
            tls=self._tls,
        )

    def require_success(self, answer: Answer) -> None:
        """Raise the error that the answer's status means, unless it is 2xx. The answer's text is never quoted."""
        status = answer.status
        if 200 <= status < 300:
            return
        if status in _RECORDS_AT_FAULT:
            raise RecordsRefusedError(f"{self.where} refuses the record (status {status})")
        if status in _TEMPORARY or status >= 500:
            raise unavailable(answer, self.where)
        raise ReceiverRefusesError(f"{self.where} answered {status}: {_hint(status)}")

    def close(self) -> None:
        """Hold nothing: each request has a connection of its own."""


def read_url(settings: HttpSettings, field: str) -> str:
    """The URL of the settings or of their file. Raises `ConfigurationError` unless there is exactly one."""
    if (settings.url is None) == (settings.url_file is None):
        raise ConfigurationError(f"{field}: give either url or url_file")
    return settings.url or read_secret(settings.url_file or "", f"{field}.url_file")


def origin_of(target: Target) -> str:
    """Scheme, host and port. The rest of an address may be a secret."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{target.scheme}://{host}:{target.port}"


def url_digest(url: str) -> str:
    """A digest that shows whether an address has changed, where the address may be a secret."""
    return sha256(url.encode()).hexdigest()


def authorization(path: str | None, field: str) -> dict[str, str]:
    """The header `Authorization` from its file; none without a file."""
    return {} if path is None else {"Authorization": read_secret(path, f"{field}.authorization_file")}


def _hint(status: int) -> str:
    if status in {401, 403}:
        return "check the token or secret, and its rights there"
    if 300 <= status < 400:
        return "it redirects, and no redirect is followed: set the address that it redirects to"
    return "check the address"
