"""Takes the token of a shared link out of the path, before anything that records or logs a path."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from web.http.page_paths import SHARED

_STATE = "link_token"
_LIKE_TOKEN = re.compile(r"gAAAA[A-Za-z0-9_=-]{60,}")
"""The text of a token, which begins with its version and its time."""
_HIDDEN = "..."


class HiddenTokens:
    """ASGI middleware, inside of the path prefix and outside of all others.

    A link that was copied wrongly, such as with two slashes, leads to another path: there the token is hidden too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with the token in its state."""
        path = scope.get("path", "")
        token = path.removeprefix(f"{SHARED}/")
        if token != path:
            scope = _moved(scope, SHARED)
            scope.setdefault("state", {})[_STATE] = token
        elif _LIKE_TOKEN.search(path):
            scope = _moved(scope, _LIKE_TOKEN.sub(_HIDDEN, path))
        await self._app(scope, receive, send)


def token_of(scope: Scope) -> str:
    """The token of a request for a shared link; empty without one."""
    found: str = scope.get("state", {}).get(_STATE, "")
    return found


def _moved(scope: Scope, path: str) -> Scope:
    return {**scope, "path": path, "raw_path": path.encode("utf-8", "replace")}
