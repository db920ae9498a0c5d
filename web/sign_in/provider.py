"""The OpenID provider: its endpoints, the authorization request, and the exchange of the code for tokens.

OpenID Connect Core 1.0, section 3.1 (authorization code flow), with PKCE (RFC 7636, S256).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from urllib.parse import quote, urlencode

import msgspec

from domain.errors import ConfigurationError, UnauthenticatedError, UnavailableError
from event_store.outgoing_http import Deadline, exchange
from web.authentication.discovery import fetch, issuer_address

_SECONDS = 10.0
"""The time for one request to the provider."""
_FRESH_SECONDS = 3600.0
_PAUSE_SECONDS = 5.0
"""After a failure nobody asks again for so long."""
_AWAY = "the identity provider is away"
_MOST_BYTES = 256 << 10
_SCOPE = "openid profile"


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The client at the provider. `metadata` is the address of the discovery document."""

    issuer: str
    client_id: str
    client_secret: str | None = None
    metadata: str = ""
    scope: str = _SCOPE


class Metadata(msgspec.Struct, frozen=True):
    """OpenID Connect Discovery 1.0, section 3; RP-Initiated Logout 1.0, section 2.1."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    end_session_endpoint: str | None = None


class Tokens(msgspec.Struct, frozen=True):
    """The answer of the token endpoint (section 3.1.3.3)."""

    id_token: str
    access_token: str = ""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-in that has begun. The browser keeps it, encrypted, until it comes back."""

    state: str
    nonce: str
    verifier: str
    next: str

    @classmethod
    def begin(cls, next: str) -> Attempt:
        """A new attempt, after which the browser goes to `next`."""
        return cls(
            state=secrets.token_urlsafe(24),
            nonce=secrets.token_urlsafe(24),
            verifier=secrets.token_urlsafe(48),
            next=next,
        )

    @property
    def challenge(self) -> str:
        """RFC 7636, section 4.2."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class Provider:
    """The provider. Methods block, and raise `UnavailableError` while it is away."""

    def __init__(self, settings: ProviderSettings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._metadata: Metadata | None = None
        self._fetched = self._failed = float("-inf")

    def authorization_url(self, attempt: Attempt, redirect_uri: str) -> str:
        """The address that the browser is sent to."""
        parameters = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": self.settings.scope,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        return _with(self.metadata().authorization_endpoint, parameters)

    def sign_out_url(self, return_to: str) -> str | None:
        """The address that ends the session at the provider; None if it has none."""
        endpoint = self.metadata().end_session_endpoint
        parameters = {"client_id": self.settings.client_id, "post_logout_redirect_uri": return_to}
        return None if endpoint is None else _with(endpoint, parameters)

    def tokens(self, code: str, attempt: Attempt, redirect_uri: str) -> Tokens:
        """Exchange the code. Raises `UnauthenticatedError` when the provider refuses it."""
        settings = self.settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": attempt.verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if settings.client_secret is None:
            form["client_id"] = settings.client_id
        else:
            # RFC 6749, section 2.3.1: both are form-encoded first.
            pair = f"{quote(settings.client_id, safe='')}:{quote(settings.client_secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        answer = exchange(
            issuer_address(self.metadata().token_endpoint),
            Deadline(_SECONDS),
            what="the identity provider",
            most=_MOST_BYTES,
            body=urlencode(form).encode(),
            headers=headers,
        )
        if answer.status >= 500:
            raise UnavailableError(f"the identity provider answered {answer.status}")
        if answer.status != 200 or not answer.complete:
            raise UnauthenticatedError("the identity provider refused the sign-in")
        try:
            return msgspec.json.decode(answer.body, type=Tokens)
        except msgspec.DecodeError as exc:
            raise UnauthenticatedError("the identity provider sent no ID token") from exc

    def metadata(self) -> Metadata:
        """The endpoints, which are fetched once an hour."""
        with self._lock:
            now = time.monotonic()
            if self._metadata is None or now - self._fetched > _FRESH_SECONDS:
                if now - self._failed < _PAUSE_SECONDS:
                    raise UnavailableError(_AWAY)
                try:
                    self._metadata = self._fetch()
                except UnavailableError:
                    self._failed = time.monotonic()
                    raise
                self._fetched = time.monotonic()
            return self._metadata

    def _fetch(self) -> Metadata:
        issuer = self.settings.issuer
        url = self.settings.metadata or f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            found = msgspec.json.decode(fetch(issuer_address(url), Deadline(_SECONDS)), type=Metadata)
            for endpoint in (found.authorization_endpoint, found.token_endpoint):
                issuer_address(endpoint)
        except (ValueError, msgspec.DecodeError, ConfigurationError) as exc:
            raise UnavailableError("the identity provider has no usable discovery document") from exc
        if found.issuer != issuer:
            raise UnavailableError("the discovery document is not that of the issuer of the settings")
        return found


def _with(url: str, parameters: dict[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"
