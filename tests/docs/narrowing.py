"""Compares two JSON Schemas: finds what may satisfy the older one and not the newer one.

It knows the keywords that our schemas use, and reports each other one that differs. It may report a change that
narrows nothing, and never passes over one that does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_ANNOTATIONS = frozenset(
    {"title", "description", "examples", "example", "$comment", "$id", "$schema", "$defs", "deprecated"}
)
_LEAST = frozenset({"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"})
_MOST = frozenset({"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"})
_BRANCHES = frozenset({"anyOf", "oneOf"})
_WITHIN = frozenset(
    {"$ref", "type", "enum", "const", "required", "properties", "additionalProperties", "propertyNames"}
    | {"items", "contains", "if", "then", "allOf"}
)
_COMPARED = _LEAST | _MOST | _BRANCHES | _WITHIN
_KINDS = ("null", "boolean", "integer", "number", "string", "array", "object")


class Narrowing:
    """The differences between the schemas of two documents, to which references in them lead."""

    def __init__(self, older: Schema, newer: Schema) -> None:
        self._older, self._newer = older, newer
        self._within: list[tuple[str, str]] = []

    def found(self, old: Any, new: Any, at: str = "") -> Iterator[str]:
        """What is narrower in `new` than in `old`, each with its place."""
        names = (_reference(old), _reference(new))
        if all(names) and names in self._within:
            return  # a schema within itself
        self._within.append(names)
        old, new = _resolved(self._older, old), _resolved(self._newer, new)
        for branch in _branches(old) or [old]:
            yield from self._accepted(branch, new, at)
        self._within.pop()

    def _accepted(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        """Whether `new`, or one of its branches, accepts what satisfies `old`, which has no branches."""
        tried = [list(self._compared(old, branch, at)) for branch in _branches(new) or [new]]
        yield from min(tried, key=len)

    def _compared(self, old: Any, new: Any, at: str) -> Iterator[str]:
        old, new = _resolved(self._older, old), _resolved(self._newer, new)
        if _branches(old) or _branches(new):
            yield from self.found(old, new, at)
            return
        yield from _values(old, new, at)
        yield from _bounds(old, new, at)
        yield from self._objects(old, new, at)
        yield from self._parts(old, new, at)
        yield from self._conditions(old, new, at)
        for keyword in sorted((old.keys() | new.keys()) - _COMPARED - _ANNOTATIONS):
            # A default says what a missing field means. `format` and `pattern` are dropped without harm.
            if old.get(keyword) != new.get(keyword) and (keyword in new or keyword == "default"):
                yield f"{at}: {keyword} is new, or another one"

    def _objects(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name, schema in before.items():
            if name in after:
                yield from self.found(schema, after[name], f"{at}.{name}")
            else:
                yield f"{at}.{name}: the field is removed"
        for name in sorted(after.keys() - before.keys()):
            if old.get("additionalProperties", True) is not False:
                yield from self.found(old.get("additionalProperties", {}), after[name], f"{at}.{name}")
        for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            yield f"{at}.{name}: the field is required now"
        if new.get("additionalProperties", True) is False:
            if old.get("additionalProperties", True) is not False:
                yield f"{at}: other fields are refused now"
        elif "additionalProperties" in new and old.get("additionalProperties", True) is not False:
            rest = old.get("additionalProperties", {})
            yield from self.found(rest, new["additionalProperties"], f"{at}.*")

    def _parts(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        for keyword in ("items", "contains", "propertyNames"):
            if keyword in new:
                if keyword == "contains" and keyword not in old:
                    yield f"{at}: contains is new"
                yield from self.found(old.get(keyword, {}), new[keyword], f"{at}[{keyword}]")

    def _conditions(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        for each in new.get("allOf", ()):
            if each not in old.get("allOf", ()):
                yield from self.found(old, each, at)
        condition = new.get("if")
        if condition is None or not self._can_hold(old, condition):
            return
        if old.get("if") == condition:
            yield from self.found(old.get("then", {}), new.get("then", {}), f"{at}[then]")
        else:
            yield f"{at}: a condition is new"

    @staticmethod
    def _can_hold(old: Schema, condition: Schema) -> bool:
        """Not if it needs a field that the older schema refuses."""
        open = old.get("additionalProperties", True) is not False
        return open or set(condition.get("required", ())) <= old.get("properties", {}).keys()


def _reference(schema: Any) -> str:
    return str(schema.get("$ref", "")) if isinstance(schema, dict) else ""


def _resolved(document: Schema, schema: Any) -> Schema:
    """`schema` without a reference; keywords beside it stay, as in draft 2020-12."""
    if schema is True:
        return {}
    if schema is False:
        return {"not": {}}
    if "$ref" not in schema:
        return dict(schema)
    found: Any = document
    for part in schema["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    beside = {name: value for name, value in schema.items() if name != "$ref"}
    return _resolved(document, found) | beside


def _branches(schema: Any) -> list[Schema]:
    """The branches of `anyOf` or `oneOf`, each with the keywords beside it."""
    if not isinstance(schema, dict):
        return []
    keyword = next(iter(_BRANCHES & schema.keys()), None)
    if keyword is None:
        return []
    beside = {name: value for name, value in schema.items() if name != keyword}
    return [beside | branch for branch in schema[keyword]]


def _values(old: Schema, new: Schema, at: str) -> Iterator[str]:
    if "type" in new:
        lost = _types(old) - _types(new)
        if lost:
            yield f"{at}: no longer {', '.join(sorted(lost))}"
    before, after = _listed(old), _listed(new)
    if after is not None:
        if before is None:
            yield f"{at}: only some values are allowed now"
        else:
            gone = [each for each in before if each not in after]
            if gone:
                yield f"{at}: no longer the values {gone}"


def _types(schema: Schema) -> set[str]:
    named = schema.get("type", list(_KINDS))
    found = {named} if isinstance(named, str) else set(named)
    return found | ({"integer"} if "number" in found else set())


def _listed(schema: Schema) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    return schema.get("enum")


def _bounds(old: Schema, new: Schema, at: str) -> Iterator[str]:
    for keyword in sorted((_LEAST | _MOST) & new.keys()):
        before, after = old.get(keyword), new[keyword]
        none = {"minLength": 0, "minItems": 0, "minProperties": 0}.get(keyword)
        before = none if before is None else before
        if before is None or (after > before if keyword in _LEAST else after < before):
            yield f"{at}: {keyword} is {after} now"
