"""Queries answered without an executor: the resolvers of their root fields, and a compiled function on what they give.

An executor is made anew for each request, and strawberry looks up anew what each argument is: of a page of a hundred
events that takes longer than all its fields do. What they find out is the same for each request of one document.

Whatever is out of the ordinary is graphql-core's. Before a resolver was called it does everything; after that it is
given what the resolvers gave, as `Given`, and completes it: so errors and nulls are its own, and nothing is read twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    OperationType,
    get_operation_ast,
    is_non_null_type,
    is_object_type,
)
from graphql.execution.values import VariableValues, get_argument_values, get_variable_values
from strawberry.scalars import is_scalar
from strawberry.schema import Schema
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import StrawberryArgument, convert_argument
from strawberry.types.base import StrawberryMaybe, StrawberryOptional
from strawberry.types.enum import StrawberryEnumDefinition

from graphql_api.context import Context
from graphql_api.execution.compiled_selections import Complete, checking
from graphql_api.execution.executor import CompilingExecutor

Convert = Callable[[Any], Any]


class Given:
    """What the resolvers of an operation gave or raised, by response key. As the root value it stands for them.

    One that was not waited for, as another's error had ended the operation, is not there.
    """

    def __init__(self, outcomes: Mapping[str, Any]) -> None:
        self._outcomes = outcomes

    def take(self, key: str) -> Any:
        """What one gave; what it raised is raised here."""
        if key not in self._outcomes:
            return _nothing()
        outcome = self._outcomes[key]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


async def _nothing() -> None:
    """Something to wait for, which nobody does."""


class Asked(NamedTuple):
    """What a resolver is given for `strawberry.Info`: all that ours take of it."""

    context: Context


class Resolver(NamedTuple):
    """A field of Query that a function answers with an object.

    `arguments`: by GraphQL's name, the Python name and the conversion of a value that is not null, if it needs one.
    """

    field: GraphQLField
    answer: Callable[..., Coroutine[Any, Any, Any]]
    arguments: Mapping[str, tuple[str, Convert | None]]
    object_type: GraphQLObjectType
    nullable: bool
    known: set[type[Any]]
    """Classes of which it is known that their objects are of the type."""


class Root(NamedTuple):
    """A root field of a document."""

    key: str
    node: FieldNode
    resolver: Resolver
    complete: Complete


class Direct:
    """Answers the queries of one schema. For the event loop's thread alone, as its executor is."""

    def __init__(self, schema: Schema, executor: type[CompilingExecutor]) -> None:
        self._schema = schema._schema
        self._executor = executor
        query = self._schema.query_type
        assert query is not None
        self._resolvers = {
            name: resolver
            for name, field in query.fields.items()
            if (resolver := _resolver(field, schema)) is not None
        }
        for field in query.fields.values():
            _let_given_stand_for(field)

    async def answer(
        self, document: DocumentNode, name: str | None, variables: Mapping[str, Any] | None, context: Context
    ) -> dict[str, Any] | Given | None:
        """The data of an answer. `Given` when graphql-core has to complete it, None when it has to do everything."""
        operation = get_operation_ast(document, name)
        if operation is None or operation.operation is not OperationType.QUERY:
            return None
        given = dict(variables or {})
        values = get_variable_values(self._schema, operation.variable_definitions or (), given)
        if not isinstance(values, VariableValues):
            return None
        try:
            choice = self._executor.known(operation, lambda: document.definitions).choice(values.coerced)
            if choice.roots is None:
                choice.roots = self._roots(document, name, given)
            roots = choice.roots
            arguments = [_arguments(root, values) for root in roots]
        except Exception:  # noqa: BLE001 - graphql-core comes upon it too, and tells the client of it
            return None
        if not roots:
            return None
        asked = Asked(context)
        calls = [root.resolver.answer(asked, **taken) for root, taken in zip(roots, arguments, strict=True)]
        return await _answered(roots, calls)

    def _roots(self, document: DocumentNode, name: str | None, variables: dict[str, Any]) -> tuple[Root, ...]:
        """The root fields of an operation; none when one of them is not answered so."""
        executor = self._executor.build(
            self._schema, document, raw_variable_values=variables, operation_name=name
        )
        if not isinstance(executor, CompilingExecutor):
            return ()
        roots: list[Root] = []
        for key, group in executor.root_fields().items():
            resolver = self._resolvers.get(group[0].node.name.value)
            plan = resolver and executor.plan(resolver.object_type, group)
            if resolver is None or plan is None or plan.rest:
                return ()
            roots.append(Root(key, group[0].node, resolver, plan.complete))
        return tuple(roots)


