"""Subscriptions beside the queries of `/graphql`: graphql-transport-ws, and server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from graphql import GraphQLError, OperationType, get_operation_ast, parse
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLRequestData
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler

from domain.access.principal import Principal
from domain.errors import UnauthenticatedError, UnavailableError
from graphql_api.context import Context, ProvableLog
from graphql_api.errors import Code, QueryError
from graphql_api.feed import Feed
from graphql_api.reading import Threads
from graphql_api.schema import AuditTrailSchema
from graphql_api.waiting import Waiting
from web.access import Access
from web.authentication.combined import Authentication
from web.authentication.middleware import Denied, principal_of
from web.graphql_endpoint import GraphQLEndpoint, client_key
from web.looking import Looking, Recorder, looking_at
from web.recorded import recorded_results
from web.settings import WebSettings

EVENT_STREAM = "text/event-stream"
_TRY_LATER = 1013
_UNAUTHENTICATED = 4401
_INIT_SECONDS = 10


class SubscribingEndpoint(GraphQLEndpoint):
    """The ASGI application behind `/graphql` that also takes WebSockets and answers event streams."""

    def __init__(
        self,
        access: Access,
        log: ProvableLog,
        threads: Threads,
        settings: WebSettings,
        waiting: Waiting,
        feed: Feed,
    ) -> None:
        super().__init__(access, log, threads, settings, waiting)
        self.protocols = (GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL)
        self.connection_init_wait_timeout = timedelta(seconds=_INIT_SECONDS)
        self.max_subscriptions_per_connection = settings.max_connection_subscriptions
        self.graphql_transport_ws_handler_class = _Connection
        self.authentication = Authentication()
        """Who may connect; the application sets it."""
        self.denied: Denied = lambda *_: None
        self.recorder: Recorder | None = None
        self._feed = feed
        self._connections = 0
        self._max_connections = settings.max_subscriptions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection or answer one request."""
        if scope["type"] == "http":
            await super().__call__(scope, receive, send)
            return
        socket = WebSocket(scope, receive, send)
        if self._feed.closed or self._connections >= self._max_connections:
            await socket.close(_TRY_LATER)
            return
        self._connections += 1
        try:
            await self.run(socket)
        finally:
            self._connections -= 1

    async def new_context(
        self, client_key: str, principal: Principal | None, looking: Looking | None
    ) -> Context:
        """The context of one operation; what is read for it is noted in `looking.reads`."""
        return await self.access.context(
            principal,
            looking,
            self._log,
            self._threads,
            self._limits,
            self._waiting,
            self._feed,
            client_key=client_key,
        )

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """See `GraphQLEndpoint`; of a WebSocket it only says who asks, as each operation has its own."""
        del response
        return await self.new_context(client_key(request), principal_of(request.scope), looking_at(request))

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        """See `GraphQLEndpoint`; the type of an event stream comes with its transport."""
        if isinstance(request, Request) and _wants_stream(request.headers.get("accept")):
            return await GraphQL.get_sub_response(self, request)
        return await super().get_sub_response(request)

    async def parse_http_body(
        self, request: AsyncHTTPRequestAdapter
    ) -> GraphQLRequestData | list[GraphQLRequestData]:
        """See `GraphQLEndpoint`."""
        data = await super().parse_http_body(request)
        if not _wants_stream(request.headers.get("accept")):
            for each in data if isinstance(data, list) else [data]:
                self._refuse_subscription(each)
            return data
        if isinstance(data, list):
            raise HTTPException(400, "a batch is no stream")
        data.protocol = "sse"
        return data

    async def execute_operation(self, request: Request, *args: Any, **options: Any) -> Any:
        """See the base class; the results of a stream are kept, to be closed with its answer."""
        looking = looking_at(request)
        data = options["request_data"]
        if looking is not None:
            several = data if isinstance(data, list) else [data]
            looking.asks(*((each.query, each.operation_name) for each in several))
        result: Any = await super().execute_operation(request, *args, **options)
        if looking is not None and isinstance(result, AsyncGenerator):
            result = recorded_results(looking, result)
        request.state.results = result
        return result

    async def create_streaming_response(
        self,
        request: Request | WebSocket,
        stream: Callable[[], AsyncIterator[str]],
        sub_response: Response,
        headers: Mapping[str, str],
    ) -> Response:
        """The answer whose body is the stream."""
        return _Stream(stream(), request.state.results, {**sub_response.headers, **headers})

    def _refuse_subscription(self, request: GraphQLRequestData) -> None:
        """Raise `HTTPException` for a subscription that is sent as a query, which no executor can answer."""
        query = request.query or ""
        if "subscription" not in query:
            return
        try:
            document = parse(query, max_tokens=self._limits.max_tokens)
        except (GraphQLError, RecursionError):
            return  # the executor says what is wrong with it
        operation = get_operation_ast(document, request.operation_name)
        if operation is not None and operation.operation is OperationType.SUBSCRIPTION:
            raise HTTPException(400, f"subscribe by graphql-transport-ws, or with Accept: {EVENT_STREAM}")

    def encode_json(self, data: object) -> str:
        """JSON of one line."""
        return msgspec.json.encode(data).decode()


