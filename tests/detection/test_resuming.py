"""However the log is cut, with the state saved and resumed, the firings are the same."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.context.index import ContextIndex
from detection.evaluation import correlating, long_memory
from detection.evaluation.detector import Detector
from detection.evaluation.firing import Firing
from detection.rules.rule import RuleSet
from domain.errors import ConfigurationError
from domain.event import RecordedEvent
from tests.detection.small_logs import A, B, C, correlation, event, failures, rule, rules

_ID = "00000000-0000-4000-8000-0000000000{}"


def _documents() -> list[str]:
    """A rule of every kind, and a chain."""
    group = {"group-by": ["actor.id"]}
    count: dict[str, Any] = {"type": "event_count", "rules": ["failures"], "timespan": "10s", **group}
    return [
        failures(),
        rule({"s": {"type": "user.logged_in"}, "condition": "s"}, B, name="success"),
        rule({"s": {"session": "s-1"}, "condition": "s"}, C),
        correlation(_ID.format(10), condition={"gte": 3}, generate=True, **count),
        correlation(_ID.format(11), condition={"lt": 3}, **count),
        correlation(
            _ID.format(12), condition={"field": "session", "gte": 2}, **{**count, "type": "value_count"}
        ),
        correlation(
            _ID.format(13), condition={"field": "session", "eq": 1}, **{**count, "type": "value_count"}
        ),
        correlation(_ID.format(14), type="temporal", rules=["failures", "success"], timespan="10s", **group),
        correlation(
            _ID.format(15), type="temporal_ordered", rules=[_ID.format(10), "success"], timespan="10s"
        ),
        correlation(
            _ID.format(16), extension={"time": "occurred_at", "lateness": "8s"}, condition={"gte": 3}, **count
        ),
        correlation(
            _ID.format(17), extension={"time": "occurred_at", "lateness": "8s"}, condition={"lte": 2}, **count
        ),
        *_beyond_sigma(count),
        *_in_context(group),
    ]


def _beyond_sigma(count: dict[str, Any]) -> list[str]:
    """Rules that ask against a group's past, and for what is missing."""
    values = {**count, "type": "value_count", "condition": {"field": "session", "gte": 1}}
    return [
        correlation(
            _ID.format(20),
            {"baseline": {"days": 1, "percentile": 50, "learning": "5s"}},
            condition={"gte": 1},
            **count,
        ),
        correlation(_ID.format(21), extension={"new_values": {"memory": "20s", "learning": "5s"}}, **values),
        correlation(
            _ID.format(22),
            {"returns_after": {"silence": "9s", "memory": "40s"}},
            condition={"gte": 1},
            **count,
        ),
        correlation(
            _ID.format(23), {"after": "failures"}, **{**count, "rules": ["success"], "condition": {"lt": 1}}
        ),
        correlation(
            _ID.format(24),
            {
                "after": "failures",
                "rhythm": {"days": 2, "factor": 1, "learning": "3s"},
                "announced_by": "success",
            },
            **{**count, "timespan": "4s", "condition": {"lt": 1}},
        ),
        correlation(_ID.format(25), {"numbering": "attributes.n"}, condition={"gte": 1}, **count),
    ]


def _in_context(group: dict[str, Any]) -> list[str]:
    """A rule that looks up rows, one that explains, and one for the rest, which a correlation counts."""
    access = {"s": {"type": "record.read"}, "listed": {"vip|exists": True}, "condition": "s and listed"}
    reads = {"s": {"type": "record.read"}, "condition": "s"}
    vip = {"vip": {"table": "vips", "where": {"patient": "patients.id"}}}
    team = {"member": {"table": "care_teams", "where": {"patient": "patients.id", "staff": "actor.id"}}}
    explained = {"s": {"member|exists": True}, "condition": "s"}
    return [
        rule(access, _ID.format(30), audit_trail={"context": vip}),
        rule(explained, _ID.format(31), audit_trail={"context": team, "explains": True}),
        rule(reads, _ID.format(32), name="unexplained", audit_trail={"unexplained": True}),
        correlation(
            _ID.format(33),
            type="value_count",
            rules=["unexplained"],
            timespan="10s",
            condition={"field": "patients.id", "gte": 2},
            **group,
        ),
    ]


CONTEXT = ContextIndex.of(
    {
        "staff": [{"id": "ada", "departments": ["a"]}],
        "vips": [{"patient": "p-1"}],
        "care_teams": [{"patient": "p-2", "staff": "ada"}, {"patient": "p-1", "staff": "grace"}],
    }
)


@pytest.fixture(autouse=True)
def _short_past(monkeypatch: pytest.MonkeyPatch) -> None:
    """The logs here are short: one timespan with events is a past."""
    monkeypatch.setattr(long_memory, "MIN_PAST", 1)


