"""The route of a request, for what must not have its path: a path names patients."""

from __future__ import annotations

from starlette.types import Scope

METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})
"""Methods by their own names; a client can send any other text."""
_WITHOUT_ROUTE = frozenset({"/graphql", "/docs", "/openapi.json"})


def route_of(scope: Scope) -> str:
    """The path of the route with its parameters' names, such as ``/v1/patients/{id}/activity``; or ``other``."""
    path = getattr(scope.get("route"), "path", None)
    if path is not None:
        return str(path)
    known: str = scope["path"]
    return known if known in _WITHOUT_ROUTE else "other"
