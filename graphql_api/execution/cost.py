"""The cost of a query, estimated before it is executed.

A field costs 1, or its weight; the fields selected in a list cost that times the size of the list. So the cost of an
operation is a sum of products. It is computed once for each document; each request only fills in the sizes that come in
variables.

The estimate is an upper bound: it counts fields that @skip or @include leave out, counts duplicate fields each time,
and takes each list as full.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, NamedTuple

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_list_type,
)

from queries.limits import QueryLimits

SHOWN = 10**9
"""The largest cost that is reported: nested fragments can make a number of any length."""
WEIGHTS = {
    "Query.events": 10,
    "Query.eventCounts": 200,
    "Query.patient": 20,
    "Query.user": 40,
    "Query.device": 20,
    "Query.service": 20,
    "Query.resource": 10,
    "Query.node": 20,
    "Query.nodes": 20,
    "Query.projection": 10,
    "Query.projections": 10,
    "Query.sequenceGaps": 20,
    "Query.watchedTargets": 10,
    "Query.followers": 10,
    "Query.alerts": 50,
    "Query.alert": 10,
    "Query.cases": 50,
    "Query.case": 50,
    "Query.ownQuestions": 10,
    "Query.detectionRules": 500,
    "Query.suppressions": 50,
    "Query.reviews": 50,
    "Query.review": 50,
    "Query.reviewItems": 50,
    "Query.reviewItem": 20,
    "Query.explainedAccesses": 100,
    "Query.treeHead": 10,
    "Query.consistencyProof": 50,
    "Query.__schema": 500,
    "Query.__type": 20,
    "ResourceActivity.history": 100,
    "DeviceActivity.configurationAt": 20,
    "ProjectionModel.rows": 20,
    "Event.inclusionProof": 10,
    "Subscription.eventRecorded": 10,
    "Subscription.alertRaised": 10,
    **{f"{subject}Activity.timeline": 10 for subject in ("Patient", "User", "Device", "Service", "Resource")},
}
"""The cost of a field that queries the database, without the fields selected in it; for `nodes`, that of one id."""
_SIZES = ("first", "last", "limit")
_IMPLIED = {
    "Query.node": 100,
    "Query.nodes": 100,
    "Query.ownQuestions": 100,
    "Query.detectionRules": 100,
    "Query.explainedAccesses": 100,
    "Query.review": 100,
    "Query.reviewItem": 100,
}
"""The size of nested lists without an argument of their own: nodes are summaries with the default `limit`.

