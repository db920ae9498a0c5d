"""Which paths are pages for people, and what they may load."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import Scope

ASSETS = "/assets/"
DEVELOPMENT = "/development-issuer/"
SIGN_IN, SIGN_OUT, SIGNED_OUT = "/sign-in", "/sign-out", "/signed-out"
OPEN = (SIGN_IN, SIGN_OUT, SIGNED_OUT, ASSETS, DEVELOPMENT)
"""What needs no session."""
_PAGES = frozenset({"/", "/explore", "/resource", "/operations", "/find", "/me"})
_BELOW = ("/events/", "/patients/", "/users/", "/devices/", "/services/")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types audit-trail"
)


def is_page(path: str) -> bool:
    """Whether a path is a page that needs a session."""
    return path in _PAGES or path.startswith(_BELOW)


def wants_page(scope: Scope) -> bool:
    """Whether a browser asks, which shows a page; a program gets what the API answers."""
    return "text/html" in Headers(scope=scope).get("accept", "")


def is_of_dashboard(path: str) -> bool:
    """Whether a path is a page, part of the sign-in, or a file of the pages."""
    return is_page(path) or path.startswith(OPEN)
