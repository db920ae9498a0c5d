"""Settings of the HTTP edge. `audit_trail` declares them and their help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from domain.access.shared_link import MAX_DAYS
from interop.systems import OWN, Systems
from queries.limits import QueryLimits


class TrustedDocuments(Protocol):
    """The documents of known clients: see `graphql_api.execution.trusted_documents`."""

    def text(self, request: Mapping[str, Any]) -> str | None:
        """The document to execute for `request`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """Limits and switches of the HTTP edge. Sizes are bytes, times are seconds.

    `audit_trail.serving.process` fills it. No setting changes these fields, which only tests do: `publishing_threads`,
    `max_publishing`, `publishing_wait`, `max_query_bytes`, `max_publish_bytes`, `max_publish_events`, `export_stall`,
    `body_timeout`, `retry_after`, `token_recheck` and `max_connection_subscriptions`.
    """

    topic: str = "audit.events"
    """The topic that `POST /v1/events` publishes to."""
    limits: QueryLimits = field(default_factory=QueryLimits)
    reading_threads: int = 8
    """The size of the reading pool: more threads would only wait for a connection."""
    publishing_threads: int = 4
    max_publishing: int = 32
    """Requests that publish, or wait to publish; one more is answered 503 at once."""
    publishing_wait: float = 5.0
    """How long such a request may wait for a thread, while a slow broker delays those before it."""
    max_query_bytes: int = 256 * 1024
    """The largest body of a GraphQL request."""
    max_publish_bytes: int = 5 * 1024 * 1024
    """The largest body of `POST /v1/events`."""
    max_publish_events: int = 1000
    systems: Systems = OWN
    """Which namespaces of ids are the same; the same as ingest has."""
    max_message_bytes: int = 1024 * 1024
    """The largest event; ingest has the same limit, so that it accepts what is accepted here."""
    max_exports: int = 2
    """The size of the exporting pool."""
    export_stall: float = 60.0
    """How long a client of an export may stall; its snapshot delays the database's vacuum."""
    body_timeout: float = 30.0
    """How long a client may take to send its body."""
    retry_after: int = 5
    """The value of `Retry-After` while the database or the broker is away."""
    max_subscriptions: int = 200
    """Subscriptions at once, of all clients together; and WebSockets."""
    token_recheck: float = 60.0
    """Seconds between checks of the token of a WebSocket or a stream; a revoked token ends it."""
    max_connection_subscriptions: int = 10
    """Operations at once on one WebSocket."""
    max_client_subscriptions: int = 50
    """Subscriptions at once of one client, which `Context.client_key` identifies."""
    trusted: TrustedDocuments | None = None
    """Documents that clients may name by their hash, and whether others may be executed."""
    allowed_origins: tuple[str, ...] = ()
    """Origins besides the API's own whose pages may open WebSockets, send requests and read answers."""
    path_prefix: str = ""
    """What the public path of every route begins with, as `/audit`: see `web.http.path_prefix`."""
    queries_via_get: bool = True
    """GraphQL over GET; only queries, which are safe in the sense of RFC 9110."""
    open_paths: tuple[str, ...] = ()
    """What the paths of the dashboard that need no sign-in begin with; empty without a dashboard."""
    link_days: int = MAX_DAYS
    """The most days that a shared link of the dashboard lasts; 0: there are none."""
    pages: bool = False
    """GraphiQL and Swagger UI."""
    public_log: bool = False
    """Whether `/log` needs no token; it holds no personal data."""
    requests_per_minute: float = 60_000.0
    """The average rate of one principal; `requests_at_once` may come together."""
    requests_at_once: int = 2000