async def _answered(
    roots: Sequence[Root], calls: Sequence[Coroutine[Any, Any, Any]]
) -> dict[str, Any] | Given:
    outcomes = await (_outcomes(roots, calls) if len(calls) > 1 else _outcome(roots[0], calls[0]))
    try:
        return {root.key: _completed(root, outcomes[root.key]) for root in roots}
    except Exception:  # noqa: BLE001 - graphql-core comes upon it too, and tells the client of it
        return Given(outcomes)


async def _outcome(root: Root, call: Coroutine[Any, Any, Any]) -> dict[str, Any]:
    """What the only one gives, or the exception that it raises."""
    try:
        return {root.key: await call}
    except Exception as exc:  # noqa: BLE001 - whatever it is, graphql-core makes an error of it
        return {root.key: exc}


async def _outcomes(roots: Sequence[Root], calls: Sequence[Coroutine[Any, Any, Any]]) -> dict[str, Any]:
    """What each of them gives, or the exception that it raises.

    The first error where there must be something is the answer: whatever still runs then is cancelled.
    """
    tasks: dict[asyncio.Future[Any], Root] = {
        asyncio.ensure_future(call): root for root, call in zip(roots, calls, strict=True)
    }
    waiting: set[asyncio.Future[Any]] = set(tasks)
    outcomes: dict[str, Any] = {}
    try:
        failed = False
        while waiting and not failed:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                exc = task.exception()  # raises when it was cancelled
                if exc is not None and not isinstance(exc, Exception):
                    raise exc
                outcomes[tasks[task].key] = task.result() if exc is None else exc
                failed = failed or (exc is not None and not tasks[task].resolver.nullable)
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    return outcomes


def _completed(root: Root, outcome: Any) -> Any:
    resolver = root.resolver
    if outcome is None and resolver.nullable:
        return None
    if type(outcome) not in resolver.known:
        checking(resolver.object_type, resolver.known)(outcome)
    return root.complete(outcome)


def _arguments(root: Root, values: VariableValues) -> dict[str, Any]:
    """What the resolver's function is called with, but for `info`."""
    taken = root.resolver.arguments
    arguments: dict[str, Any] = {}
    for name, value in get_argument_values(root.resolver.field, root.node, values).items():
        python_name, convert = taken[name]
        arguments[python_name] = value if value is None or convert is None else convert(value)
    return arguments


def _resolver(field: GraphQLField, schema: Schema) -> Resolver | None:
    """What is known of a field of Query; None when it is no object that one function of ours answers with."""
    definition: Any = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    nullable = not is_non_null_type(field.type)
    object_type: Any = field.type if nullable else field.type.of_type  # type: ignore[union-attr]
    if not is_object_type(object_type) or not definition.is_async or definition.extensions:
        return None
    own: Any = object_type.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    # A type with a test of its own may tell between objects of one class, and `Maybe` between null and absent.
    if own.is_type_of is not None or any(
        isinstance(each.type, StrawberryMaybe) for each in definition.arguments
    ):
        return None
    converter = schema.schema_converter
    arguments = {
        converter.config.name_converter.from_argument(each): (each.python_name, _convert(each, converter))
        for each in definition.arguments
    }
    function = definition.base_resolver.wrapped_func
    return Resolver(field, function, arguments, object_type, nullable, set())


def _convert(argument: StrawberryArgument, converter: GraphQLCoreConverter) -> Convert | None:
    kind = argument.type
    if isinstance(kind, StrawberryOptional):
        kind = kind.of_type
    if is_scalar(kind, converter.scalar_registry) or isinstance(kind, StrawberryEnumDefinition):
        return None  # graphql-core has made of it what the function takes
    return lambda value: convert_argument(value, kind, converter.scalar_registry, converter.config)


def _let_given_stand_for(field: GraphQLField) -> None:
    resolve: Any = field.resolve

    def resolved(source: Any, info: Any, **arguments: Any) -> Any:
        if isinstance(source, Given):
            return source.take(info.path.key)
        return resolve(source, info, **arguments)

    field.resolve = resolved
