"""Introspection when it is switched off."""

from __future__ import annotations

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
