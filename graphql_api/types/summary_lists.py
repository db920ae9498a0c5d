"""The lists of a summary: each has a `limit`, and the summary is read once, with as many rows as the longest needs.

The argument stands on the list whose length it decides, so a client's cache keeps lists of different lengths apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import strawberry
from graphql import (
    FieldNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    SelectionSetNode,
    VariableNode,
)

from graphql_api.context import Info
from graphql_api.types.descriptions import argument

ROWS = 100
"""The rows of a list without a limit."""
_LISTS = frozenset(
    {
        "accesses",
        "sessions",
        "patients",
        "actions",
        "softwareVersions",
        "configurationVersions",
        "configuration",
        "periods",
        "apiUse",
        "instances",
        "gaps",
        "conflicts",
    }
)
ListLimit = Annotated[int | None, argument(f"How many rows the list holds at most; {ROWS} when absent.")]


def listed(name: str, description: str, kind: Any) -> Any:
    """A list of a summary: the field `name` of its row, of `kind` in the schema."""

    def rows(self: Any, limit: ListLimit = None) -> Any:
        return getattr(self.row, name)[: self.rows_at_most if limit is None else limit]

    return strawberry.field(resolver=rows, description=description, graphql_type=list[kind])


def rows_to_read(info: Info, limit: int = ROWS) -> int:
    """The rows that the selected lists need; `limit` is for lists without one. Raises `QueryError` for too many."""
    context = info.context
    context.list_size(limit)
    fields = _selected(info, [node.selection_set for node in info._raw_info.field_nodes])
    needed = [_limit(info, field, limit) for field in fields if field.name.value in _LISTS]
    return max((context.list_size(each) for each in needed), default=limit)


def _limit(info: Info, field: FieldNode, absent: int) -> int:
    value = next((each.value for each in field.arguments or () if each.name.value == "limit"), None)
    if isinstance(value, IntValueNode):
        return int(value.value)
    found = info.variable_values.get(value.name.value) if isinstance(value, VariableNode) else None
    return absent if found is None else int(found)


def _selected(info: Info, left: list[SelectionSetNode | None]) -> Iterator[FieldNode]:
    """The fields of one object, fragments included, each fragment once."""
    spread: set[str] = set()
    while left:
        selections = left.pop()
        for selection in selections.selections if selections else ():
            if isinstance(selection, FieldNode):
                yield selection
            elif isinstance(selection, FragmentSpreadNode):
                name = selection.name.value
                if name not in spread:
                    spread.add(name)
                    left.append(info._raw_info.fragments[name].selection_set)
            elif isinstance(selection, InlineFragmentNode):
                left.append(selection.selection_set)
