"""Selections compiled to Python: one function that makes a whole answer out of plain attributes.

graphql-core takes about 3 us for each field of each object, most of it to find out again what the first object of a
list has told already. Of a selection whose fields only read attributes all of that is known before, and becomes the
source of a function: ``return {"id": o.id, "actor": complete2(o.actor)}``, with a check of each value's class.

A compiled function answers what graphql-core would, or raises. It changes nothing and keeps nothing, so whoever called
it then lets graphql-core do the same work, and gets errors and nulls exactly as the specification wants them.
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
"""Fields of one function, fragments expanded. Compiling takes about 20 us for each, while no other request runs."""

Complete = Callable[[Any], dict[str, Any]]


class Plan(NamedTuple):
    """How a selection on an object is answered: `complete` gives the plain fields, graphql-core does `rest`.

    `keys` has the response keys of both, in the order of the answer.
    """

    complete: Complete
    rest: GroupedFieldSet
    keys: tuple[str, ...]


class Collecting(Protocol):
    """An executor: it knows the fields of a selection, with the directives of this request applied."""

    def collect_subfields(
        self, return_type: GraphQLObjectType, field_details_list: FieldDetailsList
    ) -> CollectedFields:
        """See `graphql.execution.Executor`."""
        ...


class UnlikeError(Exception):
    """A value that a compiled function leaves to graphql-core. No client sees it."""


class _NotPlainError(Exception):
    """A field that can't be compiled: it has a resolver or an interface, or is one too many."""


def compile_selection(
    executor: Collecting, object_type: GraphQLObjectType, selected: FieldDetailsList
) -> Plan | None:
    """The plan of what `selected` wants of an object of this type; None when no field of it is plain."""
    writer = _Writer(executor)
    collected = executor.collect_subfields(object_type, selected)
    plain: dict[str, str] = {}
    rest: GroupedFieldSet = {}
    for key, group in collected.grouped_field_set.items():
        try:
            plain[key] = writer.field(object_type, group)
        except _NotPlainError:
            rest[key] = group
    if not plain or collected.new_defer_usages:
        return None
    # graphql-core has asked already whether the object is of the type.
    complete = writer.load(writer.function(plain))
    return Plan(complete, rest, tuple(collected.grouped_field_set))


class _Writer:
    """Writes the functions of one plan.

    Each takes `o`, an object; its values are v1, v2 ..., and n1, n2 ... are what it refers to.
    """

    def __init__(self, executor: Collecting) -> None:
        self._executor = executor
        self._source: list[str] = []
        self._names: dict[str, Any] = {}
        self._numbers = count(1)
        self._fields = 0

    def load(self, function: str) -> Complete:
        """The function of this name, made from all that was written."""
        # The only words of a client in it are response keys, as `repr` of what GraphQL takes for a name.
        exec(compile("\n".join(self._source), "<selection>", "exec"), self._names)  # noqa: S102 - text of ours  # nosec B102
        loaded: Complete = self._names[function]
        return loaded

    def function(self, entries: Mapping[str, str], check: str = "") -> str:
        """Write the function that answers with these expressions by response key; its name."""
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
        """The expression that completes the variable `value`; `given` is its name, or what gives it its value."""
        if is_non_null_type(type):
            return self._present(type.of_type, value, given, group)
        return f"(None if ({given}) is None else {self._present(type, value, value, group)})"

    def _present(self, type: GraphQLOutputType, value: str, given: str, group: FieldDetailsList) -> str:
        if is_leaf_type(type):
            return self._leaf(type, value, given)
        if is_list_type(type):
            item = self._value_name()
            items = f"[{self._value(type.of_type, item, item, group)} for {item} in {value}]"
            # An iterator could be read only once, so graphql-core has to have it unread.
            return f"({items} if type({given}) in {self._refer(_LISTS)} else {self._refer(_refuse)}())"
        if is_object_type(type):
            return f"{self._object(type, group)}({given})"
        raise _NotPlainError

    def _object(self, object_type: GraphQLObjectType, group: FieldDetailsList) -> str:
        """The name of the function that completes an object inside another."""
        collected = self._executor.collect_subfields(object_type, group)
        definition = object_type.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
        # A type with a test of its own may tell between objects of one class; one without definition is the schema's.
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
        check = f"if type(o) not in {self._refer(known)}: {self._refer(checking(object_type, known))}(o)"
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
        """A name by which the source has `thing`."""
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
"""What the serializers of these scalars make of a value of exactly that class; `encoding` writes times and UUIDs."""


def _attribute(field: GraphQLField) -> str:
    """The attribute that a field reads. Raises `_NotPlainError` when it has a resolver."""
    definition: Any = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if not getattr(field.resolve, "_is_default", False) or definition.default_resolver is not getattr:
        raise _NotPlainError
    name: str = definition.python_name
    return name


def _paths(object_type: GraphQLObjectType) -> Mapping[str, str]:
    """Where a class says that its attributes can be read directly, instead of by its properties."""
    definition: Any = object_type.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    found: Mapping[str, str] = getattr(definition and definition.origin, "__paths__", {})
    return found


def checking(object_type: GraphQLObjectType, known: set[type[Any]]) -> Callable[[Any], None]:
    """A function that raises for what is no object of the type. It looks once at each class, and adds it to `known`."""
    is_type_of: Any = object_type.is_type_of

    def check(value: Any) -> None:
        if _is_special(value) or (is_type_of is not None and not is_type_of(value, None)):
            raise UnlikeError
        known.add(type(value))

    return check


def _careful(type: GraphQLLeafType) -> Callable[[Any], Any]:
    """A function that completes any value of a scalar or an enum, or raises."""

    def complete(value: Any) -> Any:
        completed = None if _is_special(value) else type.coerce_output_value(value)
        if completed is None or completed is Undefined:
            raise UnlikeError
        return completed

    return complete


def _is_special(value: Any) -> bool:
    """What is no value to graphql-core: null, an error that was returned, something to wait for."""
    return (
        value is None or value is Undefined or isinstance(value, Exception) or optimized_is_awaitable(value)
    )


def _refuse() -> None:
    raise UnlikeError
