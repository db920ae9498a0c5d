"""GraphQL over HTTP, by the specification of that name: media types, status codes, GET and batches."""

from __future__ import annotations

from collections.abc import Mapping
from json import JSONDecodeError
from typing import Any, cast

import msgspec
from cross_web import AsyncHTTPRequestAdapter, HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData
from strawberry.types import ExecutionResult

from domain.json_parsing import containers, decode_json
from event_store.log_reader import LogReader
from graphql_api.context import Context
from graphql_api.errors import QueryError
from graphql_api.execution.json_response import encode
from graphql_api.execution.trusted_documents import TrustedDocuments
from graphql_api.schema import make_schema
from queries.error_codes import Code
from queries.freshness import FreshnessWaiter
from queries.thread_pool import Threads
from web.access import Access
from web.authentication.middleware import principal_of
from web.graphql.operation import open_context
from web.graphql.read_audit import record_answer
from web.http.content_negotiation import accepted
from web.http.static_pages import graphiql
from web.read_audit.access_record import access_record_of
from web.settings import WebSettings

JSON = "application/json"
MAX_CONTAINERS = 2000
"""Arrays and objects in one request. Checking the variables, field by field, blocks other requests."""
GRAPHQL = "application/graphql-response+json"


class GraphQLEndpoint(GraphQL[Context, None]):
    """The ASGI application behind `/graphql`."""

    def __init__(
        self,
        access: Access,
        log: LogReader,
        threads: Threads,
        settings: WebSettings,
        waiting: FreshnessWaiter | None = None,
    ) -> None:
        super().__init__(
            make_schema(settings.limits),
            graphql_ide="graphiql" if settings.pages else None,
            allow_queries_via_get=settings.queries_via_get,
            subscription_protocols=(),
            allowed_origins=settings.allowed_origins,
        )
        self.trusted = settings.trusted or TrustedDocuments()
        self.access = access
        self._log = log
        self._threads = threads
        self._waiting = waiting
        self._limits = settings.limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a transport error has the form of a GraphQL answer too."""
        if scope["type"] != "http":
            await WebSocket(scope, receive, send).close(1008)
            return
        request = Request(scope, receive)
        try:
            response = await self.run(request)
        except HTTPException as exc:
            headers = {"Allow": "GET, POST" if self.allow_queries_via_get else "POST"}
            extensions = exc.extensions if isinstance(exc, RefusedError) else {"code": Code.BAD_REQUEST}
            response = Response(
                msgspec.json.encode({"errors": [{"message": exc.reason, "extensions": extensions}]}),
                exc.status_code,
                exc.headers if isinstance(exc, RefusedError) else headers if exc.status_code == 405 else None,
                media_type(request) or JSON,
            )
        await response(scope, receive, send)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> Context:
        """One context for each HTTP request, so that a batch shares the limits."""
        del response
        return await open_context(
            self.access,
            principal_of(request.scope),
            access_record_of(request),
            self._log,
            self._threads,
            self._limits,
            self._waiting,
            client_key=client_key(request),
        )

    async def get_sub_response(self, request: Request | WebSocket) -> Response:
        """The response for the answer, with the negotiated media type."""
        assert isinstance(request, Request)
        media = media_type(request)
        if media is None and not self.should_render_graphql_ide(self.request_adapter_class(request)):
            raise HTTPException(406, f"this endpoint answers with {GRAPHQL} or {JSON}")
        response = await super().get_sub_response(request)
        response.headers["content-type"] = f"{media}; charset=utf-8"
        return response

    def should_render_graphql_ide(self, request: Any) -> bool:
        """Whether a person's browser sent the request. A client that accepts anything gets JSON, not a page."""
        return (
            self.graphql_ide is not None
            and request.method == "GET"
            and not {"query", "documentId", "extensions"} & set(request.query_params)
            and "text/html" in request.headers.get("accept", "")
        )

    async def render_graphql_ide(self, request: Request) -> Response:
        """GraphiQL, from the package's own files."""
        del request
        return graphiql()

    async def parse_http_body(
        self, request: AsyncHTTPRequestAdapter
    ) -> GraphQLRequestData | list[GraphQLRequestData]:
        """The request or the batch. Raises `HTTPException` that names the error."""
        if request.method == "GET":
            data = _from_parameters(request.query_params, self.allow_queries_via_get)
            if "query" in data and not _is_meant(request.headers):
                raise HTTPException(400, f"a query by GET needs the header Accept: {GRAPHQL}")
            return self._operation(data)
        if (request.content_type or "").partition(";")[0].strip().lower() != JSON:
            raise HTTPException(415, f"send the request as {JSON}")
        data = _json(await request.get_body(), "the body")
        if isinstance(data, list):
            return [self._operation(item) for item in self._bounded(data)]
        return self._operation(data)

    def _bounded(self, batch: list[Any]) -> list[Any]:
        if 1 <= len(batch) <= self._limits.max_batch:
            return batch
        wrong = f"a batch holds from 1 to {self._limits.max_batch} operations"
        raise RefusedError(QueryError(Code.LIMIT_EXCEEDED, wrong)) if batch else HTTPException(400, wrong)

    def _operation(self, data: Any) -> GraphQLRequestData:
        if not isinstance(data, dict):
            raise HTTPException(400, "a request is a JSON object")
        _typed(data, "query", str, "a string")
        try:
            query = self.trusted.text(data)
        except QueryError as exc:
            raise RefusedError(exc) from exc
        if not query:
            raise HTTPException(400, "`query` is missing")
        return GraphQLRequestData(
            query=query,
            variables=_typed(data, "variables", dict, "an object"),
            operation_name=_typed(data, "operationName", str, "a string"),
            extensions=_typed(data, "extensions", dict, "an object"),
        )

    def decode_json(self, data: str | bytes) -> object:
        """A message over a WebSocket. Raises `JSONDecodeError`, which ends the connection."""
        try:
            return _json(data, "the message")
        except HTTPException as exc:
            raise JSONDecodeError(exc.reason, "", 0) from exc

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        """The answer; `data` is left out when nothing was executed, as the GraphQL specification says."""
        answer = await super().process_result(request, result)
        if result.data is None and not any(error.path for error in result.errors or ()):
            answer.pop("data", None)
        await record_answer(request, cast("dict[str, Any]", answer))
        return answer

    def create_response(
        self, response_data: GraphQLHTTPResponse | list[GraphQLHTTPResponse], sub_response: Response
    ) -> Response:
        """The HTTP response: 400 for a request that was not executed, if the media type allows that status."""
        content_type = sub_response.headers["content-type"]
        refused = isinstance(response_data, dict) and "data" not in response_data
        status = 400 if refused and content_type.startswith(GRAPHQL) else 200
        return Response(encode(response_data), status, {"content-type": content_type})


