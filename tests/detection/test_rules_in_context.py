"""Rules that look up context, explain accesses, see the unexplained ones, or can't be evaluated."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from detection.context.index import ContextIndex
from detection.evaluation.detector import Detector
from detection.evaluation.evaluability import OF_EXPLAINING
from detection.evaluation.explaining import Explained
from detection.evaluation.firing import Firing
from detection.rule_tests import run_tests
from detection.rules.rule import RuleSet
from domain.errors import ConfigurationError
from domain.event import RecordedEvent
from tests.detection.small_logs import A, B, C, D, correlation, event, rule, rules

DAY = 86400
ME = {"me": {"table": "staff", "where": {"id": "actor.id"}}}
STAY = {"stay": {"table": "encounters", "where": {"patient": "patients.id", "department": "me.departments"}}}
PATIENT = {"patient": {"table": "patients", "where": {"id": "patients.id"}}}
CONTEXT: dict[str, Any] = {
    "staff": [
        {
            "id": "ada",
            "other_ids": ["a.lovelace"],
            "departments": ["ward 1", "ward 2"],
            "family_name": "Lovelace",
        },
        {"id": "grace", "departments": ["ward 3"], "family_name": "Hopper"},
    ],
    "patients": [
        {"id": "p-1", "family_name": "Lovelace"},
        {"id": "p-2", "family_name": "HOPPER"},
        {"id": "p-3", "family_name": "Hopper"},
    ],
    "encounters": [
        {
            "id": "e-1",
            "patient": "p-1",
            "department": "ward 2",
            "starts_at": "2026-01-01",
            "ends_at": "2026-01-03",
        },
        {"id": "e-2", "patient": "p-2", "department": "ward 2", "starts_at": "2026-01-01"},
    ],
    "service_accounts": [{"id": "lab", "networks": ["10.0.0.0/24", "2001:db8::/64"]}, {"id": "bare"}],
}


def read(
    *patients: str, actor: str = "ada", position: int = 0, at: float = 0, **fields: Any
) -> RecordedEvent:
    """A read of these patients' records."""
    return event(
        position,
        at,
        type="record.read",
        actor={"id": actor},
        resources=[{"type": "Patient", "id": "p"}],
        patients=[{"id": each} for each in patients],
        **fields,
    )


def looking(lookups: dict[str, Any], lines: dict[str, Any], id: str = A, **settings: Any) -> str:
    """A rule with these look-ups, whose lines all must match."""
    return rule(
        {"s": lines, "condition": "s"},
        id,
        name=f"rule_{id[-1]}",
        audit_trail={"context": lookups, **settings},
    )


def found(chosen: RuleSet, *events: RecordedEvent, context: Any = CONTEXT) -> list[Firing]:
    detector = Detector(chosen, ContextIndex.of(context))
    return [*detector.feed(events), *detector.closing()]


@pytest.mark.parametrize(
    ("lookups", "lines", "patients", "matches"),
    [
        (ME, {"me.departments": "ward 2"}, ["p-1"], True),
        (ME, {"me.departments": "ward 3"}, ["p-1"], False),
        (ME, {"me|exists": True}, [], True),
        (ME | STAY, {"stay|exists": True}, ["p-1"], True),
        (ME | STAY, {"stay|exists": True}, ["p-9"], False),
        (ME | STAY, {"stay": 1}, ["p-1"], True),
        (ME | STAY, {"stay|gte": 2}, ["p-1"], False),
        # Of several patients one is enough, each seen alone.
        (ME | STAY, {"stay|exists": False}, ["p-1", "p-9"], True),
        (ME | STAY, {"stay|exists": False}, ["p-1", "p-2"], False),
        (PATIENT, {"patient.family_name": "lovelace"}, ["p-1"], True),
    ],
)
def test_the_columns_of_the_rows_are_fields(
    lookups: dict[str, Any], lines: dict[str, Any], patients: list[str], matches: bool
) -> None:
    assert bool(found(rules(looking(lookups, lines)), read(*patients))) is matches


