"""A prefix of every path, when a proxy gives the API one folder of a host.

The prefix is removed before anything else reads a path: what is open, recorded or limited has one name, with and
without a proxy. So a proxy may pass the prefix on or remove it.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send


class PathPrefix:
    """ASGI middleware, the outermost: removes `prefix` (as `/audit`) from paths that begin with it, once."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix
        self._start = f"{prefix}/"
        self._raw_start = self._start.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. A prefix with escaped characters is none: the decoded and the sent path stay alike."""
        if scope["type"] in ("http", "websocket") and scope["path"].startswith(self._start):
            raw: bytes = scope.get("raw_path") or self._raw_start
            if raw.startswith(self._raw_start):
                scope = {
                    **scope,
                    "path": scope["path"][len(self._prefix) :],
                    "raw_path": raw[len(self._prefix) :],
                }
        await self._app(scope, receive, send)


def public(request: Request, path: str) -> str:
    """The path of this server by which a client reaches `path`."""
    return f"{request.app.state.path_prefix}{path}"
