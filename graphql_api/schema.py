"""The schema, and the execution of a request under limits."""

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
from graphql_api.execution.documents import Documents, Prepare, check_operation
from graphql_api.execution.executor import compiling_executor
from graphql_api.execution.introspection import RefuseIntrospection, without_hints
from graphql_api.limits import size_rule
from graphql_api.query import Query
from graphql_api.subscription import Subscription
from graphql_api.types import summaries as subjects
from graphql_api.types.event import Event
from graphql_api.types.scalars import LONG, Long
from queries.limits import QueryLimits

log = structlog.get_logger(__name__)


class AuditTrailSchema(strawberry.Schema):
    """The schema. Unexpected errors go to the log, which never repeats a client's input."""

    documents: Documents
    masks = True
    """Whether clients get a general message in place of unexpected errors."""

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
        """Execute an operation without strawberry's extensions, which cost as much time as the fields of a page.

        Performs the steps that extensions perform for subscriptions.
        """
        if not query:
            raise MissingQueryError
        extensions: dict[str, Any] = {}
        try:
            document = self.documents.parse(query)
            check_operation(document, operation_name)
            _check_type(document, operation_name, allowed_operation_types or DEFAULT_ALLOWED_OPERATION_TYPES)
            errors, extensions = self.documents.prepare(
                self._schema, query, document, operation_name, variable_values, context_value
            )
            if errors:
                return self._refused(errors, extensions)
            executed = execute(
                self._schema,
                document,
                root_value=root_value,
                variable_values=variable_values,
                operation_name=operation_name,
                context_value=context_value,
                is_awaitable=optimized_is_awaitable,  # type: ignore[arg-type]
                operation_extensions=operation_extensions,
                hide_suggestions=self.config.disable_field_suggestions,
                **execution_context_class_kwargs(self.execution_context_class),
            )
            result = executed if isinstance(executed, graphql.ExecutionResult) else await executed
        except (CannotGetOperationTypeError, InvalidOperationTypeError):
            raise
        except GraphQLError as exc:
            return self._refused([exc], extensions)
        except Exception as exc:  # noqa: BLE001 - the top of a request: any error is logged and masked
            return self._refused([GraphQLError(str(exc), original_error=exc)], extensions)
        return ExecutionResult(result.data, self._reported(result.errors), extensions)

    def _refused(self, errors: list[GraphQLError], extensions: dict[str, Any]) -> ExecutionResult:
        return PreExecutionError(None, self._reported(errors), extensions)

    def _reported(self, errors: list[GraphQLError] | None) -> list[GraphQLError] | None:
        """The errors as the client gets them; unexpected ones are logged."""
        if not errors:
            return None
        self._process_errors(errors)
        return MaskUnexpectedErrors()._process_errors(errors) if self.masks else errors

    def process_errors(
        self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None
    ) -> None:
        """Log unexpected errors, and give the others their codes."""
        del execution_context
        for error in errors:
            if is_unexpected(error):
                where = ".".join(map(str, error.path or ()))
                log.error("query_failed", path=where, **origin(error.original_error or error))
            else:
                self._explain(error)

    def _explain(self, error: GraphQLError) -> None:
        """Give an error of the library its code, and take from its message what introspection would tell."""
        written_by_us = bool((error.extensions or {}).get("code"))
        give_code(error)
        if self.config.disable_field_suggestions and not written_by_us:
            error.message = without_hints(error.message)

    async def stream(self, *args: Any, **options: Any) -> AsyncGenerator[Any, None]:
        """The results of a subscription. Errors of the cached parser become results, not exceptions."""
        return self._with_parse_errors(await super().stream(*args, **options))

    async def _with_parse_errors(self, results: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        async with aclosing(results):
            try:
                async for result in results:
                    yield result
            except GraphQLSyntaxError as exc:
                self._explain(exc)
                yield PreExecutionError(data=None, errors=[exc])


def make_schema(limits: QueryLimits) -> AuditTrailSchema:
    """The schema under `limits`. Make one per process: it holds the cache of validated documents."""
    rules: list[type[ValidationRule]] = [size_rule(limits)]
    if not limits.introspection:
        rules.append(RefuseIntrospection)
    documents = Documents(limits, rules)
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
        execution_context_class=compiling_executor(),
    )
    schema.documents = documents
    return schema


def _check_type(document: DocumentNode, name: str | None, allowed: Iterable[OperationType]) -> None:
    """Raise the view's error when the operation is unknown, or not allowed by this method."""
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
    """The schema as text, as `schema.graphql` has it."""
    return make_schema(QueryLimits()).as_str() + "\n"
