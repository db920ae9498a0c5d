"""Parsing and validation, once for each text: together they take as long as the answer itself."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

from graphql import DocumentNode, GraphQLError, GraphQLSchema, parse
from graphql.validation import ASTValidationRule
from strawberry.extensions import SchemaExtension
from strawberry.schema.schema import validate_document

MAX_DOCUMENTS = 128
"""Documents that are remembered; a client may make up any number of them."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Documents:
    """What is known of the newest documents of one schema. For the event loop's thread alone: there is no lock."""

    def __init__(self, max_tokens: int, rules: Sequence[type[ASTValidationRule]]) -> None:
        self._max_tokens = max_tokens
        self._rules = tuple(rules)
        self._parsed: OrderedDict[str, DocumentNode] = OrderedDict()
        self._errors: OrderedDict[str, list[GraphQLError]] = OrderedDict()

    def parse(self, text: str) -> DocumentNode:
        """The document. Raises `GraphQLError`, which is not remembered, for what is none or too long."""
        return kept(self._parsed, text, lambda: parse(text, max_tokens=self._max_tokens), MAX_DOCUMENTS)

    def validate(
        self,
        schema: GraphQLSchema,
        text: str,
        document: DocumentNode,
        rules: tuple[type[ASTValidationRule], ...],
    ) -> list[GraphQLError]:
        """What is wrong with a document by `rules`, which are the same each time, and by our own."""
        return kept(
            self._errors,
            text,
            lambda: validate_document(schema, document, (*rules, *self._rules)),
            MAX_DOCUMENTS,
        )


class Prepare(SchemaExtension):
    """Parses and validates a request's document."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def on_parse(self) -> Iterator[None]:
        """Put the document into the context."""
        context = self.execution_context
        if context.query:
            context.graphql_document = self._documents.parse(context.query)
        yield

    def on_validate(self) -> Iterator[None]:
        """Put the document's errors into the context."""
        context = self.execution_context
        assert context.query is not None
        assert context.graphql_document is not None
        context.pre_execution_errors = self._documents.validate(
            context.schema._schema,
            context.query,
            context.graphql_document,
            context.validation_rules,
        )
        yield


def kept(store: OrderedDict[K, V], key: K, make: Callable[[], V], most: int) -> V:
    """The value of `key`, made when it is not there; of more than `most`, that used longest ago goes."""
    if key in store:
        store.move_to_end(key)
        return store[key]
    made = store[key] = make()
    if len(store) > most:
        store.popitem(last=False)
    return made
