"""The field `correlation` of a rule: its rules, groups, window and condition."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from detection.rules.conditions import Absence, Baseline, Extension, Numbering, Return
from detection.rules.event_fields import EventField, event_field
from detection.rules.extension_fields import MAX_FLOOR, read_extension
from detection.rules.rule import CorrelationRule, EventRule, Head, Kind, Range, Rule, TestCases, digest_of
from event_store.files.file_nodes import Node

MAX_COUNT = 10_000
"""The highest count in the condition of a correlation: so many events are remembered for each group."""
MAX_TIMESPAN = 31 * 86400
MAX_LATENESS = 7 * 86400
_MAX_MEMBERS = 20
_MAX_GROUPED = 8
_TIMESPAN = re.compile(r"([0-9]{1,7})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NAMING = ("after", "announced_by")
"""Settings that name a rule, which is a member too."""
_COMPARISONS = ("gt", "gte", "lt", "lte", "eq", "neq")


class Draft(NamedTuple):
    """A correlation before its references are resolved."""

    head: Head
    text: str
    tests: TestCases
    node: Node
    fields: Mapping[str, Node]
    settings: Mapping[str, Node]


def members_of(draft: Draft, names: Mapping[str, str]) -> tuple[str, ...]:
    """The ids of the rules that a correlation names. `names`: the ids by id and by name."""
    node = draft.fields["correlation"]
    fields = node.pairs()
    if "rules" not in fields:
        node.fail("the field `rules` is missing")
    given = fields["rules"].items(_MAX_MEMBERS) if fields["rules"].is_list else [fields["rules"]]
    found = []
    for each in given:
        name = each.text(100, 2)
        if name not in names:
            each.fail(f"no rule of this set has the id or the name {name}")
        if names[name] in found:
            each.fail(f"the rule {name} is there twice")
        found.append(names[name])
    if not found:
        fields["rules"].fail("name at least one rule")
    for setting in _NAMING:
        if setting not in draft.settings:
            continue
        node = draft.settings[setting]
        name = node.text(100, 2)
        if name not in names:
            node.fail(f"no rule of this set has the id or the name {name}")
        if names[name] not in found:
            found.append(names[name])
        elif setting == "announced_by":
            node.fail("name another rule: this one is counted")
    return tuple(found)


def read_correlation(draft: Draft, members: tuple[str, ...], known: Mapping[str, Rule]) -> CorrelationRule:
    """The correlation of a draft, whose members are `known`. Raises `ConfigurationError`."""
    fields = draft.fields["correlation"].fields(
        ("type", "rules", "aliases", "group-by", "timespan", "condition", "generate"),
        ("type", "rules", "timespan"),
    )
    kind = Kind(_kind(fields["type"]))
    ordered = kind in {Kind.TEMPORAL, Kind.TEMPORAL_ORDERED}
    if ordered and len(members) == 1:
        fields["rules"].fail(f"{kind} needs several rules")
    for id in members:
        member = known[id]
        if isinstance(member, EventRule) and member.explains:
            fields["rules"].fail(f"{member.head.title!r}: a rule that explains can't be counted")
    names, group_by = _groups(fields, members, known)
    condition, counted = _condition(draft, fields, kind, len(members))
    timespan = _timespan(fields["timespan"], MAX_TIMESPAN)
    lateness = _lateness(draft, [known[id] for id in members])
    extension = read_extension(draft.settings, fields, timespan, _named(draft, members, known))
    _check_extension(draft, fields, extension, condition, lateness, len(members))
    return CorrelationRule(
        head=draft.head,
        digest=digest_of(draft.text, (known[id].digest for id in members)),
        tests=draft.tests,
        kind=kind,
        members=members,
        group_names=names,
        group_by=group_by,
        timespan=timespan,
        condition=condition,
        counted=counted,
        lateness=lateness,
        extension=extension,
        generate="generate" in fields and fields["generate"].flag(),
    )


def _named(draft: Draft, members: Sequence[str], known: Mapping[str, Rule]) -> dict[str, int]:
    """The members that settings name."""
    names = {name: draft.settings[name].text(100, 2) for name in _NAMING if name in draft.settings}
    return {
        setting: next(index for index, id in enumerate(members) if name in {id, known[id].head.name})
        for setting, name in names.items()
    }


def _check_extension(
    draft: Draft,
    fields: Mapping[str, Node],
    extension: Extension | None,
    condition: Range,
    lateness: int | None,
    members: int,
) -> None:
    if extension is None:
        return
    node = fields.get("condition", draft.fields["correlation"])
    if isinstance(extension, Absence):
        if (condition.least, condition.most) != (0, 0):
            node.fail("with `after` the condition is `lt: 1`: none follows within the timespan")
        if extension.rhythm is not None and members > 1 + (extension.announced_by is not None):
            draft.settings["rhythm"].fail("a rhythm is that of one rule, which `after` names too")
    elif not condition.open_ended:
        node.fail("with a condition of `audit_trail` write `gte` or `gt`")
    if isinstance(extension, Baseline) and condition.least > MAX_FLOOR:
        node.fail(f"with a baseline at most {MAX_FLOOR}")
    if isinstance(extension, Numbering | Return) and condition.least != 1:
        node.fail("here the condition is `gte: 1`")
    if isinstance(extension, Absence | Numbering) and lateness is not None:
        draft.settings["time"].fail("what is missing is decided by the time of recording")


def _kind(node: Node) -> str:
    text = node.text(100)
    if text in {"value_sum", "value_avg", "value_percentile", "value_median"}:
        node.fail(f"{text} is not supported; there are {', '.join(Kind)}")
    return node.word(tuple(Kind))


def _timespan(node: Node, most: int) -> int:
    match = _TIMESPAN.fullmatch(node.text(10))
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 1 <= seconds <= most:
        node.fail(f"write a whole number of s, m, h or d, from 1s to {most // 86400}d, such as 10m")
    return seconds


def _groups(
    fields: Mapping[str, Node], members: Sequence[str], known: Mapping[str, Rule]
) -> tuple[tuple[str, ...], tuple[tuple[EventField, ...], ...]]:
    aliases = _aliases(fields.get("aliases"), members, known)
    nodes = fields["group-by"].items(_MAX_GROUPED) if "group-by" in fields else []
    names = tuple(node.text(256) for node in nodes)
    if len(set(names)) < len(names):
        fields["group-by"].fail("a field is there twice")
    unused = [name for name in aliases if name not in names]
    if unused:
        fields["aliases"].fail(f"group-by does not name the alias {unused[0]}")
    columns = [
        aliases.get(name) or (node.checked(lambda name=name: event_field(name)),) * len(members)  # type: ignore[misc]
        for node, name in zip(nodes, names, strict=True)
    ]
    return names, tuple(zip(*columns, strict=True)) or ((),) * len(members)


def _aliases(
    node: Node | None, members: Sequence[str], known: Mapping[str, Rule]
) -> dict[str, tuple[EventField, ...]]:
    found: dict[str, tuple[EventField, ...]] = {}
    for alias, each in (node.pairs() if node else {}).items():
        given = each.pairs()
        by_rule: dict[str, EventField] = {}
        for name, field in given.items():
            ids = [id for id in members if name in {id, known[id].head.name}]
            if not ids:
                field.fail(f"the correlation has no rule {name}")
            by_rule[ids[0]] = field.checked(lambda field=field: event_field(field.text(256)))  # type: ignore[misc]
        missing = [known[id].head.name or id for id in members if id not in by_rule]
        if missing:
            each.fail(f"name the field of the rule {missing[0]} too")
        found[alias] = tuple(by_rule[id] for id in members)
    return found


def _condition(
    draft: Draft, fields: Mapping[str, Node], kind: Kind, members: int
) -> tuple[Range, EventField | None]:
    ordered = kind in {Kind.TEMPORAL, Kind.TEMPORAL_ORDERED}
    if "condition" not in fields:
        if not ordered:
            draft.fields["correlation"].fail("the field `condition` is missing")
        return Range(least=members), None
    node = fields["condition"]
    if not node.is_mapping:
        node.fail("write a comparison, such as `gte: 10`")
    given = node.fields((*_COMPARISONS, *(("field",) if kind is Kind.VALUE_COUNT else ())))
    if kind is Kind.VALUE_COUNT and "field" not in given:
        node.fail("the field `field` is missing: whose values are counted?")
    counted = None
    if "field" in given:
        if given["field"].is_list:
            given["field"].fail("one field: several are not supported")
        name = given["field"].text(256)
        counted = given["field"].checked(lambda: event_field(name))
    found = _range(node, given, 0 if "after" in draft.settings else 1)
    if ordered and (not found.open_ended or not 2 <= found.least <= members):
        node.fail(f"with {kind} the condition is `gte`, from 2 to the number of rules")
    if kind is Kind.TEMPORAL_ORDERED and found.least != members:
        node.fail("with temporal_ordered all rules must match")
    return found, counted


def _range(node: Node, given: Mapping[str, Node], fewest: int) -> Range:
    numbers = {name: given[name].whole(0, MAX_COUNT) for name in _COMPARISONS if name in given}
    if not numbers:
        node.fail(f"write a comparison: {', '.join(_COMPARISONS)}")
    if len(numbers) > 1 and not (
        len(numbers) == 2 and len(numbers.keys() & {"gt", "gte"}) == len(numbers.keys() & {"lt", "lte"}) == 1
    ):
        node.fail("write one comparison, or a range such as gte and lte")
    least = [fewest]
    most = []
    for name, number in numbers.items():
        least += {"gt": [number + 1], "gte": [number], "eq": [number]}.get(name, [])
        most += {"lt": [number - 1], "lte": [number], "eq": [number]}.get(name, [])
    found = Range(max(least), min(most) if most else None, numbers.get("neq"))
    if found.most is not None and found.most < found.least:
        node.fail("no count of events satisfies this: a group has at least one event")
    return found


def _lateness(draft: Draft, members: Sequence[Rule]) -> int | None:
    settings = draft.settings
    by_source = "time" in settings and settings["time"].word(("recorded_at", "occurred_at")) == "occurred_at"
    for each in members:
        if not isinstance(each, CorrelationRule):
            continue
        if by_source or each.lateness is not None:
            draft.node.fail("a correlation by occurred_at counts events, and no correlation counts it")
        if each.decided_later:
            draft.node.fail(
                f"{each.head.title!r} is decided when its window has passed: no correlation can count it"
            )
    if not by_source:
        if "lateness" in settings:
            settings["lateness"].fail("only with `time: occurred_at`")
        return None
    if "lateness" not in settings:
        settings["time"].fail("write a lateness too, such as `lateness: 1h`")
    return _timespan(settings["lateness"], MAX_LATENESS)
