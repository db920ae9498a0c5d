"""The field `detection` of a rule: its selections and their condition."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import tzinfo

from detection.rules.event_fields import EventField, event_field
from detection.rules.expressions import And, Expression, Or, parse_condition, possible_types
from detection.rules.items import MAX_VALUES, Given, item
from event_store.files.file_nodes import Node

_MAX_SELECTIONS = 50
_MAX_ITEMS = 50
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")


def read_detection(
    node: Node, zone: tzinfo, field_of: Callable[[str], EventField] = event_field
) -> Expression:
    """The condition as a tree; `zone` is that of hours and days. Raises `ConfigurationError`.

    `field_of`: the field with a name.
    """
    fields = node.pairs()
    if "timeframe" in fields:
        fields["timeframe"].fail("timeframe is of Sigma 1: write a `correlation` with a timespan")
    if "condition" not in fields:
        node.fail("the field `condition` is missing")
    condition = fields.pop("condition")
    if condition.is_list:
        condition.fail("a list of conditions is not supported: join them with `or`")
    if not fields:
        node.fail("write at least one selection")
    if len(fields) > _MAX_SELECTIONS:
        node.fail(f"at most {_MAX_SELECTIONS} selections")
    for name, each in fields.items():
        if not _NAME.fullmatch(name):
            each.fail("the name of a selection has letters, digits, _ and -")
    selections = {name: _selection(each, zone, field_of) for name, each in fields.items()}
    text = condition.prose(65535)
    found = condition.checked(lambda: parse_condition(text, selections))
    if not possible_types(found).may:
        condition.fail("no type of event can match this condition")
    return found


def _selection(node: Node, zone: tzinfo, field_of: Callable[[str], EventField]) -> Expression:
    if not node.is_list:
        if not node.is_mapping:
            node.fail("searches without a field are not supported: write `field: value`")
        return _map(node, zone, field_of)
    maps = node.items(_MAX_ITEMS)
    for each in maps:
        if not each.is_mapping:
            each.fail("searches without a field are not supported: write `field: value`")
    if not maps:
        node.fail("write at least one `field: value`")
    found = tuple(_map(each, zone, field_of) for each in maps)
    return found[0] if len(found) == 1 else Or(found)


def _map(node: Node, zone: tzinfo, field_of: Callable[[str], EventField]) -> Expression:
    fields = node.pairs()
    if not 1 <= len(fields) <= _MAX_ITEMS:
        node.fail(f"write 1 to {_MAX_ITEMS} lines of `field: value`")
    found = []
    for written, each in fields.items():
        values: list[Given] = (
            [value.json_value() for value in each.items(MAX_VALUES)] if each.is_list else [each.json_value()]
        )
        found.append(each.checked(lambda: item(written, values, zone, field_of)))  # noqa: B023 - called at once
    return found[0] if len(found) == 1 else And(tuple(found))
