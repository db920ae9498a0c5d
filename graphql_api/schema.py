"""The schema: what may be asked, and the extensions that limit and guard each request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import strawberry
import structlog
from graphql import GraphQLError, GraphQLSyntaxError, ValidationRule
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext
from strawberry.types.execution import PreExecutionError

from graphql_api import activity_types as subjects
from graphql_api.documents import Documents, Prepare
from graphql_api.errors import MaskUnexpectedErrors, give_code, is_unexpected, origin
from graphql_api.event_type import Event
from graphql_api.executing import compiling_executor
from graphql_api.introspection import NoSchemaIsTold
from graphql_api.limits import QueryLimits, size_rule
from graphql_api.query import Query
from graphql_api.scalars import LONG, Long
from graphql_api.subscription import Subscription

log = structlog.get_logger(__name__)


class AuditTrailSchema(strawberry.Schema):
    """The schema; its log tells operators of unexpected errors and repeats nobody's input."""

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Log what was unexpected; what was written for the client is no news."""
        del execution_context
        for error in errors:
            if is_unexpected(error):
                where = ".".join(map(str, error.path or ()))
                log.error("query_failed", path=where, **origin(error.original_error or error))
            else:
                give_code(error)

    async def stream(self, *args: Any, **options: Any) -> AsyncGenerator[Any, None]:
        """See `strawberry.Schema`, which lets the errors of a cached parser through as exceptions."""
        return _with_parse_errors(await super().stream(*args, **options))


async def _with_parse_errors(results: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    async with aclosing(results):
        try:
            async for result in results:
                yield result
        except GraphQLSyntaxError as exc:
            give_code(exc)
            yield PreExecutionError(data=None, errors=[exc])


def make_schema(limits: QueryLimits) -> AuditTrailSchema:
    """The schema under `limits`. Make one per process: the caches of validated documents hang on it."""
    return AuditTrailSchema(
        Query,
        subscription=Subscription,
        types=list(NODE_TYPES),
        config=StrawberryConfig(
            scalar_map={Long: LONG},
            relay_max_results=limits.max_page,
            batching_config={"max_operations": limits.max_batch},
            disable_field_suggestions=not limits.introspection,
        ),
        extensions=_extensions(limits),
        execution_context_class=compiling_executor(),
    )


def _extensions(limits: QueryLimits) -> list[Callable[[], SchemaExtension]]:
    rules: list[type[ValidationRule]] = [size_rule(limits)]
    if not limits.introspection:
        rules.append(NoSchemaIsTold)
    documents = Documents(limits, rules)
    return [MaskUnexpectedErrors, lambda: Prepare(documents)]


NODE_TYPES = (
    Event,
    subjects.PatientActivity,
    subjects.UserActivity,
    subjects.DeviceActivity,
    subjects.ServiceActivity,
    subjects.ResourceActivity,
)
"""The types behind `Node`."""


def sdl() -> str:
    """The schema as text, as it is kept in `schema.graphql`."""
    return make_schema(QueryLimits()).as_str() + "\n"
