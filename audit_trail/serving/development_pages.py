"""The OpenID provider of `up` and `demo`: a page on which a visitor chooses who to be. It protects nothing."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from cachetools import TTLCache
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from audit_trail.development_issuer import AUDIENCE, ISSUER, issue
from audit_trail.settings import Settings
from dashboard.render import Page, render
from web.authentication.sessions import is_local, is_local_name
from web.http.page_paths import DEVELOPMENT
from web.sign_in.routes import CALLBACK

_MINUTES = 480
_CODE_SECONDS = 60
_ASKED = ("redirect_uri", "state", "nonce", "code_challenge")


class Persona(NamedTuple):
    """Somebody to be: the claims of the token, and a line that says what that person does."""

    text: str
    claims: dict[str, Any]


def _persona(role: str, name: str, text: str, **claims: Any) -> Persona:
    return Persona(text, {"roles": [role], "name": name, **claims})


PERSONAS: dict[str, Persona] = {
    "auditor": _persona("auditor", "Ada Auditor", "Auditor: is the record complete and genuine?"),
    "privacy-officer": _persona(
        "privacy_officer", "Paul Privacy", "Privacy officer: who accessed whose record?"
    ),
    "security-officer": _persona(
        "security_officer", "Sue Security", "Security officer: who failed to get in?"
    ),
    "analyst": _persona("analyst", "Ann Analyst", "Analyst: counts and tables, without names"),
    "n.nightshift": _persona("clinician", "Nora Nightshift", "Nora Nightshift, a nurse: her own activity"),
    "patient-1007": _persona(
        "patient", "Paula Patient", "Patient 1007: who looked at my record?", patient="1007"
    ),
    "device-manager": _persona("device_manager", "Dan Devices", "Device manager: what changed on devices?"),
    "service-owner": _persona(
        "service_owner",
        "Sam Services",
        "Owner of patient-service: what did it report?",
        sources=["patient-service"],
    ),
    "operator": _persona("operator", "Olga Operator", "Operator: does the trail itself work?"),
}


class Choice(NamedTuple):
    """A persona of the page, and the address that signs in as it."""

    text: str
    link: str


class Choose(Page, frozen=True, kw_only=True):
    """The page."""

    template: ClassVar[str] = "choose.html"
    choices: list[Choice]


def metadata_url(settings: Settings) -> str:
    """Where `serve` itself finds this provider."""
    host = "127.0.0.1" if settings.http_host in {"0.0.0.0", "::"} else settings.http_host  # noqa: S104  # nosec B104
    place = f"[{host}]" if ":" in host else host
    return f"http://{place}:{settings.http_port}{DEVELOPMENT}.well-known/openid-configuration"


class DevelopmentProvider:
    """The provider's routes. Codes are kept in memory for a minute, and can be used once."""

    def __init__(self, folder: Path, client_id: str) -> None:
        self._folder = folder
        self._client_id = client_id
        self._codes: TTLCache[str, dict[str, str]] = TTLCache(10_000, _CODE_SECONDS)

    def routes(self) -> list[BaseRoute]:
        """The routes."""
        return [
            Route(f"{DEVELOPMENT}.well-known/openid-configuration", _local(self.metadata)),
            Route(f"{DEVELOPMENT}authorize", _local(self.choose)),
            Route(f"{DEVELOPMENT}token", _local(self.token), methods=["POST"]),
        ]

    async def metadata(self, request: Request) -> Response:
        """OpenID Connect Discovery 1.0, section 3."""
        base = str(request.base_url).rstrip("/") + DEVELOPMENT
        return JSONResponse(
            {"issuer": ISSUER, "authorization_endpoint": f"{base}authorize", "token_endpoint": f"{base}token"}
        )

    async def choose(self, request: Request) -> Response:
        """The page of personas; with one chosen, the way back with a code."""
        asked = {name: request.query_params.get(name, "") for name in _ASKED}
        target = urlsplit(asked["redirect_uri"])
        # `serve` asks by another name of this machine than the browser may use.
        if target.scheme != "http" or not is_local_name(target.netloc) or not target.path.endswith(CALLBACK):
            return JSONResponse({"error": "invalid_request"}, 400)
        chosen = request.query_params.get("persona", "")
        if chosen not in PERSONAS:
            choices = [
                Choice(each.text, f"?{urlencode([*request.query_params.multi_items(), ('persona', name)])}")
                for name, each in PERSONAS.items()
            ]
            return HTMLResponse(
                render(Choose(title="Who do you want to be?", base=_base(target.path), choices=choices))
            )
        code = secrets.token_urlsafe(24)
        self._codes[code] = asked | {"persona": chosen}
        return RedirectResponse(
            f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}", 303
        )

    async def token(self, request: Request) -> Response:
        """Exchange a code, whose PKCE verifier must fit."""
        form = dict(parse_qsl((await request.body()).decode("ascii", "replace")))
        code, verifier = form.get("code", ""), form.get("code_verifier", "")
        kept = self._codes.pop(code, None)
        digest = hashlib.sha256(verifier.encode()).digest()
        if kept is None or base64.urlsafe_b64encode(digest).decode().rstrip("=") != kept["code_challenge"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        claims = {"sub": kept["persona"], **PERSONAS[kept["persona"]].claims}
        tokens = {
            "access_token": issue(self._folder, _MINUTES, **claims, aud=AUDIENCE),
            "id_token": issue(self._folder, _MINUTES, **claims, aud=self._client_id, nonce=kept["nonce"]),
        }
        return JSONResponse(tokens | {"token_type": "Bearer", "expires_in": _MINUTES * 60})


def _local(route: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The route for programs on this machine alone: whoever reaches it can be anybody."""

    async def checked(request: Request) -> Response:
        if not is_local(request.scope):
            return JSONResponse(
                {"error": "access_denied", "error_description": "only from this machine"}, 403
            )
        return await route(request)

    return checked


def _base(path: str) -> str:
    return path.removesuffix(CALLBACK)
