"""Changes of fields: the difference of a record before and after."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from audit_trail_publisher.generated.event import Change
from audit_trail_publisher.options import several

MASKED = "[masked]"
"""Stands for a value that may not leave the service; that it changed is recorded."""


def field_changes(
    before: Any, after: Any, *, mask: Collection[str] = (), leave_out: Collection[str] = ()
) -> tuple[Change, ...]:
    """The changes from `before` to `after`, one for each field whose value differs.

    Both are mappings, or what msgspec converts to one (a Struct, a dataclass, an attrs object), or None for a record
    that did not exist. Fields of mappings within mappings have dotted paths (``address.city``); a list is one value.
    `mask` and `leave_out` are paths: the values of the first are masked, the second do not count; a path covers all
    fields within it, and leads through the items of a list. Values that JSON does not have become what msgspec makes
    of them.
    """
    return tuple(_changes(_mapping(before), _mapping(after), "", several(mask), several(leave_out)))


def masked_change(change: Change, mask: Collection[str]) -> Change:
    """`change`, with masked values where its path, one around it or one within its values is in `mask`."""
    if not mask:
        return change
    names = change.path.split(".")
    if any(".".join(names[:end]) in mask for end in range(1, len(names) + 1)):
        return Change(path=change.path, before=_masked(change.before), after=_masked(change.after))
    before, after = (msgspec.to_builtins(value, enc_hook=str) for value in (change.before, change.after))
    return Change(
        path=change.path,
        before=_masked_within(before, change.path, mask),
        after=_masked_within(after, change.path, mask),
    )


def _mapping(record: Any) -> Mapping[str, Any]:
    if record is None:
        return {}
    converted = msgspec.to_builtins(record, enc_hook=str, str_keys=True)
    if not isinstance(converted, dict):
        raise TypeError("before and after are mappings, or objects with fields")
    return converted


def _changes(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    within: str,
    mask: frozenset[str],
    out: frozenset[str],
) -> Iterator[Change]:
    for name in dict.fromkeys([*before, *after]):
        path = f"{within}{name}"
        old, new = before.get(name), after.get(name)
        if path in out or (old == new and type(old) is type(new)):
            continue
        if path in mask:
            yield Change(path=path, before=_masked(old), after=_masked(new))
        elif isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, f"{path}.", mask, out)
        else:
            yield Change(
                path=path, before=_masked_within(old, path, mask), after=_masked_within(new, path, mask)
            )


def _masked_within(value: Any, path: str, mask: Collection[str]) -> Any:
    """`value` of the field `path`, with masked values where `mask` names fields within it."""
    if isinstance(value, dict):
        inner = {name: f"{path}.{name}" for name in value}
        return {
            name: _masked(each) if inner[name] in mask else _masked_within(each, inner[name], mask)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [_masked_within(each, path, mask) for each in value]
    return value


def _masked(value: Any) -> Any:
    return None if value is None else MASKED
