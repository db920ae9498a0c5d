"""The pages for people: GraphiQL and Swagger UI, from files in the package and never from a CDN."""

from __future__ import annotations

from pathlib import Path

from starlette.responses import HTMLResponse, Response

STATIC = Path(__file__).with_name("static")

# GraphiQL and Swagger UI set styles from scripts, and show icons and fonts from data: URLs.
_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)


def graphiql() -> Response:
    """GraphiQL on this server's `/graphql`."""
    return _page("graphiql/index.html")


def swagger_ui() -> Response:
    """Swagger UI on this server's `/openapi.json`."""
    return _page("swagger-ui/index.html")


def _page(name: str) -> Response:
    return HTMLResponse((STATIC / name).read_bytes(), headers={"Content-Security-Policy": _POLICY})
