"""The field `audit_trail` of a correlation: the conditions that Sigma does not have."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from detection.rules.conditions import Absence, Baseline, Extension, NewValues, Numbering, Return, Rhythm
from detection.rules.event_fields import event_field
from event_store.files.file_nodes import Node

NAMES = ("baseline", "new_values", "returns_after", "after", "rhythm", "announced_by", "numbering")
_WITH_AFTER = ("rhythm", "announced_by")
MAX_FLOOR = 1000
"""The highest floor of a baseline: its groups remember at most so many values, too."""
MAX_PAST = 10_000
"""Timespans of a baseline's past."""
_DAY = 86400
_YEARS = 800 * _DAY


def read_extension(
    settings: Mapping[str, Node], fields: Mapping[str, Node], timespan: int, members: Mapping[str, int]
) -> Extension | None:
    """The condition that the settings of a correlation ask for. `members`: those that its fields name.

    Raises `ConfigurationError`.
    """
    given = [name for name in NAMES if name in settings and name not in _WITH_AFTER]
    if len(given) > 1:
        settings[given[1]].fail(f"it excludes {given[0]}: write two rules")
    if "rhythm" in settings and given != ["after"]:
        settings["rhythm"].fail("only with `after`")
    if "announced_by" in settings and "rhythm" not in settings:
        settings["announced_by"].fail("only with `rhythm`")
    if not given:
        return None
    node = settings[given[0]]
    if fields["type"].text(100) not in _TYPES[given[0]]:
        fields["type"].fail(f"with {given[0]} the type is {' or '.join(_TYPES[given[0]])}")
    return _READERS[given[0]](node, settings, timespan, members)


def _baseline(
    node: Node, settings: Mapping[str, Node], timespan: int, members: Mapping[str, int]
) -> Baseline:
    del settings, members
    fields = node.fields(("days", "percentile", "learning", "factor"))
    found = Baseline(
        days=fields["days"].whole(1, 400) if "days" in fields else 30,
        percentile=fields["percentile"].number(50, 100) if "percentile" in fields else 99,
        learning=_seconds(fields, "learning", 14 * _DAY),
        factor=fields["factor"].number(1, 100) if "factor" in fields else 1,
    )
    if timespan > _DAY or found.days * _DAY > MAX_PAST * timespan:
        node.fail(f"the timespan is at most a day, and the days have at most {MAX_PAST} of it")
    return found


def _new_values(
    node: Node, settings: Mapping[str, Node], timespan: int, members: Mapping[str, int]
) -> NewValues:
    del settings, timespan, members
    fields = node.fields(("memory", "learning"))
    found = NewValues(
        memory=_seconds(fields, "memory", 90 * _DAY), learning=_seconds(fields, "learning", 14 * _DAY)
    )
    if found.learning > found.memory:
        node.fail("learning is at most memory")
    return found


def _return(node: Node, settings: Mapping[str, Node], timespan: int, members: Mapping[str, int]) -> Return:
    del settings, timespan, members
    fields = node.fields(("silence", "memory"), ("silence",))
    found = Return(silence=_seconds(fields, "silence", 0), memory=_seconds(fields, "memory", 400 * _DAY))
    if found.memory <= found.silence:
        node.fail("memory is more than silence")
    return found


def _absence(node: Node, settings: Mapping[str, Node], timespan: int, members: Mapping[str, int]) -> Absence:
    del node, timespan
    after = members["after"]
    if "rhythm" not in settings:
        return Absence(after)
    fields = settings["rhythm"].fields(("days", "factor", "learning"))
    rhythm = Rhythm(
        days=fields["days"].whole(2, 60) if "days" in fields else 14,
        factor=fields["factor"].number(1, 100) if "factor" in fields else 1.5,
        learning=_seconds(fields, "learning", 3 * _DAY),
    )
    return Absence(after, rhythm, members.get("announced_by"))


def _numbering(
    node: Node, settings: Mapping[str, Node], timespan: int, members: Mapping[str, int]
) -> Numbering:
    del settings, timespan, members
    name = node.text(256)
    return Numbering(node.checked(lambda: event_field(name)))


def _seconds(fields: Mapping[str, Node], name: str, default: int) -> int:
    return round(fields[name].seconds(1, _YEARS)) if name in fields else default


_READERS: Mapping[str, Callable[[Node, Mapping[str, Node], int, Mapping[str, int]], Extension]] = {
    "baseline": _baseline,
    "new_values": _new_values,
    "returns_after": _return,
    "after": _absence,
    "numbering": _numbering,
}
_TYPES = {
    "baseline": ("event_count", "value_count"),
    "new_values": ("value_count",),
    "returns_after": ("event_count",),
    "after": ("event_count",),
    "numbering": ("event_count",),
}
"""The types of correlations that each is for."""