def client_key(connection: Request | WebSocket) -> str:
    """The key for a client's limits: the principal, else the peer's address."""
    principal = principal_of(connection.scope)
    if principal is not None:
        return f"{principal.issuer or ''} {principal.id}"
    return "" if connection.client is None else connection.client.host


def media_type(request: Request) -> str | None:
    """The media type that the client accepts; None when it accepts neither."""
    for offered in accepted(request.headers.get("accept", "*/*")):
        if offered == GRAPHQL:
            return GRAPHQL
        if offered in {JSON, "application/*", "*/*", ""}:
            return JSON
    return None


class RefusedError(HTTPException):
    """A request that is refused as a whole; it keeps the error's code."""

    def __init__(
        self, error: QueryError, status: int = 400, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, error.message)
        self.extensions = error.extensions
        self.headers = headers


def _is_meant(headers: Mapping[str, str]) -> bool:
    """Whether a program sent the request on purpose.

    A link, an image or a form of a page sends none of these headers. A browser states the mode of a script's request.
    """
    mode = headers.get("sec-fetch-mode")
    if mode is not None:
        return mode in {"cors", "same-origin"}
    return any(media in headers.get("accept", "") for media in (JSON, GRAPHQL, "text/event-stream"))


def _from_parameters(parameters: Mapping[str, Any], allowed: bool) -> dict[str, Any]:
    if not allowed:
        raise HTTPException(405, "send the request by POST")
    data: dict[str, Any] = dict(parameters)
    for name in ("variables", "extensions"):
        if data.get(name):
            data[name] = _json(data[name], f"`{name}`")
        else:
            data.pop(name, None)
    return data


def _typed(data: Mapping[str, Any], name: str, kind: type, words: str) -> Any:
    value = data.get(name)
    if value is None or isinstance(value, kind):
        return value
    raise HTTPException(400, f"`{name}` must be {words}")


def _json(text: bytes | str, what: str) -> Any:
    if containers(text.encode("utf-8", "replace") if isinstance(text, str) else text) > MAX_CONTAINERS:
        large = f"{what} holds more than {MAX_CONTAINERS} arrays and objects"
        raise RefusedError(QueryError(Code.LIMIT_EXCEEDED, large))
    try:
        return decode_json(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise HTTPException(400, f"{what} is not JSON") from exc
