"""What a rule file may hold, and that an error names the file, the line, the field and what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from detection.rules.rule import CorrelationRule, EventRule, Kind
from detection.rules.rule_file import MAX_BYTES, parse_rules, read_rules
from domain.alert_level import Level
from domain.errors import ConfigurationError
from tests.detection.small_logs import A, B, C, correlation, failures, rule, rules

WHOLE = """\
# A comment before the first document.
title: Failed sign-ins of many accounts
id: 7b2f3c6e-3b0f-4b1c-9d43-5b3d1c2f9a10
status: test
description: |
    Several lines
    of prose.
license: Apache-2.0
author: Audit Trail
date: 2026-01-05
modified: 2026-01-06
references: [https://attack.mitre.org/techniques/T1110/003/]
tags: [attack.t1110.003]
related:
    - {id: 7b2f3c6e-3b0f-4b1c-9d43-5b3d1c2f9a13, type: similar}
falsepositives: [A proxy that stands for many users]
level: high
correlation:
    type: value_count
    rules: [failed]
    group-by: [client.address]
    timespan: 30m
    condition: {field: actor.id, gte: 10, lte: 99}
---
title: A failed sign-in
id: 7b2f3c6e-3b0f-4b1c-9d43-5b3d1c2f9a11
name: failed
logsource: {product: audit_trail, definition: any service}
detection:
    failure:
        type: user.login_failed
        actor.id|endswith: ['-a', '-b']
    filter_inside:
        - client.address|cidr: 10.0.0.0/8
        - client.address: null
    condition: failure and not 1 of filter_*
fields: [actor.id]
level: low
"""


def test_a_file_with_a_correlation_and_its_rule() -> None:
    found = parse_rules([("burst.yaml", WHOLE)])
    failed, many = found
    assert isinstance(failed, EventRule)
    assert isinstance(many, CorrelationRule)
    assert (many.kind, many.timespan, many.members) == (Kind.VALUE_COUNT, 1800, (failed.head.id,))
    assert (many.condition.least, many.condition.most) == (10, 99)
    assert (many.head.level, many.head.line, failed.head.line) == (Level.HIGH, 2, 25)
    assert many.head.description == "Several lines\nof prose."
    assert [each.head.title for each in found.reported] == [many.head.title]
    assert failed.head.file == "burst.yaml"


def test_a_rule_file_is_read_from_disk(tmp_path: Path) -> None:
    file = tmp_path / "rule.yaml"
    file.write_text(failures(), encoding="utf-8")
    assert len(read_rules([file])) == 1
    with pytest.raises(ConfigurationError, match="there is no file"):
        read_rules([tmp_path / "other.yaml"])
    file.write_bytes(b"title: \xff")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read_rules([file])
    file.write_text("#" * (MAX_BYTES + 1), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="bytes"):
        read_rules([file])


def test_the_digest_is_that_of_the_document_and_of_the_rules_that_it_refers_to() -> None:
    counted = correlation(type="event_count", rules=["failures"], timespan="1m", condition={"gte": 2})
    one, other = rules(failures(), counted), rules(failures(level="high"), counted)
    assert one[A].digest != other[A].digest
    assert one[C].digest != other[C].digest
    assert rules(failures(), counted)[C].digest == one[C].digest
    # The place in the file and the file itself say nothing about the rule.
    assert parse_rules([("b.yaml", "\n\n" + failures())])[A].digest == one[A].digest


def _detection(**lines: Any) -> str:
    return rule({"s": {"type": "user.login_failed", **lines}, "condition": "s"})


LONG_FIELD = f"""\
title: a
id: {A}
logsource: {{product: audit_trail}}
detection:
    s:
        ? {"a" * 2000}
        : a
    condition: s
"""
REFUSED: dict[str, tuple[str, str]] = {
    "unknown field of the rule": (failures(colour="red"), "colour: there is no such field"),
    "no id": ("title: a\nlogsource: {product: audit_trail}\n", "the field `id` is missing"),
    "id that is no UUID": (failures("one"), "id: write a UUID"),
    "other product": (
        failures().replace('"audit_trail"', '"windows"'),
        "logsource.product: write one of audit_trail",
    ),
    "service": (
        failures(logsource={"product": "audit_trail", "service": "records"}),
        "logsource.service: service selects nothing",
    ),
    "keywords": (rule({"k": ["mimikatz"], "condition": "k"}), "without a field are not supported"),
    "keywords with all": (rule({"k": {"|all": ["a", "b"]}, "condition": "k"}), "without a field"),
    "aggregation": (
        rule({"s": {"type": "user.login_failed"}, "condition": "s | count() > 5"}),
        "detection.condition: aggregations after |",
    ),
    "near": (rule({"s": {"reason": "a"}, "condition": "near s"}), "`near` is of Sigma 1"),
    "timeframe": (rule({"s": {"reason": "a"}, "timeframe": "5m", "condition": "s"}), "detection.timeframe"),
    "conditions": (rule({"s": {"reason": "a"}, "condition": ["s"]}), "join them with `or`"),
    "global": ("action: global\ntitle: a\n", "actions such as `global`"),
    "filter": ("title: a\nfilter: {rules: [b]}\n", "Sigma filters are not supported"),
    "unknown modifier": (
        _detection(**{"reason|like": "a"}),
        "detection.s.reason|like: there is no modifier like",
    ),
    "windash": (_detection(**{"reason|windash|contains": "-a"}), "the modifier windash is not supported"),
    "base64": (_detection(**{"reason|base64": "a"}), "the modifier base64 is not supported"),
    "expand": (_detection(**{"reason|expand": "%a%"}), "there are no placeholders"),
    "two modifiers": (_detection(**{"reason|contains|re": "a"}), "contains and re exclude each other"),
    "senseless modifiers": (_detection(**{"reason|exists|cased": True}), "cased has no meaning with exists"),
    "all of one": (_detection(**{"reason|contains|all": "a"}), "`all` needs several values"),
    "unknown field of the event": (
        _detection(**{"actor.idd": "a"}),
        "no event has a field actor.idd; did you mean actor.id?",
    ),
    "field of an attribute": (_detection(department="a"), "did you mean attributes.department?"),
    "field with fields": (_detection(actor="a"), "the field actor has no value itself"),
    "unknown type": (
        rule({"s": {"type": "user.loged_in"}, "condition": "s"}),
        "type is never 'user.loged_in'; did you mean user.logged_in?",
    ),
    "no type can match": (
        rule({"s": {"type": "user.logged_in"}, "t": {"category": "data"}, "condition": "s and t"}),
        "no type of event can match",
    ),
    "backreference": (_detection(**{"reason|re": r"(a)\1"}), "RE2 can't use this pattern"),
    "huge expression": (_detection(**{"reason|re": "((a{1000}){1000}){1000}"}), "RE2 can't use this pattern"),
    "long pattern": (_detection(reason="a" * 1025), "at most 1024 characters"),
    "long field": (LONG_FIELD, "at most 1024 characters"),
    "long other field": (_detection(**{"reason|fieldref": "a" * 2000}), "at most 1024 characters"),
    "network with a host": (_detection(**{"client.address|cidr": "10.0.0.1/8"}), "write a network"),
    "order of a text": (_detection(**{"request.status|gt": "a"}), "gt needs one number"),
    "null in a list": (_detection(reason=[None, "a"]), "null stands alone"),
    "hour": (_detection(**{"occurred_at|hour": 24}), "hour is a whole number from 0 to 23"),
    "hour of a text": (_detection(**{"reason|hour": 2}), "hour needs a time"),
    "unused selection": (
        rule({"s": {"reason": "a"}, "t": {"reason": "b"}, "condition": "s"}),
        "the condition does not name the selection t",
    ),
    "unknown selection": (rule({"s": {"reason": "a"}, "condition": "s or t"}), "there is no selection t"),
    "no selection of the pattern": (
        rule({"s": {"reason": "a"}, "condition": "s or 1 of t*"}),
        "no selection is named",
    ),
    "two of": (rule({"s": {"reason": "a"}, "condition": "2 of s*"}), "2 of is not supported"),
    "open parenthesis": (rule({"s": {"reason": "a"}, "condition": "(s"}), "not understood at its end"),
    "deep parentheses": (
        rule({"s": {"reason": "a"}, "condition": "(" * 40 + "s" + ")" * 40}),
        "nested at most",
    ),
    "deep not": (rule({"s": {"reason": "a"}, "condition": "not " * 400 + "s"}), "nested at most"),
    "many names": (rule({"s": {"reason": "a"}, "condition": "s" + " or s" * 200}), "names at most 100"),
    "long condition": (rule({"s": {"reason": "a"}, "condition": "s" + " or s" * 2000}), "at most 2048"),
    "time zone": (failures(audit_trail={"time_zone": "Middle/Earth"}), "no such time zone"),
    "test event": (
        failures(tests={"fires": [[{"type": "user.logged_inn"}]], "silent": []}),
        "tests.fires[0][0]: the event is not valid",
    ),
    "many test events": (
        failures(tests={"fires": [[{"type": "user.login_failed", "repeat": 2000}] * 2], "silent": []}),
        "at most 2000 events",
    ),
    "same id": (failures() + "\n---\n" + failures(), "line 3: the id"),
    "same name": (failures() + "\n---\n" + failures(B), "the name failures is taken"),
    "several documents too many": ("\n---\n".join([failures()] * 51), "at most 50 documents"),
    "empty": ("# nothing\n---\n", "it is empty"),
    "alias": ("title: &a b\nid: *a\n", "references (*name) are not read"),
    "tag": ("title: !!python/name:os.system a\n", "remove the tag"),
    "deep": ("title: " + "[" * 100, "nested more than"),
    "no YAML": ("title: [", "this is no YAML"),
    "yaml truth": (
        _detection(reason="a").replace('"reason":"a"', "reason: on"),
        "YAML reads this as a truth value",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_names_file_line_and_field(case: str) -> None:
    text, message = REFUSED[case]
    with pytest.raises(ConfigurationError) as refused:
        parse_rules([("wrong.yaml", text)])
    assert message in str(refused.value)
    assert str(refused.value).startswith("wrong.yaml")


COUNT = {"type": "event_count", "rules": ["failures"], "timespan": "1m", "condition": {"gte": 2}}
WRONG_CORRELATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "sum": ({**COUNT, "type": "value_sum"}, "correlation.type: value_sum is not supported"),
    "unknown rule": ({**COUNT, "rules": ["other"]}, "no rule of this set has the id or the name other"),
    "twice": ({**COUNT, "rules": ["failures", A]}, "is there twice"),
    "timespan": ({**COUNT, "timespan": "90"}, "correlation.timespan: write a whole number of s, m, h or d"),
    "long timespan": ({**COUNT, "timespan": "32d"}, "to 31d"),
    "condition missing": ({**COUNT, "condition": {}}, "write a comparison"),
    "condition of words": ({**COUNT, "condition": "a and b"}, "write a comparison"),
    "two comparisons": ({**COUNT, "condition": {"gt": 1, "gte": 2}}, "or a range"),
    "none left": ({**COUNT, "condition": {"lt": 1}}, "no count of events satisfies this"),
    "large count": ({**COUNT, "condition": {"gte": 10001}}, "from 0 to 10000"),
    "no field": ({**COUNT, "type": "value_count"}, "whose values are counted?"),
    "field of a count": ({**COUNT, "condition": {"field": "actor.id", "gte": 2}}, "there is no such field"),
    "group": ({**COUNT, "group-by": ["actor.idd"]}, "did you mean actor.id?"),
    "alias without field": (
        {**COUNT, "group-by": ["u"], "aliases": {"u": {}}},
        "name the field of the rule failures",
    ),
    "unused alias": ({**COUNT, "aliases": {"u": {"failures": "actor.id"}}}, "does not name the alias u"),
    "one rule in order": (
        {"type": "temporal_ordered", "rules": ["failures"], "timespan": "1m"},
        "needs several rules",
    ),
    "itself": ({**COUNT, "rules": [C]}, "the rule refers to itself"),
    "unknown field": ({**COUNT, "within": "1m"}, "there is no such field"),
}


@pytest.mark.parametrize("case", WRONG_CORRELATIONS)
def test_what_is_refused_in_a_correlation(case: str) -> None:
    fields, message = WRONG_CORRELATIONS[case]
    with pytest.raises(ConfigurationError) as refused:
        rules(failures(), correlation(**fields))
    assert message in str(refused.value)
    assert str(refused.value).startswith("test.yaml, line 3")


def test_a_correlation_by_the_sources_clock_states_its_lateness() -> None:
    for extension, message in (
        ({"time": "occurred_at"}, "write a lateness too"),
        ({"lateness": "1h"}, "only with"),
        ({"time": "occurred_at", "lateness": "8d"}, "to 7d"),
        ({"time": "received_at", "lateness": "1h"}, "write one of recorded_at, occurred_at"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            rules(failures(), correlation(extension=extension, **COUNT))
    late = correlation(extension={"time": "occurred_at", "lateness": "1h"}, **COUNT)
    with pytest.raises(ConfigurationError, match="no correlation counts it"):
        rules(failures(), late, correlation(B, **{**COUNT, "rules": [C]}))


def test_a_chain_of_correlations_is_bounded_and_one_that_ends_late_is_not_counted() -> None:
    ids = [f"00000000-0000-4000-8000-0000000000{number}" for number in range(10, 18)]
    chain = [
        correlation(id, **{**COUNT, "rules": [above]}) for above, id in zip([A, *ids], ids, strict=False)
    ]
    assert len(rules(failures(), *chain[:5])) == 6
    with pytest.raises(ConfigurationError, match="at most 5 correlations of correlations"):
        rules(failures(), *reversed(chain))
    with pytest.raises(ConfigurationError, match="no correlation can count it"):
        rules(
            failures(),
            correlation(B, **{**COUNT, "condition": {"lt": 3}}),
            correlation(**{**COUNT, "rules": [B]}),
        )


def test_a_rule_may_refer_to_one_that_comes_later_or_stands_in_another_file() -> None:
    found = parse_rules([("a.yaml", correlation(**COUNT)), ("b.yaml", failures())])
    assert [each.head.id for each in found] == [A, C]


@pytest.mark.parametrize("size", [1, 100])
def test_every_prefix_of_a_file_is_accepted_or_refused_with_an_error_of_ours(size: int) -> None:
    for end in range(0, len(WHOLE), size if size > 1 else 37):
        try:
            parse_rules([("cut.yaml", WHOLE[:end])])
        except ConfigurationError as exc:
            assert str(exc).startswith("cut.yaml")  # noqa: PT017 - an error is one of two right outcomes


def test_json_of_any_shape_is_no_defect() -> None:
    shapes: list[Any] = [
        None,
        1,
        [],
        [1],
        {},
        {"title": {}},
        {"title": "a", "id": A, "logsource": [], "detection": {}},
    ]
    for given in shapes:
        with pytest.raises(ConfigurationError):
            parse_rules([("odd.yaml", orjson.dumps(given).decode())])