The lists about detection have no argument, and seldom more rows."""


class Size(NamedTuple):
    """The size of a list: the largest value of these variables and `least`, and at most `most`.

    `absent` is the size when there is neither.
    """

    variables: tuple[tuple[str, int | None], ...]
    least: int | None
    absent: int
    most: int

    def of(self, variables: Mapping[str, Any]) -> int:
        """The size with these variables, which are not validated yet."""
        found = [] if self.least is None else [self.least]
        for name, default in self.variables:
            value = _length(variables[name]) if name in variables else default
            if value is not None:
                found.append(value)
        return max(0, min(max(found, default=self.absent), self.most))

    @property
    def known(self) -> bool:
        """Whether it depends on no variable."""
        return not self.variables


Terms = dict[tuple[Size, ...], int]
"""A sum of products: the sizes of the lists around some fields, and the cost of these fields together."""


class Cost:
    """The cost of one operation."""

    def __init__(self, terms: Mapping[tuple[Size, ...], int]) -> None:
        self._fixed = terms.get((), 0)
        self._terms = tuple((sizes, cost) for sizes, cost in terms.items() if sizes)

    def of(self, variables: Mapping[str, Any] | None) -> int:
        """The cost with these variables, `SHOWN` at most."""
        total = self._fixed
        for sizes, cost in self._terms:
            total += cost * prod(size.of(variables or {}) for size in sizes)
        return min(total, SHOWN)


def estimate(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
    limits: QueryLimits,
) -> Cost:
    """The cost of an operation of a valid document."""
    root = schema.get_root_type(operation.operation)
    assert root is not None
    return Cost(_Estimating(schema, operation, fragments, limits).selection(root, operation.selection_set))


class _Estimating:
    def __init__(
        self,
        schema: GraphQLSchema,
        operation: OperationDefinitionNode,
        fragments: Mapping[str, FragmentDefinitionNode],
        limits: QueryLimits,
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._limits = limits
        self._defaults = {
            each.variable.name.value: None if each.default_value is None else _literal(each.default_value)
            for each in operation.variable_definitions or ()
        }
        self._known: dict[tuple[str, Size | None], Terms] = {}

    def selection(
        self, parent: Any, selections: SelectionSetNode | None, inherited: Size | None = None
    ) -> Terms:
        """The cost of a selection on one object; `inherited` is the size of the lists in it."""
        return _sum(
            self._fragment(selection.name.value, inherited)
            if isinstance(selection, FragmentSpreadNode)
            else self._inline(parent, selection, inherited)
            if isinstance(selection, InlineFragmentNode)
            else self._field(parent, selection, inherited)
            for selection in (selections.selections if selections else ())
            if isinstance(selection, FragmentSpreadNode | InlineFragmentNode | FieldNode)
        )

    def _fragment(self, name: str, inherited: Size | None) -> Terms:
        # Once for each fragment: fragments that double each other would take for ever.
        key = (name, inherited)
        if key not in self._known:
            self._known[key] = {}
            fragment = self._fragments[name]
            on = self._schema.type_map[fragment.type_condition.name.value]
            self._known[key] = self.selection(on, fragment.selection_set, inherited)
        return self._known[key]

    def _inline(self, parent: Any, fragment: InlineFragmentNode, inherited: Size | None) -> Terms:
        condition = fragment.type_condition
        on = parent if condition is None else self._schema.type_map[condition.name.value]
        return self.selection(on, fragment.selection_set, inherited)

    def _field(
        self, parent: GraphQLObjectType | GraphQLInterfaceType, node: FieldNode, inherited: Size | None
    ) -> Terms:
        name = f"{parent.name}.{node.name.value}"
        field = self._schema.get_field(parent, node.name.value)
        if field is None:
            return {(): 1}
        size = self._size(field, node)
        within = _exactly(_IMPLIED[name]) if name in _IMPLIED else size
        inner = self.selection(get_named_type(field.type), node.selection_set, within)
        terms = _sum([{(): WEIGHTS.get(name, 1)}, inner])
        if not _is_list(field.type):
            return terms
        times = size or inherited
        return terms if times is None else _times(terms, times)

    def _size(self, field: GraphQLField, node: FieldNode) -> Size | None:
        """The size that the field's arguments give; None without such an argument."""
        names = [name for name in (*_SIZES, "ids") if name in field.args]
        if not names:
            return None
        given = {each.name.value: each.value for each in node.arguments or ()}
        sources = [given[name] for name in names if name in given]
        if names == ["limit"] and not sources and not isinstance(field.args["limit"].default_value, int):
            return None  # a list of a summary, which has the size that the summary gives
        literals = [
            length
            for each in sources
            if not isinstance(each, VariableNode) and (length := _literal(each)) is not None
        ]
        most = self._limits.max_list if "limit" in names else self._limits.max_page
        absent = next(
            (each for name in names if isinstance(each := field.args[name].default_value, int)), most
        )
        return Size(
            tuple(
                (each.name.value, self._defaults.get(each.name.value))
                for each in sources
                if isinstance(each, VariableNode)
            ),
            max(literals, default=None),
            absent,
            # A larger size has an error of its own, which says more than a cost would.
            most,
        )


def _sum(parts: Iterable[Terms]) -> Terms:
    total: Terms = {}
    for part in parts:
        for sizes, cost in part.items():
            total[sizes] = total.get(sizes, 0) + cost
    return total


def _times(terms: Terms, size: Size) -> Terms:
    if size.known:
        return {sizes: cost * size.of({}) for sizes, cost in terms.items()}
    return _sum({(*sizes, size): cost} for sizes, cost in terms.items())


def _exactly(size: int) -> Size:
    return Size((), size, size, size)


def _is_list(type: GraphQLOutputType) -> bool:
    return is_list_type(get_nullable_type(type))


def _literal(value: ValueNode) -> int | None:
    if isinstance(value, IntValueNode):
        return min(int(value.value[:20]), SHOWN)
    if isinstance(value, ListValueNode):
        return len(value.values)
    return None if isinstance(value, NullValueNode) else 1


def _length(value: Any) -> int | None:
    """The size that a variable's value gives; coercion refuses other values later."""
    if isinstance(value, list):
        return len(value)
    if isinstance(value, int | float) and abs(value) < SHOWN:
        return int(value)
    return None if value is None else 1
