"""What each modifier, wildcard and condition matches."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.evaluation.matching import holds
from detection.rules.rule import EventRule
from domain.errors import ConfigurationError
from tests.detection.small_logs import event, firings, matches, rule, rules

ATTRIBUTES = {
    "department": "Ward 3",
    "tags": ["a", "B"],
    "nested": {"deep.er": {"x": 5}},
    "none": None,
    "on": True,
}
CASES: list[tuple[dict[str, Any], bool]] = [
    ({"reason": "A Reason*"}, True),
    ({"reason": "reason"}, False),
    ({"reason|contains": "REASON"}, True),
    ({"reason|startswith": "a r"}, True),
    ({"reason|endswith": "* star"}, True),
    ({"reason|endswith": r"\* star"}, False),
    ({"reason": "a reason: 100? *"}, True),
    ({"reason|contains|cased": "Reason"}, False),
    ({"reason|contains|cased": "reason"}, True),
    ({"reason|contains|all": ["reason", "star"]}, True),
    ({"reason|contains|all": ["reason", "moon"]}, False),
    ({"reason|re": "reason: [0-9]+%"}, True),
    ({"reason|re": "REASON"}, False),
    ({"reason|re|i": "REASON"}, True),
    ({"reason|re": "^reason"}, False),
    ({"reason|contains|neq": "moon"}, True),
    ({"reason": ["moon", "sun"]}, False),
    ({"reason": ""}, False),
    ({"reason": None}, False),
    ({"outcome_reason": None}, True),
    ({"outcome_reason": ""}, False),
    ({"outcome_reason|exists": False}, True),
    ({"reason|exists": True}, True),
    ({"outcome_reason": "*"}, False),
    ({"client.address|cidr": "10.1.0.0/16"}, True),
    ({"client.address|cidr": ["fe80::/10", "192.168.0.0/16"]}, False),
    ({"request.status": 404}, True),
    ({"request.status": "404"}, True),
    ({"request.status": "4??"}, True),
    ({"request.status|gte": 404}, True),
    ({"request.status|lt": 404}, False),
    ({"reason|lt": 404}, False),
    ({"actor.id|fieldref": "session"}, True),
    ({"actor.id|fieldref|cased": "session"}, False),
    ({"actor.id|fieldref": "patients.id"}, True),
    ({"actor.id|fieldref|neq": "correlation_id"}, True),
    ({"patients.id": "p-2"}, True),
    ({"patients.id|all": ["p-2", "ada"]}, True),
    ({"patients.id|all": ["p-2", "p-3"]}, False),
    ({"actor.roles": "nurse"}, True),
    ({"category": "user"}, True),
    ({"category": "data"}, False),
    ({"emergency": True}, True),
    ({"emergency": "true"}, True),
    ({"occurred_at": "2026-01-05T12:*"}, True),
    ({"occurred_at|hour": [11, 12]}, True),
    ({"occurred_at|weekday": 1}, True),
    ({"recorded_at|month": 2}, False),
    ({"position": 7}, True),
    ({"attributes.department": "ward ?"}, True),
    ({"attributes.tags": "b"}, True),
    ({"attributes.nested.deep.er.x": 5}, True),
    ({"attributes.nested.deep": "*"}, False),
    ({"attributes.none": None}, True),
    ({"attributes.none|exists": True}, True),
    ({"attributes.other|exists": True}, False),
    ({"attributes.on": True}, True),
    ({"changes.after": 1024}, True),
    ({"changes.before": None}, True),
    ({"changes.path|contains": "limit"}, True),
]


@pytest.mark.parametrize(("lines", "wanted"), CASES, ids=str)
def test_a_line_of_a_selection(lines: dict[str, Any], wanted: bool) -> None:
    found = matches(
        {"s": lines, "condition": "s"},
        position=7,
        reason="a reason: 100% star",
        actor={"id": "ada", "roles": ["doctor", "Nurse"]},
        session="ADA",
        client={"address": "::ffff:10.1.2.3"},
        patients=[{"id": "p-1"}, {"id": "P-2"}, {"id": "Ada"}],
        request={"status": 404},
        emergency=True,
        attributes=ATTRIBUTES,
        changes=[{"path": "memory_limit", "after": 1024}],
    )
    assert found is wanted


@pytest.mark.parametrize(
    ("pattern", "text", "wanted"),
    [
        (r"a\b", r"a\b", True),
        (r"a\\b", r"a\b", True),
        (r"a\*", "a*", True),
        (r"a\*", "ab", False),
        (r"a\\*", r"a\bcd", True),
        (r"a\\*", "abcd", False),
        (r"a\\\*", r"a\*", True),
        (r"a\?", "a?", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("a**c", "ac", True),
        ("*a*b*", "xaxbx", True),
        ("STRASSE", "straße", True),
        ("ΣΑΣ", "σας", True),
        ("a*b", "a\nb", True),
        ("a?b", "a\nb", True),
        ("a.b", "axb", False),
    ],
)
def test_wildcards_and_escapes(pattern: str, text: str, wanted: bool) -> None:
    assert matches({"s": {"reason": pattern}, "condition": "s"}, reason=text) is wanted


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("yes and no or yes", True),
        ("yes or no and no", True),
        ("(yes or no) and no", False),
        ("not no and yes", True),
        ("not (yes and no)", True),
        ("not not yes or no", True),
        ("1 of *", True),
        ("all of them", False),
        ("any of no* and yes", False),
        ("1 of n* or 1 of y*", True),
        ("all of y* and not 1 of no*", True),
    ],
)
def test_conditions(condition: str, wanted: bool) -> None:
    selections = {"yes": {"reason": "a"}, "no": {"reason": "b"}}
    assert matches({**selections, "condition": condition}, reason="a") is wanted


def test_a_selection_whose_name_begins_with_an_underscore_is_not_one_of_them() -> None:
    hidden = {"s": {"reason": "a"}, "_other": {"reason": "b"}, "condition": "all of them or (s and _other)"}
    assert matches(hidden, reason="a")


def test_maps_are_joined_with_and_and_lists_of_maps_with_or() -> None:
    both = {"s": [{"reason": "a", "session": "b"}, {"reason": "c"}], "condition": "s"}
    assert matches(both, reason="a", session="b")
    assert not matches(both, reason="a", session="c")
    assert matches(both, reason="c")


def test_hours_are_those_of_the_rules_time_zone() -> None:
    night = {"s": {"type": "user.login_failed", "occurred_at|hour": 21}, "condition": "s"}
    chosen = rules(rule(night, audit_trail={"time_zone": "Asia/Tokyo"}))
    assert firings(chosen, [event()])
    assert not firings(rules(rule(night)), [event()])


def test_reasons_name_the_selections_that_hold_and_values_of_their_fields_alone() -> None:
    chosen = rules(
        rule(
            {
                "failure": {"type": "user.login_failed"},
                "who": [{"actor.id": ["ada", "grace"]}, {"session": "other"}],
                "inside": {"client.address|cidr": "10.0.0.0/8"},
                "condition": "failure and who and not inside",
            }
        )
    )
    [found] = firings(chosen, [event(client={"address": "192.0.2.1"}, reason="secret", session="s-1")])
    assert found.reasons == (
        "failure: type has user.login_failed",
        "who: actor.id has ada",
        "not inside: client.address|cidr has 192.0.2.1",
    )
    assert (found.rule, found.version, found.positions, found.count) == (
        *(chosen[found.rule].head.id, chosen[found.rule].digest, (0,), 1),
    )


def test_a_long_value_is_cut_in_the_reasons() -> None:
    chosen = rules(rule({"s": {"reason": "a*"}, "condition": "s"}))
    [found] = firings(chosen, [event(reason="a" * 5000)])
    assert all(len(reason) < 300 for reason in found.reasons)


_LINES = st.sampled_from(
    [
        {"type": "user.login_failed"},
        {"type|startswith": "user."},
        {"category": "user"},
        {"category": ["data", "trail"]},
        {"type": "record.*", "reason": "a"},
        {"reason": "a"},
        {"actor.kind": "service"},
    ]
)
_CONDITIONS = st.sampled_from(
    ["a", "not a and b", "a or not (b and c)", "a and not b or c", "1 of *", "not all of *"]
)


@given(
    _CONDITIONS,
    _LINES,
    _LINES,
    _LINES,
    st.sampled_from(["user.login_failed", "record.searched", "api.called"]),
)
def test_what_the_type_decides_in_advance_is_what_the_whole_condition_says(
    condition: str, first: dict[str, str], second: dict[str, str], third: dict[str, str], type: str
) -> None:
    selections = {"a": first, "b": second, "c": third}
    words = re.findall(r"\b[abc]\b", condition) or selections
    named = {name: selections[name] for name in words}
    try:
        chosen = rules(rule({**named, "condition": condition}))
    except ConfigurationError as exc:
        assert "no type of event can match" in str(exc)  # noqa: PT017 - a right outcome
        return
    [only] = chosen
    assert isinstance(only, EventRule)
    extra: dict[str, Any] = {"request": {"method": "GET", "path": "/"}} if type == "api.called" else {}
    for reason in (None, "a"):
        recorded = event(type=type, reason=reason, **extra)
        assert bool(firings(chosen, [recorded])) is holds(only.expression, recorded)


def test_a_type_that_the_catalogue_no_longer_has_is_evaluated_too() -> None:
    recorded = event(reason="a")
    old = msgspec.structs.replace(
        recorded, event=msgspec.structs.replace(recorded.event, type="user.sneezed")
    )
    assert firings(rules(rule({"s": {"reason": "a"}, "condition": "s"})), [old])
    assert not firings(rules(rule({"s": {"category": "user"}, "condition": "s"})), [old])
