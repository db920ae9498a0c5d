"""Parses and validates each document once: together that takes as long as the answer itself."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from cachetools import LRUCache
from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    get_operation_ast,
)
from graphql.validation import ASTValidationRule, specified_rules, validate
from strawberry.extensions import SchemaExtension
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from graphql_api.context import Context
from graphql_api.errors import QueryError
from graphql_api.execution.cost import Cost, estimate
from graphql_api.limits import read_document
from queries.error_codes import Code
from queries.limits import QueryLimits

MAX_DOCUMENTS = 128
"""The size of each cache: clients can send any number of different documents."""

MAX_ERRORS = 5
"""Reported errors of an invalid document, which can have one for each token."""

_STRAWBERRYS = (MaybeNullValidationRule, OneOfInputValidationRule)
"""The rules that `strawberry.schema` adds to those of the specification."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Documents:
    """Caches for the newest documents of one schema. Only for the event loop's thread: there is no lock."""

    def __init__(self, limits: QueryLimits, rules: Sequence[type[ASTValidationRule]]) -> None:
        self._limits = limits
        self._rules = tuple(rules)
        self._parsed: LRUCache[str, DocumentNode] = LRUCache(MAX_DOCUMENTS)
        self._errors: LRUCache[str, list[GraphQLError]] = LRUCache(MAX_DOCUMENTS)
        self._costs: LRUCache[tuple[str, str | None], Cost] = LRUCache(MAX_DOCUMENTS)

    def parse(self, text: str) -> DocumentNode:
        """The parsed document. Raises `GraphQLError`, which is not cached, for an invalid or too long text."""
        return kept(self._parsed, text, lambda: read_document(text, self._limits))

    def validate(
        self,
        schema: GraphQLSchema,
        text: str,
        document: DocumentNode,
        rules: tuple[type[ASTValidationRule], ...],
    ) -> list[GraphQLError]:
        """The errors of a document by `rules`, which are the same for each call, and by our own."""
        return kept(
            self._errors,
            text,
            lambda: self._errors_of(schema, document, rules),
        )

    def _errors_of(
        self, schema: GraphQLSchema, document: DocumentNode, rules: tuple[type[ASTValidationRule], ...]
    ) -> list[GraphQLError]:
        """A document over a limit is not validated further, since other rules compare its parts with each other."""
        own = self._faults(schema, document, self._rules)
        if any(isinstance(error, QueryError) and error.code is Code.LIMIT_EXCEEDED for error in own):
            return own
        return self._faults(schema, document, (*rules, *self._rules, *_STRAWBERRYS))

    def _faults(
        self, schema: GraphQLSchema, document: DocumentNode, rules: tuple[type[ASTValidationRule], ...]
    ) -> list[GraphQLError]:
        """The first `MAX_ERRORS` errors. Each further one would take time for its position and for similar names."""
        hide = not self._limits.introspection
        return validate(schema, document, rules, max_errors=MAX_ERRORS, hide_suggestions=hide)[:MAX_ERRORS]

    def cost(self, schema: GraphQLSchema, text: str, document: DocumentNode, operation: str | None) -> Cost:
        """The cost of an existing operation of a valid document."""

        def estimated() -> Cost:
            found = get_operation_ast(document, operation)
            assert found is not None
            fragments = {
                each.name.value: each
                for each in document.definitions
                if isinstance(each, FragmentDefinitionNode)
            }
            return estimate(schema, found, fragments, self._limits)

        return kept(self._costs, (text, operation), estimated)

    def prepare(
        self,
        schema: GraphQLSchema,
        text: str,
        document: DocumentNode,
        operation: str | None,
        variables: Mapping[str, Any] | None,
        context: Context,
        rules: tuple[type[ASTValidationRule], ...] = specified_rules,
    ) -> Prepared:
        """The errors of a request before its execution, and its cost, which is charged to `context`."""
        errors = self.validate(schema, text, document, rules)
        if errors:
            return Prepared(errors, {})
        cost = self.cost(schema, text, document, operation).of(variables)
        extensions = {"cost": {"requested": cost, "limit": self._limits.max_cost}}
        try:
            context.charge(cost)
        except QueryError as exc:
            return Prepared([exc], extensions)
        return Prepared([], extensions)


class Prepared(NamedTuple):
    """The errors that stop a request before its execution, and the `extensions` of its answer."""

    errors: list[GraphQLError]
    extensions: dict[str, Any]


class Prepare(SchemaExtension):
    """Parses and validates a subscription's document, and charges its cost."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._extensions: dict[str, Any] = {}

    def on_parse(self) -> Iterator[None]:
        """Put the document into the context."""
        context = self.execution_context
        if context.query:
            context.graphql_document = self._documents.parse(context.query)
            check_operation(context.graphql_document, context._provided_operation_name)
        yield

    def on_validate(self) -> Iterator[None]:
        """Put the document's errors into the context."""
        context = self.execution_context
        assert context.query is not None
        assert context.graphql_document is not None
        context.pre_execution_errors, self._extensions = self._documents.prepare(
            context.schema._schema,
            context.query,
            context.graphql_document,
            context.operation_name,
            context.variables,
            context.context,
            context.validation_rules,
        )
        yield

    def get_results(self) -> dict[str, Any]:
        """`extensions.cost` of the answer; empty without an operation."""
        return self._extensions


def check_operation(document: DocumentNode, name: str | None) -> None:
    """Raise `QueryError` when the operation is ambiguous: strawberry would take the first."""
    if name is None and sum(isinstance(each, OperationDefinitionNode) for each in document.definitions) > 1:
        raise QueryError(
            Code.VALIDATION_FAILED, "the document has several operations; name one in `operationName`"
        )


def kept(store: LRUCache[K, V], key: K, make: Callable[[], V]) -> V:
    """The cached value of `key`, made by `make` if it is missing."""
    found = store.get(key)
    if found is None:
        found = store[key] = make()
    return found
