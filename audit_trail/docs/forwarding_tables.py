"""The page of the file of followers, generated from `forwarding.settings`."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from forwarding.settings import RECEIVERS, FollowerSettings

_SHARED = ("timeout_seconds", "ca_file", "cert_file", "key_file")
"""The fields that several receivers have; they come last."""
HEAD = (
    "# The file of followers\n\n"
    "`AUDIT_TRAIL_FORWARDING_FILE` names a TOML file with one table `[followers.NAME]` for each follower, and in it"
    " exactly one table of a receiver: `[followers.NAME.syslog]` and so on."
    " [How to forward](../how-to/forward.md) explains how to use it.\n\n"
    "A name has small letters, digits, `-` and `_`. An unknown field is an error. Secrets are in files of their own,"
    " each with one line; a file that every user may write to is refused. Addresses are `https://...`; use"
    " `http://...` only within one machine.\n"
)
Row = tuple[str, str, str, str]
COLUMNS = ("Field", "Values", "Default", "What it does")


def sections() -> Iterator[tuple[str, str, list[Row]]]:
    """Of each table of the file: the heading, a sentence and the rows."""
    yield "[followers.NAME]", "What the follower sends, and who decided that.", _rows(FollowerSettings)
    for name, kind in RECEIVERS.items():
        yield f"[followers.NAME.{name}]", inspect.cleandoc(kind.__doc__ or ""), _rows(kind)


def _rows(kind: type[Struct]) -> list[Row]:
    schema = msgspec.json.schema(kind)
    found = schema["$defs"][kind.__name__]
    required = found.get("required", [])
    fields = {name: each for name, each in found["properties"].items() if name not in RECEIVERS}
    order = sorted(fields, key=lambda name: name in _SHARED)
    return [
        (
            f"`{name}`",
            _values(fields[name], schema["$defs"]),
            "required" if name in required else _default(fields[name].get("default")),
            fields[name]["description"],
        )
        for name in order
    ]


def _default(value: Any) -> str:
    return "" if value in (None, [], {}) else f"`{json.dumps(value)}`"


def _values(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    """The values of a field in words."""
    if "anyOf" in field:
        kinds = [each for each in field["anyOf"] if each.get("type") != "null"]
        return _values(kinds[0], definitions)
    if "$ref" in field:
        return _values(definitions[field["$ref"].rpartition("/")[2]], definitions)
    if "enum" in field:
        return ", ".join(f"`{each}`" for each in field["enum"])
    kind = field.get("type", "")
    if kind == "array":
        inner = _values(field["items"], definitions)
        return f"a list of {inner}" if "enum" not in str(field["items"]) else f"a list: {inner}"
    if kind in _NUMBERS:
        return f"{_NUMBERS[kind]} from {field['minimum']} to {field['maximum']}"
    return {"boolean": "true or false", "object": "a table"}.get(kind, "text")


_NUMBERS = {"integer": "whole number", "number": "number"}
