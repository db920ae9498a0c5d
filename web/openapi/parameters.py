"""Parameters in the OpenAPI document: the bounds that settings decide."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from web.parameters.filter_query import FilterQuery
from web.parameters.schemas import FILTER


def describe_parameters(
    document: dict[str, Any], most: Callable[[str, str], int | None]
) -> dict[str, dict[str, Any]]:
    """Complete the parameters, and return the schemas of those that are filters, by name."""
    conditions: dict[str, dict[str, Any]] = {}
    for path, parameter in _parameters(document):
        name = parameter["name"]
        schema = parameter["schema"] = _required(parameter["schema"])
        # Generators of clients would name types by it, and several parameters have the same.
        schema.pop("title", None)
        if "$ref" in schema:
            # An enumeration of this parameter alone: as a component it would share names with others in Go.
            kind = document["components"]["schemas"].pop(schema.pop("$ref").rpartition("/")[2])
            schema |= {"type": kind["type"], "enum": kind["enum"]}
        limit = most(path, name)
        if limit is not None:
            schema["maximum"] = limit
        if name == "filter":
            # JSON, which OpenAPI describes under `content`.
            example = parameter["schema"].pop("examples")[0]
            parameter["content"] = {"application/json": {"schema": FILTER, "example": json.loads(example)}}
            del parameter["schema"]
        elif name in FilterQuery.model_fields:
            conditions[name] = {key: value for key, value in schema.items() if key != "description"}
    return conditions


def _parameters(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                yield path, parameter


def _required(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a value without null, which a query string can't express."""
    kinds: list[dict[str, Any]] = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {key: value for key, value in schema.items() if key != "anyOf"} | kinds[0]