def test_names_are_compared_as_they_are_folded_and_counted_in_the_table() -> None:
    same = looking(ME | PATIENT, {"me.family_name|fieldref": "patient.family_name"})
    assert [bool(found(rules(same), read(each))) for each in ("p-1", "p-2")] == [True, False]
    assert found(rules(same), read("p-2", actor="grace"))
    rare = looking(PATIENT, {"patient.family_name_count|lte": 1})
    assert [bool(found(rules(rare), read(each))) for each in ("p-1", "p-2", "p-9")] == [True, False, False]


def test_a_person_is_found_by_any_id() -> None:
    chosen = rules(looking(ME | STAY, {"stay|exists": True}))
    assert found(chosen, read("p-1", actor="a.lovelace"))


@pytest.mark.parametrize(
    ("when", "days", "counts"),
    [
        ({"from": "starts_at", "until": "ends_at"}, -3, True),
        ({"from": "starts_at", "until": "ends_at"}, 0, False),
        ({"from": "starts_at", "until": "ends_at", "after": "2d"}, -0.6, True),
        ({"from": "starts_at", "until": "ends_at"}, -6, False),
        ({"from": "starts_at", "until": "ends_at", "before": "2d"}, -6, True),
        ({"until": "ends_at"}, -3000, True),
        ({"from": "starts_at"}, 3000, True),
    ],
)
def test_rows_count_within_their_time(when: dict[str, str], days: float, counts: bool) -> None:
    stay = {"stay": {**STAY["stay"], "when": when}}
    chosen = rules(looking(ME | stay, {"stay|exists": True}))
    assert bool(found(chosen, read("p-1", at=days * DAY))) is counts


def test_a_row_without_an_end_has_no_end_and_the_time_of_recording_can_be_asked_for() -> None:
    stay = {"stay": {**STAY["stay"], "when": {"from": "starts_at", "until": "ends_at", "at": "recorded_at"}}}
    chosen = rules(looking(ME | stay, {"stay|exists": True}))
    assert found(chosen, read("p-2", at=3000 * DAY, occurred=-9000 * DAY))


@pytest.mark.parametrize(
    ("actor", "address", "outside"),
    [
        ("lab", "10.0.0.7", False),
        ("lab", "10.0.1.7", True),
        ("lab", "2001:db8::1", False),
        ("lab", "::ffff:10.0.0.7", False),
        ("lab", "host-7", True),
        ("bare", "10.0.0.7", False),
        ("other", "10.0.0.7", False),
    ],
)
def test_an_address_is_compared_with_networks(actor: str, address: str, outside: bool) -> None:
    account = {"account": {"table": "service_accounts", "where": {"id": "actor.id"}}}
    lines = {"client.address|fieldref|neq": "account.networks", "account.networks|exists": True}
    chosen = rules(looking(account, lines))
    assert bool(found(chosen, event(actor={"id": actor}, client={"address": address}))) is outside


def test_the_reasons_name_the_rows_and_the_patients() -> None:
    chosen = rules(looking(ME | STAY, {"stay|exists": False, "me.departments": "ward 1"}))
    [firing] = found(chosen, read("p-7", "p-8", "p-1"))
    assert firing.reasons == (
        "s: stay|exists has no value",
        "s: me.departments has ward 1",
        "this is so for 2 patients, such as p-7, p-8",
    )


def test_two_rules_use_one_name_for_different_rows() -> None:
    other = {"stay": {"table": "encounters", "where": {"patient": "patients.id"}}}
    chosen = rules(looking(ME | STAY, {"stay|exists": True}, A), looking(other, {"stay|exists": True}, B))
    assert [each.rule for each in found(chosen, read("p-1", actor="grace"))] == [B]


def test_a_correlation_counts_the_patients_that_the_rule_matches() -> None:
    chosen = rules(
        looking(ME | STAY, {"stay|exists": False}),
        correlation(
            type="value_count", rules=["rule_a"], timespan="1h", condition={"field": "patients.id", "gte": 2}
        ),
    )
    assert not found(chosen, read("p-1", "p-2", "p-8"))
    assert found(chosen, read("p-1", "p-7", "p-8"))


EXPLAINS = looking(ME | STAY, {"stay|exists": True}, B, explains=True)
UNEXPLAINED = rule({"s": {"type": "record.read"}, "condition": "s"}, A, audit_trail={"unexplained": True})


