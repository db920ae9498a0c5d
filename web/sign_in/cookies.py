"""The `Set-Cookie` headers of the dashboard (RFC 6265bis, section 4.1)."""

from __future__ import annotations

from starlette.types import Scope

from web.authentication.sessions import cookie_name


def set_cookie(scope: Scope, name: str, value: str, *, seconds: int | None = None) -> str:
    """A cookie for this server alone. Without `seconds` it ends with the browser."""
    secure = "; Secure" if scope["scheme"] == "https" else ""
    age = "" if seconds is None else f"; Max-Age={seconds}"
    return f"{cookie_name(scope, name)}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}"


def removed_cookie(scope: Scope, name: str) -> str:
    """The header that removes a cookie."""
    return set_cookie(scope, name, "", seconds=0)
