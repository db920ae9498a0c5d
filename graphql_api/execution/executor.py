"""The executor: graphql-core's own, which asks a compiled function first (see `compiling`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

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
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet, collect_fields
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from graphql_api.execution.compiled_selections import Plan, compile_selection
from graphql_api.execution.documents import MAX_DOCUMENTS, kept

if TYPE_CHECKING:
    from graphql_api.execution.direct import Root

MAX_CHOICES = 8
"""Of one document, plans are kept for that many combinations of what its @skip and @include say."""

Plans = dict[tuple[object, ...], Plan | None]


class CompilingExecutor(StrawberryGraphQLCoreExecutionContext):
    """Executes one operation. Only the event loop's thread may use it: `documents` has no lock."""

    documents: ClassVar[LRUCache[int, Document]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        document = self.known(self.operation, self.fragment_definitions.values)
        self._plans = document.choice(self.variable_values.coerced).plans

    @classmethod
    def known(
        cls, operation: OperationDefinitionNode, definitions: Callable[[], Iterable[DefinitionNode]]
    ) -> Document:
        """What is known of an operation of a document that has these definitions."""
        return kept(cls.documents, id(operation), lambda: Document(operation, definitions()))

    def root_fields(self) -> GroupedFieldSet:
        """The fields of the operation itself, by response key."""
        root = self.schema.get_root_type(self.operation.operation)
        assert root is not None
        found = collect_fields(self.schema, self.fragments, self.variable_values, root, self.operation)
        return found.grouped_field_set

    def collect_and_execute_subfields(
        self,
        return_type: GraphQLObjectType,
        field_details_list: FieldDetailsList,
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        """The answer for one object: see `graphql.execution.Executor`."""
        plan = plain = None
        # Whatever it is, graphql-core comes upon it too, and tells the client of it as it should.
        with suppress(Exception):
            plan = self.plan(return_type, field_details_list)
            plain = plan and plan.complete(result)
        if plan is None or plain is None:
            return super().collect_and_execute_subfields(
                return_type, field_details_list, path, result, position_context
            )
        if not plan.rest:
            return plain
        rest = self.execute_collected_subfields(return_type, result, path, plan.rest, [], position_context)
        return _merge(plan, plain, rest) if isinstance(rest, dict) else _merge_later(plan, plain, rest)

    def plan(self, return_type: GraphQLObjectType, selected: FieldDetailsList) -> Plan | None:
        """How what is selected of an object is answered; None when no field of it is plain."""
        key = (return_type, *(id(each.node) for each in selected))
        if key not in self._plans:
            self._plans[key] = None  # so it stays when compiling fails
            self._plans[key] = compile_selection(self, return_type, selected)
        return self._plans[key]


class Choice:
    """What holds of an operation for one combination of what its directives say."""

    def __init__(self) -> None:
        self.plans: Plans = {}
        self.roots: tuple[Root, ...] | None = None
        """See `graphql_api.execution.direct`, which finds them out once."""


class Document:
    """An operation, and its plans by the values of the variables that decide which fields there are.

    Its nodes are told apart by their identity, which is theirs only while they live: so they are held here.
    """

    def __init__(self, operation: OperationDefinitionNode, definitions: Iterable[DefinitionNode]) -> None:
        fragments = [each for each in definitions if isinstance(each, FragmentDefinitionNode)]
        self._held = (operation, *fragments)
        finding = _FindVariables()
        for node in self._held:
            visit(node, finding)
        self._variables = tuple(sorted(finding.names))
        self.choices: LRUCache[tuple[object, ...], Choice] = LRUCache(MAX_CHOICES)

    def choice(self, values: Mapping[str, Any]) -> Choice:
        """What holds for these values of the variables."""
        said = tuple(values.get(name) for name in self._variables)
        return kept(self.choices, said, Choice)


class _FindVariables(Visitor):
    """Finds the variables that decide which fields there are: those that a directive takes."""

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
    """An executor class with plans of its own, for one schema."""
    return type("SchemaExecutor", (CompilingExecutor,), {"documents": LRUCache(MAX_DOCUMENTS)})


def _merge(plan: Plan, plain: Mapping[str, Any], rest: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: plain[key] if key in plain else rest[key] for key in plan.keys if key in plain or key in rest
    }


async def _merge_later(plan: Plan, plain: Mapping[str, Any], rest: Awaitable[Any]) -> dict[str, Any]:
    return _merge(plan, plain, await rest)
