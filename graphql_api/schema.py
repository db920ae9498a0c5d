"""The schema: what may be asked, and the extensions that limit and guard each request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Any

import graphql
import strawberry
import structlog
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSyntaxError,
    ValidationRule,
    execute,
)
from strawberry.exceptions import MissingQueryError
from strawberry.execution import optimized_is_awaitable
from strawberry.schema._graphql_core import execution_context_class_kwargs
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.schema.schema import DEFAULT_ALLOWED_OPERATION_TYPES
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType
from strawberry.utils.operation import get_operation_type

from domain.errors import origin
from graphql_api.errors import MaskUnexpectedErrors, give_code, is_unexpected
from graphql_api.execution.direct import Direct
from graphql_api.execution.documents import Documents, Prepare, check_operation
from graphql_api.execution.executor import compiling_executor
from graphql_api.execution.introspection import NoSchemaIsTold
from graphql_api.limits import size_rule
from graphql_api.query import Query
from graphql_api.subscription import Subscription
from graphql_api.types import summaries as subjects
from graphql_api.types.event import Event
from graphql_api.types.scalars import LONG, Long
from queries.limits import QueryLimits

log = structlog.get_logger(__name__)


class AuditTrailSchema(strawberry.Schema):
    """The schema; its log tells operators of unexpected errors and repeats nobody's input."""

    documents: Documents
    direct: Direct | None = None
    """What answers most queries; None to leave all to graphql-core."""
    masks = True
    """Whether the words of unexpected errors are kept from clients."""

    async def execute(
        self,
        query: str | None,
        variable_values: dict[str, Any] | None = None,
        context_value: Any = None,
        root_value: Any = None,
        operation_name: str | None = None,
        allowed_operation_types: Iterable[OperationType] | None = None,
        operation_extensions: dict[str, Any] | None = None,
    ) -> ExecutionResult:
        """See `strawberry.Schema`, which asks each extension at each step: that takes as long as a page's fields.

        What the extensions do for subscriptions stands here in its order.
        """
        if not query:
            raise MissingQueryError
        told: dict[str, Any] = {}
        try:
            document = self.documents.parse(query)
            check_operation(document, operation_name)
            _check_type(document, operation_name, allowed_operation_types or DEFAULT_ALLOWED_OPERATION_TYPES)
            errors, told = self.documents.prepare(
                self._schema, query, document, operation_name, variable_values, context_value
            )
            if errors:
                return self._refused(errors, told)
            given: Any = root_value
            if self.direct is not None and root_value is None:
                given = await self.direct.answer(document, operation_name, variable_values, context_value)
                if isinstance(given, dict):
                    return ExecutionResult(given, None, told)
            executed = execute(
                self._schema,
                document,
                root_value=given,
                variable_values=variable_values,
                operation_name=operation_name,
                context_value=context_value,
                is_awaitable=optimized_is_awaitable,  # type: ignore[arg-type]
                operation_extensions=operation_extensions,
                **execution_context_class_kwargs(self.execution_context_class),
            )
            result = executed if isinstance(executed, graphql.ExecutionResult) else await executed
        except (CannotGetOperationTypeError, InvalidOperationTypeError):
            raise
        except GraphQLError as exc:
            return self._refused([exc], told)
        except Exception as exc:  # noqa: BLE001 - the top of a request: whatever it is, it is logged and masked
            return self._refused([GraphQLError(str(exc), original_error=exc)], told)
        return ExecutionResult(result.data, self._told(result.errors), told)

    def _refused(self, errors: list[GraphQLError], extensions: dict[str, Any]) -> ExecutionResult:
        return PreExecutionError(None, self._told(errors), extensions)

    def _told(self, errors: list[GraphQLError] | None) -> list[GraphQLError] | None:
        """The errors as the client gets them, once they are logged."""
        if not errors:
            return None
        self._process_errors(errors)
        return MaskUnexpectedErrors()._process_errors(errors) if self.masks else errors

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
    rules: list[type[ValidationRule]] = [size_rule(limits)]
    if not limits.introspection:
        rules.append(NoSchemaIsTold)
    documents = Documents(limits, rules)
    executor = compiling_executor()
    schema = AuditTrailSchema(
        Query,
        subscription=Subscription,
        types=list(NODE_TYPES),
        config=StrawberryConfig(
            scalar_map={Long: LONG},
            relay_max_results=limits.max_page,
            batching_config={"max_operations": limits.max_batch},
            disable_field_suggestions=not limits.introspection,
        ),
        extensions=[MaskUnexpectedErrors, lambda: Prepare(documents)],
        execution_context_class=executor,
    )
    schema.documents = documents
    schema.direct = Direct(schema, executor)
    return schema


def _check_type(document: DocumentNode, name: str | None, allowed: Iterable[OperationType]) -> None:
    """Raise what the view tells clients of when there is no such operation, or not by this method."""
    try:
        type = get_operation_type(document, name)
    except RuntimeError as exc:
        raise CannotGetOperationTypeError(name) from exc
    if type not in allowed:
        raise InvalidOperationTypeError(type)


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
