"""The authentication of API clients, from the settings."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import structlog

from audit_trail.environment import PREFIX
from audit_trail.settings import Settings
from domain.access.principal import Role
from domain.errors import ConfigurationError
from web.authentication.api_tokens import ApiTokens
from web.authentication.bearer import Authenticator, IssuedTokens
from web.authentication.claims import ClaimNames
from web.authentication.combined import Authentication
from web.authentication.discovery import fetcher
from web.authentication.key_sets import FetchedKeys, FileKeys, KeySet

_FILE = "file://"

log = structlog.get_logger(__name__)


def authentication(settings: Settings, issued: IssuedTokens | None) -> Authentication:
    """The authentication. Without an issuer and without API tokens it refuses every request, and logs a warning."""
    kinds: list[Authenticator] = []
    if settings.api_tokens_file is not None:
        kinds.append(ApiTokens(settings.api_tokens_file))
    if issued is not None:
        kinds.append(issued)
    if not kinds:
        log.warning("every_request_is_refused", fix=f"set {PREFIX}AUTH_ISSUERS or {PREFIX}API_TOKENS_FILE")
    return Authentication(kinds)


def issued_tokens(settings: Settings) -> IssuedTokens | None:
    """The check of the issuers' tokens; None without an issuer."""
    if not settings.auth_issuers:
        return None
    if not settings.auth_audiences:
        raise ConfigurationError(f"{PREFIX}AUTH_AUDIENCES is empty: say for whom tokens are meant")
    issuers: dict[str, KeySet] = {}
    for entry in settings.auth_issuers:
        issuer, keys = _issuer(entry)
        if issuer in issuers:
            raise ConfigurationError(f"{PREFIX}AUTH_ISSUERS names {issuer} twice")
        issuers[issuer] = keys
    return IssuedTokens(issuers, settings.auth_audiences, _names(settings))


def _issuer(entry: str) -> tuple[str, KeySet]:
    """An entry ``ISSUER`` or ``ISSUER KEYS``: keys are a URL, also of a file, or the path of a file."""
    issuer, _, keys = entry.partition(" ")
    keys = keys.strip()
    try:
        if keys.startswith(_FILE):
            return issuer, FileKeys(Path(unquote(keys.removeprefix(_FILE))))
        if not keys or "://" in keys:
            return issuer, FetchedKeys(fetcher(issuer, keys or None), issuer=issuer)
        return issuer, FileKeys(Path(keys))
    except ConfigurationError as exc:
        raise ConfigurationError(f"{PREFIX}AUTH_ISSUERS: {exc}") from exc


def _names(settings: Settings) -> ClaimNames:
    return ClaimNames(
        roles=settings.auth_roles_claim,
        patients=settings.auth_patient_claim,
        sources=settings.auth_sources_claim,
        devices=settings.auth_devices_claim,
        actors=settings.auth_actor_claims,
        name=settings.auth_name_claim,
        purpose_of_use=settings.auth_purpose_claim,
        role_map=dict(map(_role, settings.auth_role_map)),
    )


def _role(entry: str) -> tuple[str, Role]:
    name, _, role = entry.rpartition("=")
    return name, Role(role)
