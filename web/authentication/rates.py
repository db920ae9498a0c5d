"""Rate limits: requests of a principal, and failed authentications from an address."""

from __future__ import annotations

from typing import NamedTuple

from starlette.types import Scope

from domain.access.principal import Principal
from web.http.rate_limit import RateLimit
from web.settings import WebSettings

_FAILURES_A_MINUTE, _FAILURES_AT_ONCE = 300, 300
"""Failed authentications from one address, before it has to wait."""


class Rates(NamedTuple):
    """The limits of one application, for all its interfaces."""

    requests: RateLimit
    failures: RateLimit

    @classmethod
    def of(cls, settings: WebSettings) -> Rates:
        """The limits of the settings."""
        return cls(
            RateLimit(settings.requests_per_minute, settings.requests_at_once),
            RateLimit(_FAILURES_A_MINUTE, _FAILURES_AT_ONCE),
        )

    def ask(self, principal: Principal, times: int = 1, *, beside: int = 0) -> float:
        """0 when the principal may send a request now, else the seconds until it may. See `RateLimit.take`."""
        return self.requests.take(f"{principal.issuer or ''} {principal.id}", times, beside=beside)

    def fail(self, scope: Scope) -> float:
        """The same for a failed authentication."""
        client = scope.get("client")
        return self.failures.take(client[0] if client else "")
