"""A WebSocket of `/graphql` (graphql-transport-ws): its authentication, its limits, and its end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Protocol, cast

from graphql import GraphQLError
from starlette.datastructures import Headers
from starlette.types import Scope
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler

from domain.access.principal import Principal
from domain.errors import UnauthenticatedError, UnavailableError
from graphql_api.context import Context
from graphql_api.errors import QueryError
from graphql_api.execution.trusted_documents import TrustedDocuments
from graphql_api.schema import AuditTrailSchema
from queries.error_codes import Code
from web.authentication.combined import Authentication
from web.authentication.long_responses import OTHER_RIGHTS
from web.authentication.middleware import Denied
from web.authentication.rates import Rates
from web.graphql.endpoint import client_key
from web.graphql.read_audit import recorded_results
from web.read_audit.access_record import AccessRecord, AccessRecorder

TRY_LATER = 1013
_UNAUTHENTICATED = 4401
_FORBIDDEN = 4403
_TOO_OFTEN = 4429
_LAST_WORDS_SECONDS = 0.5
"""Between the expiry of a token and the close of the socket: running operations first send the reason."""


class Endpoint(Protocol):
    """The endpoint as its connections use it: `web.graphql.subscriptions.SubscribingEndpoint`."""

    authentication: Authentication
    rates: Rates
    denied: Denied
    recorder: AccessRecorder | None
    recheck: float
    trusted: TrustedDocuments
    max_subscriptions_per_connection: int | None

    def let_in(self, scope: Scope, principal: Principal) -> bool:
        """Count the connection as the principal's; False when there is no place for it."""
        ...

    async def new_context(
        self, client_key: str, principal: Principal | None, record: AccessRecord | None
    ) -> Context:
        """The context of one operation; what it reads is added to `record`."""
        ...


