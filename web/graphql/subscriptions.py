"""Subscriptions beside the queries of `/graphql`: WebSockets, and server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from datetime import timedelta
from typing import Any, cast

from cross_web import AsyncHTTPRequestAdapter, HTTPException
from graphql import GraphQLError, OperationType, get_operation_ast
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLRequestData
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, GRAPHQL_TRANSPORT_WS_PROTOCOL

from domain.access.principal import Principal
from event_store.log_reader import LogReader
from graphql_api.context import Context
from graphql_api.errors import QueryError
from graphql_api.execution.json_response import encode
from graphql_api.limits import read_document
from queries.error_codes import Code
from queries.following.feed import Feed, Wake
from queries.freshness import Checkpoints, FreshnessWaiter
from queries.thread_pool import Threads
from web.access import Access
from web.authentication.combined import Authentication
from web.authentication.middleware import Denied, principal_of
from web.authentication.rates import Rates
from web.graphql.endpoint import GRAPHQL, JSON, GraphQLEndpoint, RefusedError, client_key
from web.graphql.operation import open_context
from web.graphql.read_audit import recorded_results
from web.graphql.websocket import TRY_LATER, Connection
from web.http.content_negotiation import accepted
from web.read_audit.access_record import AccessRecord, AccessRecorder, access_record_of
from web.settings import WebSettings

EVENT_STREAM = "text/event-stream"
_HOW_TO_SUBSCRIBE = f"subscribe by graphql-transport-ws, or with Accept: {EVENT_STREAM}"
_INIT_SECONDS = 10


def make_feed(models: Checkpoints, wake: Wake, settings: WebSettings) -> Feed:
    """The feed of all subscriptions of the application."""
    return Feed(
        models, wake, limit=settings.max_subscriptions, client_limit=settings.max_client_subscriptions
    )


class SubscribingEndpoint(GraphQLEndpoint):
    """The ASGI application behind `/graphql` that also takes WebSockets and answers event streams."""

    def __init__(
        self,
        access: Access,
        log: LogReader,
        threads: Threads,
        settings: WebSettings,
        waiting: FreshnessWaiter,
        feed: Feed,
    ) -> None:
        super().__init__(access, log, threads, settings, waiting)
        self.protocols = (GRAPHQL_TRANSPORT_WS_PROTOCOL, GRAPHQL_SSE_PROTOCOL)
        self.connection_init_wait_timeout = timedelta(seconds=_INIT_SECONDS)
        self.max_subscriptions_per_connection = settings.max_connection_subscriptions
        self.graphql_transport_ws_handler_class = Connection
        self.authentication = Authentication()
        """Set by the application."""
        self.rates = Rates.of(settings)
        """Set by the application: sockets and requests count together."""
        self.denied: Denied = lambda *_: None
        self.recorder: AccessRecorder | None = None
        self.recheck = settings.token_recheck
        self.known = 0
        """Authenticated sockets. Those without authentication have a limit of their own."""
        self._unknown = 0
        self._feed = feed
        self._max_connections = settings.max_subscriptions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection or answer one request."""
        if scope["type"] == "http":
            await super().__call__(scope, receive, send)
            return
        socket = WebSocket(scope, receive, send)
        known = principal_of(scope) is not None
        taken = self.known if known else self._unknown
        if self._feed.closed or taken >= self._max_connections:
            await socket.close(TRY_LATER)
            return
        self._count(known, 1)
        try:
            await self.run(socket)
        finally:
            # `let_in` has counted a socket that has authenticated meanwhile.
            self._count(principal_of(scope) is not None, -1)

    def _count(self, known: bool, step: int) -> None:
        if known:
            self.known += step
        else:
            self._unknown += step

    async def reject_websocket(self, request: WebSocket) -> WebSocket:
        """Reject the WebSocket of a page of another site, and record the denial."""
        self.denied(request.scope, 403, "a page of another site")
        return await super().reject_websocket(request)

    def let_in(self, scope: Scope, principal: Principal) -> bool:
        """Count a socket as the principal's from now on; False when there is no place."""
        if self.known >= self._max_connections:
            return False
        scope.setdefault("state", {})["principal"] = principal
        self._count(False, -1)
        self._count(True, 1)
        return True

    async def new_context(
        self, client_key: str, principal: Principal | None, record: AccessRecord | None
    ) -> Context:
        """The context of one operation; what it reads is added to `record`."""
        return await open_context(
            self.access,
            principal,
            record,
            self._log,
            self._threads,
            self._limits,
            self._waiting,
            self._feed,
            client_key=client_key,
        )

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """The context of a request. On a WebSocket it only holds the principal: each operation has its own context."""
        del response
        return await self.new_context(
            client_key(request), principal_of(request.scope), access_record_of(request)
        )

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        """The response before its content is known. An event stream sets its media type itself."""
        if isinstance(request, Request) and _wants_stream(request.headers.get("accept")):
            return await GraphQL.get_sub_response(self, request)
        return await super().get_sub_response(request)

    async def parse_http_body(
        self, request: AsyncHTTPRequestAdapter
    ) -> GraphQLRequestData | list[GraphQLRequestData]:
        """Read the body, and accept event streams."""
        data = await super().parse_http_body(request)
        accept = request.headers.get("accept")
        if isinstance(data, list):
            if _wants_stream(accept):
                raise HTTPException(400, "a batch is no stream")
            if any(map(self._is_subscription, data)):
                raise HTTPException(400, _HOW_TO_SUBSCRIBE)
        elif _wants_stream(accept) or (_takes_stream(accept) and self._is_subscription(data)):
            data.protocol = "sse"
        elif self._is_subscription(data):
            # No executor can answer a subscription that is sent as a query.
            raise HTTPException(400, _HOW_TO_SUBSCRIBE)
        return data

    async def execute_operation(self, request: Request, *args: Any, **options: Any) -> Any:
        """Execute the operation. The results of a stream are closed with its answer."""
        record = access_record_of(request)
        data = options["request_data"]
        if isinstance(data, list) and len(data) > 1:
            self._ask_more(principal_of(request.scope), len(data) - 1)
        if record is not None:
            several = data if isinstance(data, list) else [data]
            record.set_documents(*((each.query, each.operation_name) for each in several))
        result: Any = await super().execute_operation(request, *args, **options)
        if isinstance(result, AsyncGenerator):
            if record is not None:
                result = recorded_results(record, result)
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
        kept = {name: value for name, value in headers.items() if name.lower() != "cache-control"}
        no_store = {"Cache-Control": "no-store, no-transform"}
        # A subscription of a client that takes JSON too: its response has the type of a query's answer.
        prepared = {name: value for name, value in sub_response.headers.items() if name != "content-type"}
        return _Stream(_with_plain_lines(stream()), request.state.results, {**prepared, **kept, **no_store})

    def _ask_more(self, principal: Principal | None, times: int) -> None:
        """Count the operations of a batch after the first, which was counted as the request. Raises `RefusedError`."""
        wait = 0 if principal is None else self.rates.ask(principal, times, beside=1)
        if wait:
            message = "too many requests; wait as long as Retry-After says"
            raise RefusedError(
                QueryError(Code.LIMIT_EXCEEDED, message), 429, {"Retry-After": str(int(wait) + 1)}
            )

    def _is_subscription(self, request: GraphQLRequestData) -> bool:
        query = request.query or ""
        if "subscription" not in query:
            return False
        try:
            document = read_document(query, self._limits)
        except (GraphQLError, RecursionError):
            return False  # the executor reports the error
        operation = get_operation_ast(document, request.operation_name)
        return operation is not None and operation.operation is OperationType.SUBSCRIPTION

    def encode_json(self, data: object) -> str:
        """JSON of one line."""
        return encode(data).decode()


