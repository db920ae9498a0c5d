"""Selections compiled to Python: one function that makes a whole answer out of plain attributes.

graphql-core takes about 3 us for each field of each object, most of it to repeat decisions that are the same for all
objects of a list. If the fields of a selection only read attributes, these decisions are made once and become the
source of a function: ``return {"id": o.id, "actor": complete2(o.actor)}``, with a check of each value's class.

A compiled function returns what graphql-core would, or raises. It has no side effects, so its caller can then let
graphql-core do the same work, which yields errors and nulls exactly as the specification says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import count
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from graphql import (
    GraphQLBoolean,
    GraphQLField,
    GraphQLID,
    GraphQLInt,
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLString,
    Undefined,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution.collect_fields import CollectedFields, FieldDetailsList, GroupedFieldSet
from strawberry.execution import optimized_is_awaitable
from strawberry.schema.schema_converter import CustomGraphQLEnumType, GraphQLCoreConverter

MAX_FIELDS = 500
"""Fields of one function, fragments expanded. Compiling takes about 20 us for each and blocks other requests."""

Complete = Callable[[Any], dict[str, Any]]


class SelectionPlan(NamedTuple):
    """The plan for a selection on an object: `complete` gives the plain fields.

    `remaining` are all other fields, which graphql-core executes. `keys` has the response keys of both, in the order of
    the answer.
    """

    complete: Complete
    remaining: GroupedFieldSet
    keys: tuple[str, ...]


class Collecting(Protocol):
    """An executor, which collects the fields of a selection and applies the directives of the request."""

    def collect_subfields(
        self, return_type: GraphQLObjectType, field_details_list: FieldDetailsList
    ) -> CollectedFields:
        """The fields of a selection: see `graphql.execution.Executor`."""
        ...


class UnlikeError(Exception):
    """A value that a compiled function leaves to graphql-core. No client sees it."""


class _NotPlainError(Exception):
    """A field that can't be compiled: it has a resolver or an interface, or exceeds `MAX_FIELDS`."""


def compile_selection(
    executor: Collecting, object_type: GraphQLObjectType, selected: FieldDetailsList
) -> SelectionPlan | None:
    """The plan for the fields `selected` of this type; None when no field is plain."""
    writer = _Writer(executor)
    collected = executor.collect_subfields(object_type, selected)
    plain: dict[str, str] = {}
    remaining: GroupedFieldSet = {}
    for key, group in collected.grouped_field_set.items():
        try:
            plain[key] = writer.field(object_type, group)
        except _NotPlainError:
            remaining[key] = group
    if not plain or collected.new_defer_usages:
        return None
    # graphql-core has checked already that the object is of the type.
    complete = writer.load(writer.function(plain))
    return SelectionPlan(complete, remaining, tuple(collected.grouped_field_set))


