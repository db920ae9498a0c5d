"""Random queries of a schema: every field, aliases, fragments, interfaces, directives, variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from graphql import (
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_composite_type,
)
from hypothesis import strategies as st

VARIABLES = "$yes: Boolean! = true, $maybe: Boolean!, $size: Int = 2, $who: String"
_DIRECTIVES = (
    *[""] * 6,
    "@include(if: $maybe)",
    "@skip(if: $maybe)",
    "@include(if: true)",
    "@skip(if: true)",
    "@include(if: $yes) @skip(if: $maybe)",
)


class Query(NamedTuple):
    """A document and the values of its variables."""

    text: str
    variables: dict[str, Any]


@st.composite
def queries(
    draw: st.DrawFn, schema: GraphQLSchema, arguments: Mapping[str, Sequence[str]], depth: int = 4
) -> Query:
    """A query. `arguments` has the lists of arguments that a field may be asked with, by ``Type.field``.

    A field that takes arguments and isn't named there is left out.
    """
    asking = _Asking(draw, schema, arguments)
    assert schema.query_type is not None
    body = asking.selection(schema.query_type, depth)
    text = " ".join([f"query Q({VARIABLES}) {body}", *asking.fragments])
    variables: dict[str, Any] = {"maybe": draw(st.booleans())}
    for name, values in {"yes": st.booleans(), "size": st.integers(-1, 4), "who": st.just("ada")}.items():
        if draw(st.booleans()):
            variables[name] = draw(values)
    return Query(text, variables)


class _Asking:
    def __init__(
        self, draw: st.DrawFn, schema: GraphQLSchema, arguments: Mapping[str, Sequence[str]]
    ) -> None:
        self._draw = draw
        self._schema = schema
        self._arguments = arguments
        self.fragments: list[str] = []

    def selection(self, parent: GraphQLNamedType, depth: int) -> str:
        parts = [self._part(parent, depth) for _ in range(self._draw(st.integers(1, 4)))]
        return "{ " + " ".join(parts) + " }"

    def _part(self, parent: GraphQLNamedType, depth: int) -> str:
        kind = self._draw(st.sampled_from(("field", "field", "field", "inline", "spread")))
        if kind == "field" or depth == 0:
            return self._field(parent, depth)
        target = self._draw(st.sampled_from(self._related(parent)))
        directive = self._draw(st.sampled_from(_DIRECTIVES))
        if kind == "inline":
            condition = self._draw(st.sampled_from(("", f"on {target.name}")))
            inner = self.selection(target if condition else parent, depth - 1)
            return f"... {condition} {directive} {inner}"
        inner = self.selection(target, depth - 1)
        name = f"F{len(self.fragments)}"
        self.fragments.append(f"fragment {name} on {target.name} {inner}")
        again = f"...{name}" if self._draw(st.booleans()) else ""
        return f"...{name} {directive} {again}"

    def _related(self, parent: GraphQLNamedType) -> list[GraphQLNamedType]:
        """The types that a fragment inside of `parent` may be on."""
        if isinstance(parent, GraphQLInterfaceType):
            return [parent, *self._schema.get_possible_types(parent)]
        assert isinstance(parent, GraphQLObjectType)
        return [parent, *parent.interfaces]

    def _field(self, parent: Any, depth: int) -> str:
        choices: list[tuple[str, str, GraphQLNamedType]] = []
        for name, field in parent.fields.items():
            named = get_named_type(field.type)
            given = self._arguments.get(f"{parent.name}.{name}", () if field.args else ("",))
            if depth > 0 or not is_composite_type(named):
                choices += [(name, each, named) for each in given]
        if not choices:
            return "__typename"
        name, given_arguments, named = self._draw(st.sampled_from(choices))
        # The same response key is always the same field with the same arguments, so most of them can be merged.
        letter = self._draw(st.sampled_from(("", "", "", "a", "b")))
        number = self._arguments.get(f"{parent.name}.{name}", [""]).index(given_arguments)
        key = f"{letter}{name}{number}: " if letter or given_arguments else ""
        inner = self.selection(named, depth - 1) if is_composite_type(named) else ""
        typename = self._draw(st.sampled_from(("", "", "", "__typename ")))
        return f"{typename}{key}{name}{given_arguments} {self._draw(st.sampled_from(_DIRECTIVES))} {inner}"
