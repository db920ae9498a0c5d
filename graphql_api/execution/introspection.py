"""What introspection still answers where it is switched off."""

from __future__ import annotations

from typing import Any

from graphql import FieldNode, GraphQLError, ValidationRule, get_named_type, is_introspection_type

_KNOWN = frozenset({"name", "__typename"})


class NoSchemaIsTold(ValidationRule):
    """Refuses whatever tells of the schema more than the asker says: of `__type(name: ...)` its name is left.

    GraphQL over HTTP's own audits ask for that to see whether variables arrive, so a server without it fails them.
    """

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        """Look at one field."""
        name, parent = node.name.value, self.context.get_parent_type()
        if parent is not None and is_introspection_type(parent):
            told = name not in _KNOWN
        else:
            kind = get_named_type(self.context.get_type())
            told = kind is not None and is_introspection_type(kind) and name != "__type"
        if told:
            self.report_error(GraphQLError(f"introspection is switched off here, and with it `{name}`", node))