class _Stream(StreamingResponse):
    """A stream that ends with its client, also when that stops reading first and goes away then.

    The sending is then cancelled between two chunks, where no generator notices: left to the garbage collector, they
    are closed late and from the inside out, which is an error of its own.
    """

    def __init__(
        self, body: AsyncIterator[str], results: AsyncGenerator[Any, None], headers: Mapping[str, str]
    ) -> None:
        super().__init__(body, headers=headers)
        self._body = body
        self._results = results

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream; whatever becomes of it, close it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await cast("AsyncGenerator[str, None]", self._body).aclose()
            await self._results.aclose()


class _Connection(BaseGraphQLTransportWSHandler[Context, None]):
    """A WebSocket. What is no message of the protocol closes it with 4400, whatever it is instead."""

    def __init__(self, *, view: Any, schema: Any, **options: Any) -> None:
        scope: Scope = options["websocket"].ws.scope
        super().__init__(view=view, schema=cast("Any", _PerOperation(schema, view, scope)), **options)
        self._endpoint: SubscribingEndpoint = view

    async def handle_message(self, message: Any) -> None:
        """See the base class, which takes the shape of a message for granted."""
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
        """See the base class. A browser can set no header, and says who it is in this message."""
        if self.context.principal is None and not self.connection_timed_out:
            payload = message.get("payload")
            given = (
                payload.get("authorization", payload.get("Authorization"))
                if isinstance(payload, dict)
                else None
            )
            try:
                self.context.principal = await self._endpoint.authentication.principal(
                    [given] if isinstance(given, str) else []
                )
            except UnauthenticatedError as exc:
                self._endpoint.denied(cast("Any", self.websocket).ws.scope, 401, exc.message)
                await self.websocket.close(_UNAUTHENTICATED, "Unauthorized")
                return
            except UnavailableError:
                await self.websocket.close(_TRY_LATER, "Try again later")
                return
        await super().handle_connection_init(message)

    def _prepare(self, payload: dict[str, Any]) -> None:
        """Put the document into a request that names one. Raises `QueryError` when it may not be executed."""
        most = self._endpoint.max_subscriptions_per_connection
        if most is not None and len(self.operations) >= most:
            raise QueryError(Code.LIMIT_EXCEEDED, f"at most {most} operations at once on one WebSocket")
        principal = self.context.principal
        ends = principal.expires_at if principal is not None else None
        if ends is not None and ends <= datetime.now(UTC):
            raise QueryError(Code.UNAUTHENTICATED, "the token has expired; connect again with another")
        query = self._endpoint.trusted.text(payload)
        if not query:
            raise QueryError(Code.BAD_USER_INPUT, "`query` is missing", argument="query")
        payload["query"] = query

    @staticmethod
    def _get_pre_execution_close_reason(error: GraphQLError) -> str | None:
        """What is wrong with one operation is told to that one, and ends no connection."""
        del error
        return None


class _PerOperation:
    """The schema, for a connection: it lives longer than the limits of one request are meant for."""

    def __init__(self, schema: AuditTrailSchema, view: SubscribingEndpoint, scope: Scope) -> None:
        self._schema = schema
        self._view = view
        self._scope = scope

    async def stream(self, query: str, **options: Any) -> Any:
        """The results of an operation in a context of its own."""
        asked_in: Context = options["context_value"]
        recorder = self._view.recorder
        looking = None if recorder is None else recorder.looking(self._scope, asked_in.principal)
        context = await self._view.new_context(asked_in.client_key, asked_in.principal, looking)
        results = await self._schema.stream(query, **{**options, "context_value": context})
        if looking is None:
            return results
        looking.asks((query, options.get("operation_name")))
        return recorded_results(looking, results)


_MAX_ID = 64
"""Characters of an operation's id; it is repeated in the reason of a close, which has room for 123 bytes."""


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


def _wants_stream(accept: str | None) -> bool:
    return any(part.partition(";")[0].strip().lower() == EVENT_STREAM for part in (accept or "").split(","))