class _Writer:
    """Writes the functions of one plan.

    Each takes an object `o`. Its values are named v1, v2 ..., and the Python objects that it uses n1, n2 ...
    """

    def __init__(self, executor: Collecting) -> None:
        self._executor = executor
        self._source: list[str] = []
        self._names: dict[str, Any] = {}
        self._numbers = count(1)
        self._fields = 0

    def load(self, function: str) -> Complete:
        """The function of this name, compiled with all others."""
        # The only text of a client in it are response keys: GraphQL names, written by `repr`.
        exec(compile("\n".join(self._source), "<selection>", "exec"), self._names)  # noqa: S102 - text of ours  # nosec B102
        loaded: Complete = self._names[function]
        return loaded

    def function(self, entries: Mapping[str, str], check: str = "") -> str:
        """Write the function that returns these expressions by response key, and return its name."""
        name = f"complete{next(self._numbers)}"
        items = ", ".join(f"{key!r}: {expression}" for key, expression in entries.items())
        self._source.append(f"def {name}(o):\n {check}\n return {{{items}}}")
        return name

    def field(self, parent_type: GraphQLObjectType, group: FieldDetailsList) -> str:
        """The expression of a field of `o`. Raises `_NotPlainError`."""
        self._fields += 1
        name = group[0].node.name.value
        if name == "__typename":
            return repr(parent_type.name)
        field = parent_type.fields.get(name)
        if field is None or field.args or self._fields > MAX_FIELDS:
            raise _NotPlainError
        value = self._value_name()
        name = _attribute(field)
        return self._value(field.type, value, f"{value} := o.{_paths(parent_type).get(name, name)}", group)

    def _value(self, type: GraphQLOutputType, value: str, given: str, group: FieldDetailsList) -> str:
        """The expression that completes the variable `value`; `given` is its name, or the expression that sets it."""
        if is_non_null_type(type):
            return self._present(type.of_type, value, given, group)
        return f"(None if ({given}) is None else {self._present(type, value, value, group)})"

    def _present(self, type: GraphQLOutputType, value: str, given: str, group: FieldDetailsList) -> str:
        if is_leaf_type(type):
            return self._leaf(type, value, given)
        if is_list_type(type):
            item = self._value_name()
            items = f"[{self._value(type.of_type, item, item, group)} for {item} in {value}]"
            # An iterator can be read only once, and graphql-core may need it after a failure.
            return f"({items} if type({given}) in {self._refer(_LISTS)} else {self._refer(_refuse)}())"
        if is_object_type(type):
            return f"{self._object(type, group)}({given})"
        raise _NotPlainError

    def _object(self, object_type: GraphQLObjectType, group: FieldDetailsList) -> str:
        """The name of the function that completes a nested object."""
        collected = self._executor.collect_subfields(object_type, group)
        definition = object_type.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
        # A type with its own `is_type_of` may distinguish objects of one class. Introspection types have no definition.
        if collected.new_defer_usages or definition is None or definition.is_type_of is not None:
            raise _NotPlainError
        written = len(self._source)
        try:
            entries = {
                key: self.field(object_type, inner) for key, inner in collected.grouped_field_set.items()
            }
        except _NotPlainError:
            del self._source[written:]
            raise
        known: set[type[Any]] = set()
        check = f"if type(o) not in {self._refer(known)}: {self._refer(_checking(object_type, known))}(o)"
        return self.function(entries, check)

    def _leaf(self, type: GraphQLLeafType, value: str, given: str) -> str:
        careful = self._refer(_careful(type))
        if isinstance(type, CustomGraphQLEnumType):
            members: Iterable[Any] = type.wrapped_cls
            table = {member: type.coerce_output_value(member) for member in members}
            quick, right = f"{self._refer(table)}[{value}]", f"is {self._refer(type.wrapped_cls)}"
        elif type is GraphQLInt:
            quick, right = value, f"is int and -0x80000000 <= {value} <= 0x7fffffff"
        elif type.name in _QUICK:
            kind, pattern = _QUICK[type.name]
            quick, right = pattern.format(value), f"is {self._refer(kind)}"
        else:
            return f"{careful}({given})"
        return f"({quick} if type({given}) {right} else {careful}({value}))"

    def _refer(self, thing: Any) -> str:
        """The name of `thing` in the source."""
        name = f"n{next(self._numbers)}"
        self._names[name] = thing
        return name

    def _value_name(self) -> str:
        return f"v{next(self._numbers)}"


_LISTS = frozenset({list, tuple})
_QUICK: dict[str, tuple[type[Any], str]] = {
    GraphQLString.name: (str, "{}"),
    GraphQLID.name: (str, "{}"),
    GraphQLBoolean.name: (bool, "{}"),
    "DateTime": (datetime, "{}"),
    "UUID": (UUID, "{}"),
    "Long": (int, "{}"),
}
"""Scalars whose serializer keeps a value of exactly that class; `json_response` writes times and UUIDs."""


def _attribute(field: GraphQLField) -> str:
    """The attribute that a field reads. Raises `_NotPlainError` when it has a resolver."""
    definition: Any = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if not getattr(field.resolve, "_is_default", False) or definition.default_resolver is not getattr:
        raise _NotPlainError
    name: str = definition.python_name
    return name


def _paths(object_type: GraphQLObjectType) -> Mapping[str, str]:
    """Marks a class whose attributes can be read directly instead of through its properties."""
    definition: Any = object_type.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    found: Mapping[str, str] = getattr(definition and definition.origin, "__paths__", {})
    return found


def _checking(object_type: GraphQLObjectType, known: set[type[Any]]) -> Callable[[Any], None]:
    """A function that raises unless its argument is of the type. It checks each class once, and adds it to `known`."""
    is_type_of: Any = object_type.is_type_of

    def check(value: Any) -> None:
        if _is_special(value) or (is_type_of is not None and not is_type_of(value, None)):
            raise UnlikeError
        known.add(type(value))

    return check


def _careful(type: GraphQLLeafType) -> Callable[[Any], Any]:
    """A function that completes a value of a scalar or an enum, or raises."""

    def complete(value: Any) -> Any:
        completed = None if _is_special(value) else type.coerce_output_value(value)
        if completed is None or completed is Undefined:
            raise UnlikeError
        return completed

    return complete


def _is_special(value: Any) -> bool:
    """Whether graphql-core treats it specially: null, a returned error, an awaitable."""
    return (
        value is None or value is Undefined or isinstance(value, Exception) or optimized_is_awaitable(value)
    )


def _refuse() -> None:
    raise UnlikeError