class _Stream(StreamingResponse):
    """A stream that ends with its client, also when the client stops reading before it goes away.

    The sending is then cancelled between two chunks, where no generator notices. The garbage collector would close the
    generators late and from the inside out, which is an error of its own.
    """

    def __init__(
        self, body: AsyncIterator[str], results: AsyncGenerator[Any, None], headers: Mapping[str, str]
    ) -> None:
        super().__init__(body, headers=headers)
        self._body = body
        self._results = results

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream, and close it in any case."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await cast("AsyncGenerator[str, None]", self._body).aclose()
            await self._results.aclose()


def _takes_stream(accept: str | None) -> bool:
    return EVENT_STREAM in accepted(accept or "")


def _wants_stream(accept: str | None) -> bool:
    """Whether a client prefers an event stream to JSON, by weight and then by order (RFC 9110, section 12.5.1)."""
    preferred = [media for media in accepted(accept or "") if media in {EVENT_STREAM, GRAPHQL, JSON}]
    return preferred[:1] == [EVENT_STREAM]


async def _with_plain_lines(stream: AsyncIterator[str]) -> AsyncGenerator[str, None]:
    """Lines that end with LF: some clients split at nothing else. JSON holds neither CR nor LF."""
    async with aclosing(cast("AsyncGenerator[str, None]", stream)) as chunks:
        async for chunk in chunks:
            yield chunk.replace("\r\n", "\n")
