"""However the log is cut, with the state saved and resumed, the firings are the same."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.evaluation import correlating
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
    ]


@st.composite
def logs(draw: st.DrawFn) -> list[RecordedEvent]:
    """Logs of a few actors over a minute, some events later than others, and one that goes back in time."""
    drawn = draw(
        st.lists(
            st.tuples(
                st.sampled_from([0, 0, 1, 2, 3, 9, -2]),
                st.sampled_from([0, 0, 1, 5, 12]),
                st.sampled_from(
                    ["user.login_failed", "user.login_failed", "user.logged_in", "user.logged_out"]
                ),
                st.sampled_from(["ada", "grace", "joan"]),
                st.sampled_from(["s-1", "s-2", None]),
            ),
            max_size=40,
        )
    )
    events, now = [], 100.0
    for position, (step, late, type, actor, session) in enumerate(drawn):
        now += step
        events.append(event(position, now, now - late, type=type, actor={"id": actor}, session=session))
    return events


def _cut(chosen: RuleSet, events: list[RecordedEvent], cuts: list[int]) -> list[Firing]:
    detector, found = Detector(chosen), []
    for begin, end in pairwise([0, *sorted(cut % (len(events) + 1) for cut in cuts), len(events)]):
        found += detector.feed(events[begin:end])
        detector = Detector.resumed(rules(*_documents()), detector.state())
    return [*found, *detector.closing()]


@settings(max_examples=60)
@given(logs(), st.lists(st.integers(0, 40), max_size=8))
def test_a_log_in_pieces_gives_the_firings_of_a_log_in_one_piece(
    events: list[RecordedEvent], cuts: list[int]
) -> None:
    chosen = rules(*_documents())
    assert _cut(chosen, events, cuts) == _cut(chosen, events, [])


@pytest.mark.parametrize("name", ["MAX_GROUPS", "MAX_WAITING"])
def test_the_same_at_the_bounds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlating, name, 2)

    @settings(max_examples=60)
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
        Detector.resumed(rules(failures()), msgspec.msgpack.encode((0, 0, {})))
