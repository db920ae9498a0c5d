"""Which paths are pages for people, and what they may load."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import Scope

ASSETS = "/assets/"
DEVELOPMENT = "/development-issuer/"
LIVE = "/explore/live"
"""A stream for a page, and no page: a browser that asks for it opens nothing, and keeps no session alive."""
SIGN_IN, SIGN_OUT, SIGNED_OUT = "/sign-in", "/sign-out", "/signed-out"
SHARED = "/shared"
"""What the path of a shared link begins with. Inside of `web.http.hidden_tokens` it is all of the path."""
OPEN = (SIGN_IN, SIGN_OUT, SIGNED_OUT, ASSETS, DEVELOPMENT, SHARED)
"""What needs no session."""
SUBJECTS = ("/patients", "/users", "/devices", "/services")
"""The page of a subject has its id below, or in the query: ``?id=``."""
_PAGES = frozenset(
    {
        *("/", "/explore", "/resource", "/find", "/me", "/views", "/links", "/exports"),
        *("/alerts", "/cases", "/questions", "/rules", "/reviews", "/my-items"),
        *("/operations", "/operations/rebuild", "/operations/dead-letters"),
        *SUBJECTS,
    }
)
_BELOW = (
    *("/events/", "/views/", "/links/", "/exports/"),
    *("/alerts/", "/cases/", "/questions/", "/rules/", "/suppressions/", "/reviews/"),
    *("/operations/requests/", "/operations/dead-letters/"),
    *(f"{path}/" for path in SUBJECTS),
)
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
    """Whether a path is a page, what belongs to one, part of the sign-in, or a file of the pages."""
    return is_page(path) or path == LIVE or path.startswith(OPEN)
