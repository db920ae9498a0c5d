"""The executor: that of graphql-core, with compiled functions for selections of plain fields."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar
from weakref import proxy

from cachetools import LRUCache
from graphql import (
    DefinitionNode,
    DirectiveNode,
    FragmentDefinitionNode,
    GraphQLObjectType,
    OperationDefinitionNode,
    VariableNode,
    Visitor,
    visit,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path
from graphql.type import GraphQLResolveInfoHelpers
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from graphql_api.execution.compiled_selections import SelectionPlan, compile_selection
from graphql_api.execution.documents import MAX_DOCUMENTS, kept

MAX_CHOICES = 8
"""Combinations of @skip and @include for which the plans of one document are kept."""

Plans = dict[tuple[object, ...], SelectionPlan | None]


class CompilingExecutor(StrawberryGraphQLCoreExecutionContext):
    """Executes one operation. Only the event loop's thread may use it: `documents` has no lock."""

    documents: ClassVar[LRUCache[int, Document]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        document = kept(
            self.documents,
            id(self.operation),
            lambda: Document(self.operation, self.fragment_definitions.values()),
        )
        self._plans = document.plans(self.variable_values.coerced)
        # graphql-core's helpers refer to the executor, which refers to them: the cycle collector would have to find
        # that circle after each request, and every answer waits while it runs.
        executor = proxy(self)
        self.async_helpers = GraphQLResolveInfoHelpers(
            gather=partial(CompilingExecutor.gather_async_work, executor),
            track=partial(CompilingExecutor.track_async_work, executor),
        )

    def collect_and_execute_subfields(
        self,
        return_type: GraphQLObjectType,
        field_details_list: FieldDetailsList,
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        """The answer for one object, as `graphql.execution.Executor` gives it."""
        plan = plain = None
        # graphql-core meets the same error, and reports it to the client in its own way.
        with suppress(Exception):
            plan = self.plan(return_type, field_details_list)
            plain = plan and plan.complete(result)
        if plan is None or plain is None:
            return super().collect_and_execute_subfields(
                return_type, field_details_list, path, result, position_context
            )
        if not plan.remaining:
            return plain
        rest = self.execute_collected_subfields(
            return_type, result, path, plan.remaining, [], position_context
        )
        return _merge(plan, plain, rest) if isinstance(rest, dict) else _merge_later(plan, plain, rest)

    def plan(self, return_type: GraphQLObjectType, selected: FieldDetailsList) -> SelectionPlan | None:
        """The plan for a selection of an object's fields; None when no field is plain."""
        key = (return_type, *(id(each.node) for each in selected))
        if key not in self._plans:
            self._plans[key] = None  # also when compiling fails
            self._plans[key] = compile_selection(self, return_type, selected)
        return self._plans[key]


class Document:
    """An operation, and its plans by the values of the variables that decide which fields are selected.

    Nodes are compared by identity, which is unique only while they live: so they are held here.
    """

    def __init__(self, operation: OperationDefinitionNode, definitions: Iterable[DefinitionNode]) -> None:
        fragments = [each for each in definitions if isinstance(each, FragmentDefinitionNode)]
        self._held = (operation, *fragments)
        finding = _FindVariables()
        for node in self._held:
            visit(node, finding)
        self._variables = tuple(sorted(finding.names))
        self.choices: LRUCache[tuple[object, ...], Plans] = LRUCache(MAX_CHOICES)

    def plans(self, values: Mapping[str, Any]) -> Plans:
        """The plans for these values of the variables."""
        deciding = tuple(values.get(name) for name in self._variables)
        return kept(self.choices, deciding, dict)


class _FindVariables(Visitor):
    """Finds the variables that decide which fields are selected: those in directives."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
        """One directive."""
        self.names.update(
            argument.value.name.value
            for argument in node.arguments or ()
            if isinstance(argument.value, VariableNode)
        )


def compiling_executor() -> type[CompilingExecutor]:
    """An executor class for one schema, with a cache of its own."""
    return type("SchemaExecutor", (CompilingExecutor,), {"documents": LRUCache(MAX_DOCUMENTS)})


def _merge(plan: SelectionPlan, plain: Mapping[str, Any], rest: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: plain[key] if key in plain else rest[key] for key in plan.keys if key in plain or key in rest
    }


async def _merge_later(plan: SelectionPlan, plain: Mapping[str, Any], rest: Awaitable[Any]) -> dict[str, Any]:
    return _merge(plan, plain, await rest)