@st.composite
def logs(draw: st.DrawFn) -> list[RecordedEvent]:
    """Logs of a few actors over a minute, some events later than others, and one that goes back in time."""
    drawn = draw(
        st.lists(
            st.tuples(
                st.sampled_from([0, 0, 1, 2, 3, 9, -2]),
                st.sampled_from([0, 0, 1, 5, 12]),
                st.sampled_from(
                    [
                        "user.login_failed",
                        "user.login_failed",
                        "user.logged_in",
                        "user.logged_out",
                        "record.read",
                    ]
                ),
                st.sampled_from(["ada", "grace", "joan"]),
                st.sampled_from(["s-1", "s-2", None]),
                st.integers(1, 9),
            ),
            max_size=40,
        )
    )
    events, now = [], 100.0
    for position, (step, late, type, actor, session, number) in enumerate(drawn):
        now += step
        fields: dict[str, Any] = {"actor": {"id": actor}, "session": session, "attributes": {"n": number}}
        if type == "record.read":
            fields["patients"] = [{"id": f"p-{n}"} for n in range(1, 1 + number // 3)]
            fields["resources"] = [{"type": "Patient", "id": "p"}]
        events.append(event(position, now, now - late, type=type, **fields))
    return events


def _cut(
    chosen: RuleSet, events: list[RecordedEvent], cuts: list[int]
) -> tuple[list[Firing], Counter[tuple[str, str]]]:
    """The firings, and the accesses by department and rule that explains them."""
    detector, found = Detector(chosen, CONTEXT), []
    explained: Counter[tuple[str, str]] = Counter()
    for begin, end in pairwise([0, *sorted(cut % (len(events) + 1) for cut in cuts), len(events)]):
        found += detector.feed(events[begin:end])
        if end % 2:  # counts that nobody has asked for are in the state
            _add(explained, detector)
        detector = Detector.resumed(rules(*_documents()), detector.state(), CONTEXT)
        if end % 3:
            detector.use(CONTEXT)
    _add(explained, detector)
    return [*found, *detector.closing()], explained


def _add(explained: Counter[tuple[str, str]], detector: Detector) -> None:
    for each in detector.explanations():
        explained[each.department, each.rule] += each.accesses


@settings(max_examples=40)
@given(logs(), st.lists(st.integers(0, 40), max_size=8))
def test_a_log_in_pieces_gives_the_firings_of_a_log_in_one_piece(
    events: list[RecordedEvent], cuts: list[int]
) -> None:
    chosen = rules(*_documents())
    assert _cut(chosen, events, cuts) == _cut(chosen, events, [])


@pytest.mark.parametrize("name", ["MAX_GROUPS", "MAX_WAITING"])
def test_the_same_at_the_bounds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlating, name, 2)

    @settings(max_examples=40)
    @given(logs(), st.lists(st.integers(0, 40), max_size=8))
    def check(events: list[RecordedEvent], cuts: list[int]) -> None:
        chosen = rules(*_documents())
        assert _cut(chosen, events, cuts) == _cut(chosen, events, [])

    check()


def test_a_rule_that_changed_starts_afresh_and_the_others_go_on() -> None:
    def chosen(least: int) -> RuleSet:
        group: dict[str, Any] = {"type": "event_count", "rules": ["failures"], "timespan": "10s"}
        return rules(
            failures(),
            correlation(B, condition={"gte": 2}, **group),
            correlation(C, condition={"gte": least}, **group),
        )

    detector = Detector(chosen(3))
    assert detector.feed([event(0, 0)]) == []
    resumed = Detector.resumed(chosen(1 + 1), detector.state())
    assert [each.rule for each in resumed.feed([event(1, 1)])] == [B]
    assert [each.rule for each in resumed.feed([event(2, 2)])] == [C]


def test_a_rule_that_is_gone_is_left_out_and_another_version_of_the_state_is_refused() -> None:
    detector = Detector(rules(*_documents()))
    detector.feed([event(n, n) for n in range(5)])
    assert Detector.resumed(rules(failures()), detector.state()).feed([event(5, 5)])[0].rule == A
    with pytest.raises(ConfigurationError, match="another version"):
        Detector.resumed(rules(failures()), msgspec.msgpack.encode((0, 0, {}, [])))


def test_every_rule_here_finds_something() -> None:
    """Else the tests above would compare nothing with nothing."""
    chosen = rules(*_documents())
    usual = [event(n, 12 * n) for n in range(6)]
    more = [event(n, 80 + n / 10) for n in range(6, 12)]
    alone = [event(n, 100 + n, actor={"id": "ada" if n < 20 else "grace"}) for n in range(12, 30)]
    found = {each.rule for each in _cut(chosen, [*usual, *more, *alone], [])[0]}

    @settings(max_examples=200, derandomize=True)
    @given(logs())
    def collect(events: list[RecordedEvent]) -> None:
        found.update(each.rule for each in _cut(chosen, events, [])[0])

    collect()
    assert {each.head.id for each in chosen.reported} - found == set()