def test_only_what_no_rule_explains_is_seen() -> None:
    chosen = rules(UNEXPLAINED, EXPLAINS)
    assert not found(chosen, read("p-1", "p-2"))
    [firing] = found(chosen, read("p-1", "p-8", "p-9"))
    assert firing.rule == A
    assert firing.reasons == (
        "none of 1 rules explains the access",
        "s: type has record.read",
        "this is so for 2 patients, such as p-8, p-9",
    )


def test_accesses_are_those_of_staff_to_patients() -> None:
    chosen = rules(UNEXPLAINED)
    assert found(chosen, read("p-1"))[0].reasons[0] == "none of 0 rules explains the access"
    record: dict[str, Any] = {
        "type": "record.read",
        "resources": [{"type": "Patient", "id": "p-1"}],
        "patients": [{"id": "p-1"}],
    }
    by_others = [
        event(actor={"kind": kind, "id": "p-1"}, **record) for kind in ("patient", "service", "device")
    ]
    assert not found(chosen, read(), *by_others)


def test_explained_accesses_are_counted_by_day_department_and_rule() -> None:
    detector = Detector(rules(EXPLAINS), ContextIndex.of(CONTEXT))
    log = [
        read("p-1", "p-9"),
        read("p-2", position=1, at=1),
        read("p-2", position=2, at=2, actor="grace"),
        read("p-2", position=3, at=DAY, actor="stranger"),
    ]
    assert not detector.feed(log)
    monday, tuesday = date(2026, 1, 5), date(2026, 1, 6)
    assert detector.explanations() == [
        Explained(monday, "ward 1", "", 1),
        Explained(monday, "ward 1", B, 2),
        Explained(monday, "ward 3", "", 1),
        Explained(tuesday, "", "", 1),
    ]
    assert detector.explanations() == []


def test_a_rule_without_its_tables_is_not_evaluable_and_says_so() -> None:
    chosen = rules(
        looking(ME | STAY, {"stay|exists": False}),
        correlation(type="event_count", rules=["rule_a"], timespan="1h", condition={"gte": 1}),
        rule({"s": {"type": "record.read"}, "condition": "s"}, D),
    )
    detector = Detector(chosen, ContextIndex.of({"staff": CONTEXT["staff"]}))
    assert detector.not_evaluable() == {A: ("encounters",), C: ("encounters",)}
    assert [each.rule for each in detector.feed([read("p-9")])] == [D]


def test_nothing_is_missed_from_a_rule_that_is_not_evaluable() -> None:
    """Else the absence of what can't be seen would be found all the time."""
    chosen = rules(
        looking(ME, {"me|exists": True}),
        rule({"s": {"type": "record.read"}, "condition": "s"}, B, name="read"),
        correlation(
            extension={"after": "read"},
            type="event_count",
            rules=["rule_a"],
            timespan="1h",
            condition={"lt": 1},
        ),
    )
    assert not found(chosen, read("p-1"), context={})


def test_some_explanations_are_missing_and_the_reasons_say_it() -> None:
    vip = {"vip": {"table": "vips", "where": {"patient": "patients.id"}}}
    chosen = rules(UNEXPLAINED, EXPLAINS, looking(vip, {"vip|exists": True}, C, explains=True))
    assert found(chosen, read("p-9"))[0].reasons[0] == (
        "none of 1 rules explains the access; 1 more could not be evaluated, without vips"
    )


def test_without_any_explanation_that_can_be_evaluated_all_accesses_are_not_reported() -> None:
    detector = Detector(rules(UNEXPLAINED, EXPLAINS))
    assert detector.not_evaluable() == {A: (OF_EXPLAINING,), B: ("encounters", "staff")}
    assert not detector.feed([read("p-9")])
    assert detector.explanations() == []


def test_the_context_can_change_between_events_and_windows_stay() -> None:
    chosen = rules(
        looking(ME, {"me.departments": "ward 2"}),
        correlation(type="event_count", rules=["rule_a"], timespan="1h", condition={"gte": 3}),
    )
    detector = Detector(chosen, ContextIndex.of(CONTEXT))
    assert not detector.feed([read("p-1", position=n, at=n) for n in range(2)])
    detector.use(ContextIndex.of({"staff": []}))
    assert not detector.feed([read("p-1", position=n, at=n) for n in range(2, 4)])
    detector.use(ContextIndex.of(CONTEXT))
    [firing] = detector.feed([read("p-1", position=4, at=4)])
    assert firing.positions == (0, 1, 4)


