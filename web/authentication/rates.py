"""How often a principal may ask, and an address may fail to say who it is."""

from __future__ import annotations

from typing import NamedTuple

from starlette.types import Scope

from domain.access.principal import Principal
from web.http.rate_limit import RateLimit
from web.settings import WebSettings

_FAILURES_A_MINUTE, _FAILURES_AT_ONCE = 300, 300
"""Of one address. Who guesses tokens, or has one that has run out, is told to wait."""


class Rates(NamedTuple):
    """One for each application, whichever way it is asked."""

    requests: RateLimit
    failures: RateLimit

    @classmethod
    def of(cls, settings: WebSettings) -> Rates:
        """Those of the settings."""
        return cls(
            RateLimit(settings.requests_per_minute, settings.requests_at_once),
            RateLimit(_FAILURES_A_MINUTE, _FAILURES_AT_ONCE),
        )

    def ask(self, principal: Principal, times: int = 1, *, beside: int = 0) -> float:
        """0 when the principal may ask now, else the seconds until it may. See `RateLimit.take`."""
        return self.requests.take(f"{principal.issuer or ''} {principal.id}", times, beside=beside)

    def fail(self, scope: Scope) -> float:
        """The same for one who could not say who it is."""
        client = scope.get("client")
        return self.failures.take(client[0] if client else "")
