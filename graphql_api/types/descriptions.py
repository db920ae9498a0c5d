"""How a type of the schema is declared: its docstring and its fields' descriptions are what clients read."""

from __future__ import annotations

from typing import Any, TypeVar, dataclass_transform

import strawberry

T = TypeVar("T")


def described(description: str) -> Any:
    """A field with its description. `Any`, as a dataclass field is assigned to an annotation of every type."""
    return strawberry.field(description=description)


def argument(description: str) -> Any:
    """The annotation of an argument with its description."""
    return strawberry.argument(description=description)


def part(description: str, graphql_type: Any) -> Any:
    """A field that holds a struct of the domain or of a read model, and is `graphql_type` in the schema."""
    return strawberry.field(description=description, graphql_type=graphql_type)


@dataclass_transform(kw_only_default=True, field_specifiers=(described, part, strawberry.field))
def documented(cls: type[T]) -> type[T]:
    """An object type of the schema, described by its docstring."""
    return strawberry.type(cls, description=cls.__doc__)
