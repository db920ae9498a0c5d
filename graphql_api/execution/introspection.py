"""Introspection when it is switched off."""

from __future__ import annotations

import re
from typing import Any

from graphql import FieldNode, GraphQLError, ValidationRule, get_named_type, is_introspection_type

_KNOWN = frozenset({"name", "__typename"})


class RefuseIntrospection(ValidationRule):
    """Refuses introspection, except the `name` of `__type(name: ...)`, which only repeats the query.

    The audits of GraphQL over HTTP use it to check that variables arrive, and fail a server without it.
    """

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        """Check one field."""
        name, parent = node.name.value, self.context.get_parent_type()
        if parent is not None and is_introspection_type(parent):
            refused = name not in _KNOWN
        else:
            kind = get_named_type(self.context.get_type())
            refused = kind is not None and is_introspection_type(kind) and name != "__type"
        if refused:
            self.report_error(GraphQLError(f"introspection is switched off here, and with it `{name}`", node))


_HINTS = re.compile(r"[.,;]? (?:Did you mean |but encountered error |found: |found |Found: )")
"""What precedes suggested names, or values of the query, in messages of graphql-core."""
_UNEXPECTED = re.compile(r"Syntax Error: Unexpected \w+(?= ['\"])")


def without_hints(message: str) -> str:
    """A message of graphql-core or strawberry without suggested names and without the query's values.

    It takes linear time: the message may repeat a long value.
    """
    # Here the message continues after the value, which may hold any text.
    before, value, rest = message.partition("Value '")
    _, enum, after = rest.rpartition("' does not exist in '")
    if value and enum:
        message = f"{before}the value does not exist in '{after}"
    hint, unexpected = _HINTS.search(message), _UNEXPECTED.match(message)
    if hint:
        message = message[: hint.start()] + "."
    elif unexpected:
        message = unexpected[0] + "."
    before, represent, rest = message.partition(" cannot represent ")
    kind, colon, _ = rest.partition(": ")
    return f"{before}{represent}{kind}." if colon else message