def test_counts_of_explained_accesses_survive_another_context() -> None:
    detector = Detector(rules(EXPLAINS), ContextIndex.of(CONTEXT))
    detector.feed([read("p-1")])
    detector.use(ContextIndex.of({}))
    assert [each.accesses for each in detector.explanations()] == [1]


def test_rules_bring_the_context_of_their_tests() -> None:
    context = {"staff": CONTEXT["staff"], "encounters": CONTEXT["encounters"]}
    [fires, silent] = [
        {"type": "record.read", "resources": [{"type": "a", "id": "b"}], "patients": [{"id": each}]}
        for each in ("p-1", "p-9")
    ]
    tests = {"context": context, "fires": [[fires]], "silent": [[silent]]}
    explaining = rule(
        {"s": {"stay|exists": True}, "condition": "s"},
        B,
        tests=tests,
        audit_trail={"context": ME | STAY, "explains": True},
    )
    turned = {**tests, "fires": [[silent]], "silent": [[fires]]}
    unexplained = rule(
        {"s": {"type": "record.read"}, "condition": "s"}, A, tests=turned, audit_trail={"unexplained": True}
    )
    results = list(run_tests(rules(unexplained, explaining)))
    assert [result.passed for result in results] == [True] * 4


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "table": (
        {"a": {"table": "people", "where": {"id": "actor.id"}}},
        r"context\.a\.table: write one of staff",
    ),
    "no where": ({"a": {"table": "staff"}}, "the field `where` is missing"),
    "column": (
        {"a": {"table": "staff", "where": {"ward": "actor.id"}}},
        r"where\.ward: staff has no such column",
    ),
    "field": ({"a": {"table": "staff", "where": {"id": "actor.name1"}}}, "no event has a field actor.name1"),
    "no key": (
        {"a": {"table": "staff", "where": {"departments": "actor.id"}}},
        "staff is searched by id or",
    ),
    "later": (
        {
            "a": {"table": "staff", "where": {"id": "b.id"}},
            "b": {"table": "staff", "where": {"id": "actor.id"}},
        },
        "no event has a field b.id",
    ),
    "name of an event": (
        {"actor": {"table": "staff", "where": {"id": "actor.id"}}},
        "is none of an event's field",
    ),
    "when without a time": (
        {"a": {"table": "staff", "where": {"id": "actor.id"}, "when": {"before": "1d"}}},
        "name a column of times",
    ),
    "when by a text": (
        {"a": {"table": "staff", "where": {"id": "actor.id"}, "when": {"from": "name"}}},
        "staff has no such column of times; there are active_from, active_until",
    ),
    "column in a condition": (ME, "the table staff has no such column: did you mean me.departments"),
    "nothing": ({}, "write 1 to 10 look-ups"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_an_error_with_its_field(name: str) -> None:
    lookups, message = REFUSED[name]
    with pytest.raises(ConfigurationError, match=message):
        rules(looking(lookups, {"me.department": "a"} if lookups is ME else {"type": "record.read"}))


def test_more_that_is_wrong() -> None:
    detection = {"s": {"type": "record.read"}, "condition": "s"}
    with pytest.raises(ConfigurationError, match="a rule that explains sees all accesses"):
        rules(rule(detection, audit_trail={"explains": True, "unexplained": True}))
    with pytest.raises(ConfigurationError, match="a rule that explains can't be counted"):
        rules(
            rule(detection, name="one", audit_trail={"explains": True}),
            correlation(type="event_count", rules=["one"], timespan="1h", condition={"gte": 1}),
        )
    with pytest.raises(
        ConfigurationError, match=r"tests\.context\.staff\[0\]: name1: staff has no such column"
    ):
        rules(
            rule(
                detection,
                tests={"context": {"staff": [{"id": "a", "name1": "b"}]}, "fires": [], "silent": []},
            )
        )
    with pytest.raises(ConfigurationError, match=r"tests\.context\.staff\[0\]: write the columns of a row"):
        rules(rule(detection, tests={"context": {"staff": ["ada"]}, "fires": [], "silent": []}))
