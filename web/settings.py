"""What the HTTP edge may be told. The composition root declares these settings and their help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from interop.systems import OWN, Systems
from queries.limits import QueryLimits


class TrustedDocuments(Protocol):
    """The documents of known clients: see `graphql_api.execution.trusted_documents`."""

    def text(self, request: Mapping[str, Any]) -> str | None:
        """The document to execute for `request`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """Limits and switches of the HTTP edge. Sizes are bytes, times are seconds."""

    topic: str = "audit.events"
    """The topic that `POST /v1/events` publishes to."""
    limits: QueryLimits = field(default_factory=QueryLimits)
    reading_threads: int = 8
    """As many as the reading pool has connections: more would only wait for one."""
    publishing_threads: int = 4
    max_publishing: int = 32
    """Requests that publish, or wait until they may; one more is answered 503 at once."""
    publishing_wait: float = 5.0
    """How long such a request may wait for a thread; a broker that is slow holds up those that are before it."""
    max_query_bytes: int = 256 * 1024
    """The largest body of a GraphQL request."""
    max_publish_bytes: int = 5 * 1024 * 1024
    """The largest body of `POST /v1/events`."""
    max_publish_events: int = 1000
    systems: Systems = OWN
    """Which namespaces of ids are the same; the same as ingest has."""
    max_message_bytes: int = 1024 * 1024
    """The largest single event; the same limit as ingest has, so that what is accepted here is accepted there."""
    max_exports: int = 2
    """As many as the pool of exports has connections."""
    export_stall: float = 60.0
    """How long a client of an export may take nothing; its snapshot holds up the database's cleaning."""
    body_timeout: float = 30.0
    """How long a client may take to send its body."""
    retry_after: int = 5
    """What `Retry-After` says while the database or the broker is away."""
    max_subscriptions: int = 200
    """Subscriptions at once, of all clients together; and WebSockets."""
    token_recheck: float = 60.0
    """How often the token of a WebSocket or a stream is looked at again: one that was revoked ends it."""
    max_connection_subscriptions: int = 10
    """Operations at once on one WebSocket."""
    max_client_subscriptions: int = 50
    """Subscriptions at once of one client, which is told by `Context.client_key`."""
    trusted: TrustedDocuments | None = None
    """Documents that may be asked for by their hash, and whether any others may be executed."""
    allowed_origins: tuple[str, ...] = ()
    """Origins besides the API's own from which browsers may open a WebSocket, as `https://host:port`."""
    path_prefix: str = ""
    """What the public path of every route begins with, as `/audit`: see `web.http.path_prefix`."""
    queries_via_get: bool = True
    """GraphQL over GET; only queries, which are safe in the sense of RFC 9110."""
    pages: bool = False
    """GraphiQL and Swagger UI."""
    public_log: bool = False
    """Whether `/log` answers those who have no token; it holds no personal data."""
    requests_per_minute: float = 60_000.0
    """Of one principal, on average; and `requests_at_once`, how many more than that may come together."""
    requests_at_once: int = 2000
