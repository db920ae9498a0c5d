"""The sign-in of the dashboard, from the settings."""

from __future__ import annotations

from audit_trail.development_issuer import ISSUER
from audit_trail.environment import PREFIX
from audit_trail.serving.development_pages import DevelopmentProvider, metadata_url
from audit_trail.settings import Settings
from domain.errors import ConfigurationError
from web.authentication.bearer import IssuedTokens
from web.authentication.sessions import Sessions, SessionTimes
from web.dashboard.install import SignIn
from web.sign_in.provider import Provider, ProviderSettings


def sign_in(settings: Settings, issued: IssuedTokens | None) -> SignIn | None:
    """The sign-in; None without a dashboard. Raises `ConfigurationError` that names the setting."""
    issuer = settings.dashboard_issuer
    if issuer is None:
        return None
    if issued is None or not any(entry.split(" ")[0] == issuer for entry in settings.auth_issuers):
        raise ConfigurationError(
            f"{PREFIX}DASHBOARD_ISSUER is {issuer!r}, which {PREFIX}AUTH_ISSUERS does not name: add it there"
        )
    secret, key = settings.dashboard_client_secret, settings.dashboard_session_key
    folder = settings.development_issuer
    provider = ProviderSettings(
        issuer=issuer,
        client_id=settings.dashboard_client_id,
        client_secret=None if secret is None else secret.get_secret_value(),
        metadata=settings.dashboard_metadata_url
        or (metadata_url(settings) if folder is not None and issuer == ISSUER else ""),
        scope=settings.dashboard_scope,
    )
    times = SessionTimes(settings.dashboard_idle_minutes * 60, settings.dashboard_session_hours * 3600)
    return SignIn(
        provider=Provider(provider),
        tokens=issued,
        sessions=Sessions(None if key is None else key.get_secret_value(), times),
        routes=[] if folder is None else DevelopmentProvider(folder, settings.dashboard_client_id).routes(),
    )