class Connection(BaseGraphQLTransportWSHandler[Context, None]):
    """A WebSocket. Any message outside of the protocol closes it with 4400."""

    def __init__(self, *, view: Any, schema: Any, **options: Any) -> None:
        scope: Scope = options["websocket"].ws.scope
        super().__init__(view=view, schema=cast("Any", _PerOperation(schema, view, scope)), **options)
        self._endpoint: Endpoint = view
        self._scope = scope
        self._given = Headers(scope=scope).getlist("authorization")
        self._watching: asyncio.Task[None] | None = None

    async def handle_message(self, message: Any) -> None:
        """Check the message's form, then handle it."""
        if not _well_formed(message):
            await self.handle_invalid_message("not a message of graphql-transport-ws")
            return
        if message["type"] == "subscribe" and self.connection_acknowledged:
            try:
                self._prepare(message["payload"])
            except QueryError as exc:
                await self.send_message({"type": "error", "id": message["id"], "payload": [exc.formatted]})
                return
        await super().handle_message(message)

    async def handle_connection_init(self, message: Any) -> None:
        """Authenticate by the token in this message, as a browser can set no header."""
        if self.context.principal is None and not self.connection_timed_out:
            payload = message.get("payload")
            content = payload if isinstance(payload, dict) else {}
            given = content.get("authorization", content.get("Authorization"))
            self._given = [given] if isinstance(given, str) else []
            if not await self._identified():
                return
        principal = self.context.principal
        if principal is not None and not principal.roles:
            self._endpoint.denied(self._scope, 403, "no role")
            await self.websocket.close(_FORBIDDEN, "Forbidden")
            return
        await super().handle_connection_init(message)
        if principal is not None and self._watching is None:
            self._watching = asyncio.create_task(self._watch(principal))

    async def _identified(self) -> bool:
        """Whether the token is valid; otherwise the socket is closed."""
        endpoint = self._endpoint
        try:
            principal = await endpoint.authentication.principal(self._given)
        except UnauthenticatedError as exc:
            endpoint.denied(self._scope, 401, exc.message)
            if endpoint.rates.fail(self._scope):
                await self.websocket.close(_TOO_OFTEN, "Too many attempts")
            else:
                await self.websocket.close(_UNAUTHENTICATED, "Unauthorized")
            return False
        except UnavailableError:
            await self.websocket.close(TRY_LATER, "Try again later")
            return False
        if not endpoint.let_in(self._scope, principal):
            await self.websocket.close(TRY_LATER, "Try again later")
            return False
        self.context.principal = principal
        self.context.client_key = client_key(cast("Any", self.websocket).ws)
        return True

    async def _watch(self, principal: Principal) -> None:
        """Close the socket when its token expires or becomes invalid, such as a revoked one."""
        why = ""
        while not why:
            left = self._endpoint.recheck
            if principal.expires_at is not None:
                ends = (principal.expires_at - datetime.now(UTC)).total_seconds() + _LAST_WORDS_SECONDS
                left = min(left, ends)
            if left > 0:
                await asyncio.sleep(left)
            if principal.expires_at is not None and principal.expires_at <= datetime.now(UTC):
                why = "the token has expired"
                break
            try:
                found = await self._endpoint.authentication.principal(self._given)
                why = "" if found == principal else OTHER_RIGHTS
            except UnauthenticatedError as exc:
                why = exc.message
            except UnavailableError:
                continue  # a token that can't be checked now stays valid
            if why:
                self._endpoint.denied(self._scope, 401, why)
        # The client may have closed it meanwhile.
        with suppress(RuntimeError):
            await self.websocket.close(_UNAUTHENTICATED, f"Unauthorized: {why}")

    async def shutdown(self) -> None:
        """Stop checking the token, then end the operations."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        await super().shutdown()

    def _prepare(self, payload: dict[str, Any]) -> None:
        """Replace the name of a document by its text. Raises `QueryError` when it may not be executed."""
        most = self._endpoint.max_subscriptions_per_connection
        if most is not None and len(self.operations) >= most:
            raise QueryError(Code.LIMIT_EXCEEDED, f"at most {most} operations at once on one WebSocket")
        principal = self.context.principal
        if principal is None:
            raise QueryError(Code.UNAUTHENTICATED, "send a token when you connect")
        if principal.expires_at is not None and principal.expires_at <= datetime.now(UTC):
            self._endpoint.denied(self._scope, 401, "the token has expired")
            raise QueryError(Code.UNAUTHENTICATED, "the token has expired; connect again with another")
        wait = self._endpoint.rates.ask(principal)
        if wait:
            raise QueryError(
                Code.LIMIT_EXCEEDED, "too many requests; wait a little", retryAfter=int(wait) + 1
            )
        query = self._endpoint.trusted.text(payload)
        if not query:
            raise QueryError(Code.BAD_USER_INPUT, "`query` is missing", argument="query")
        payload["query"] = query

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> str | None:
        """Returns None: an operation's error goes to that operation and leaves the connection open."""
        del error
        return None


class _PerOperation:
    """The schema for a connection: each operation has a context, with limits of its own."""

    def __init__(self, schema: AuditTrailSchema, view: Endpoint, scope: Scope) -> None:
        self._schema = schema
        self._view = view
        self._scope = scope

    async def stream(self, query: str, **options: Any) -> Any:
        """The results of an operation."""
        connection: Context = options["context_value"]
        recorder = self._view.recorder
        record = None if recorder is None else recorder.open(self._scope, connection.principal)
        context = await self._view.new_context(connection.client_key, connection.principal, record)
        results = await self._schema.stream(query, **{**options, "context_value": context})
        if record is None:
            return results
        record.set_documents((query, options.get("operation_name")))
        return recorded_results(record, results)


_MAX_ID = 64
"""Characters of an operation's id. The reason of a close repeats it, and has room for 123 bytes."""


def _well_formed(message: Any) -> bool:
    if not isinstance(message, dict):
        return False
    kind, id = message.get("type"), message.get("id")
    if kind in {"connection_init", "ping", "pong"}:
        return True
    if (
        kind not in {"subscribe", "complete"}
        or not isinstance(id, str)
        or not id.isascii()
        or len(id) > _MAX_ID
    ):
        return False
    if kind == "complete":
        return True
    payload = message.get("payload")
    return (
        isinstance(payload, dict)
        and isinstance(payload.get("query"), str | None)
        and isinstance(payload.get("variables"), dict | None)
        and isinstance(payload.get("operationName"), str | None)
    )
