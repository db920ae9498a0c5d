"""When a correlation fires: its window, its groups, its bounds, and the clock that it goes by."""

from __future__ import annotations

from typing import Any

import pytest

from detection.evaluation import correlating
from detection.evaluation.detector import Detector
from detection.evaluation.firing import FiringKind
from detection.rules.rule import RuleSet
from tests.detection.small_logs import A, B, C, D, correlation, event, failures, firings, rule, rules

SUCCESS = rule({"s": {"type": "user.logged_in"}, "condition": "s"}, B, name="success")


def counting(extension: Any = None, **fields: Any) -> RuleSet:
    """Failed sign-ins of one actor, three within ten seconds unless `fields` say otherwise."""
    default = {
        "type": "event_count",
        "rules": ["failures"],
        "group-by": ["actor.id"],
        "timespan": "10s",
        "condition": {"gte": 3},
    }
    return rules(failures(), correlation(extension=extension, **{**default, **fields}))


def at(*seconds: float, **fields: Any) -> list[Any]:
    return [event(position, second, **fields) for position, second in enumerate(seconds)]


@pytest.mark.parametrize(
    ("seconds", "wanted"),
    [
        ((0, 5, 10), True),
        ((0, 5, 10.001), False),
        ((0, 0, 0), True),
        ((0, 6, 11, 15), True),
        ((0, 9, 18, 27), False),
    ],
)
def test_the_window_slides_and_both_its_ends_are_in_it(seconds: tuple[float, ...], wanted: bool) -> None:
    assert bool(firings(counting(), at(*seconds))) is wanted


def test_one_firing_for_each_window_whose_count_grows_and_then_a_new_one() -> None:
    found = firings(counting(), at(0, 1, 2, 3, 4, 20, 20.5, 21, 22))
    assert [(each.final, each.count, each.positions) for each in found] == [
        (False, 3, (0, 1, 2)),
        # The window of the first has passed.
        (True, 5, (0, 1, 2, 3, 4)),
        (False, 3, (5, 6, 7)),
        (True, 4, (5, 6, 7, 8)),
    ]
    assert found[0].group == (("actor.id", "ada"),)
    assert found[0].reasons == ("3 events within 0:00:10, of: rule a", "s: type has user.login_failed")
    assert (found[0].begins, found[0].ends) == (event(at=0).recorded_at, event(at=2).recorded_at)


def test_groups_are_counted_apart_and_events_without_the_field_not_at_all() -> None:
    log = [event(n, n, actor={"id": "ada" if n % 2 else "grace"}) for n in range(6)]
    assert [each.group[0][1] for each in firings(counting(), log)] == ["grace", "ada"]
    assert not firings(counting(), [event(n, n, actor={}) for n in range(6)])


def test_an_event_with_several_values_belongs_to_each_group() -> None:
    log = at(0, 1, 2, patients=[{"id": "p-1"}, {"id": "p-2"}])
    found = firings(counting(**{"group-by": ["patients.id"]}), log)
    assert [each.group[0][1] for each in found] == ["p-1", "p-2"]


def test_without_group_by_all_events_count_together() -> None:
    log = [event(n, n, actor={"id": f"user-{n}"}) for n in range(3)]
    [found] = firings(counting(**{"group-by": []}), log)
    assert found.group == ()


def test_distinct_values_are_counted_once() -> None:
    chosen = counting(type="value_count", condition={"field": "session", "gte": 3})
    log = [event(n, n, session=f"s-{n % 2}") for n in range(8)]
    assert not firings(chosen, log)
    [opened] = firings(chosen, [*log, event(8, 8, session="s-2")])
    assert (opened.count, opened.positions) == (3, (6, 7, 8))
    assert opened.reasons[0] == "3 values of session, such as s-0, s-1, s-2, within 0:00:10, of: rule a"


@pytest.mark.parametrize(
    ("condition", "seconds", "counts"),
    [
        ({"lt": 3}, (0, 1, 20, 21, 22, 40), [2, 1]),
        ({"lte": 2}, (0, 1, 20, 21, 22, 40), [2, 1]),
        ({"eq": 3}, (0, 1, 20, 21, 22, 40), [3]),
        ({"neq": 3}, (0, 1, 20, 21, 22, 40), [2, 1]),
        ({"gte": 2, "lte": 2}, (0, 1, 20, 21, 22, 40), [2]),
        ({"eq": 1}, (0, 10, 20.5), [1]),
    ],
)
def test_a_condition_with_an_upper_bound_is_decided_at_the_end_of_the_window(
    condition: dict[str, int], seconds: tuple[float, ...], counts: list[int]
) -> None:
    found = firings(counting(condition=condition), at(*seconds))
    assert [each.count for each in found] == counts
    assert all(each.final for each in found)


def test_rules_in_any_order() -> None:
    chosen = rules(
        failures(),
        SUCCESS,
        correlation(type="temporal", rules=[A, B], timespan="10s", **{"group-by": ["actor.id"]}),
    )
    for kinds in (("user.login_failed", "user.logged_in"), ("user.logged_in", "user.login_failed")):
        log = [event(n, n, type=kind) for n, kind in enumerate(kinds)]
        assert firings(chosen, log)
    assert not firings(chosen, at(0, 1, 2))
    assert not firings(chosen, [event(0, 0), event(1, 11, type="user.logged_in")])


def test_rules_in_their_order_and_a_chain_that_begins_again() -> None:
    chosen = rules(failures(), SUCCESS, correlation(type="temporal_ordered", rules=[A, B], timespan="10s"))
    before = [event(0, 0, type="user.logged_in"), event(1, 1)]
    assert not firings(chosen, before)
    [found] = firings(chosen, [*before, event(2, 11, type="user.logged_in")])
    assert found.positions == (1, 2)
    # The later of two beginnings counts.
    assert firings(chosen, [event(0, 0), event(1, 5), event(2, 14, type="user.logged_in")])


@pytest.mark.parametrize(("seconds", "wanted"), [((0, 5, 10), True), ((0, 6, 12), False)])
def test_a_whole_chain_is_within_the_timespan(seconds: tuple[float, ...], wanted: bool) -> None:
    ended = rule({"s": {"type": "user.logged_out"}, "condition": "s"}, D, name="ended")
    chain = correlation(type="temporal_ordered", rules=[A, B, D], timespan="10s")
    kinds = ("user.login_failed", "user.logged_in", "user.logged_out")
    log = [event(n, second, type=kinds[n]) for n, second in enumerate(seconds)]
    assert bool(firings(rules(failures(), SUCCESS, ended, chain), log)) is wanted


def test_an_event_does_not_follow_itself() -> None:
    same = rule({"s": {"category": "user"}, "condition": "s"}, B, name="same")
    chosen = rules(failures(), same, correlation(type="temporal_ordered", rules=[A, B], timespan="10s"))
    assert not firings(chosen, at(0))
    assert firings(chosen, at(0, 1))


def test_a_correlation_counts_another_at_each_event_at_which_that_one_holds() -> None:
    burst = correlation(
        "00000000-0000-4000-8000-00000000000d",
        type="event_count",
        rules=["failures"],
        timespan="10s",
        condition={"gte": 3},
        **{"group-by": ["actor.id"]},
    )
    after = correlation(
        type="temporal_ordered",
        rules=["00000000-0000-4000-8000-00000000000d", "success"],
        timespan="10s",
        **{"group-by": ["actor.id"]},
    )
    chosen = rules(after, failures(), SUCCESS, burst)
    log = at(0, 1, 2, 3)
    # The burst still holds at 3 s.
    [found] = firings(chosen, [*log, event(4, 12.5, type="user.logged_in")])
    assert (found.rule, found.positions) == (C, (3, 4))
    assert not firings(chosen, [*log, event(4, 13.5, type="user.logged_in")])


def test_aliases_join_fields_of_different_names() -> None:
    grant = rule({"s": {"type": "role.changed"}, "condition": "s"}, B, name="grant")
    chosen = rules(
        failures(),
        grant,
        correlation(
            type="temporal_ordered",
            rules=["grant", "failures"],
            timespan="1m",
            aliases={"user": {"grant": "resources.id", "failures": "actor.id"}},
            **{"group-by": ["user"]},
        ),
    )
    [found] = firings(
        chosen,
        [
            event(0, 0, type="role.changed", resources=[{"type": "User", "id": "grace"}]),
            event(1, 1, actor={"id": "grace"}),
        ],
    )
    assert found.group == (("user", "grace"),)


def test_rules_that_a_correlation_counts_report_only_with_generate() -> None:
    assert [each.rule for each in firings(counting(), at(0, 1, 2))] == [C]
    assert [each.rule for each in firings(counting(generate=True), at(0, 1, 2))] == [A, A, A, C]


def test_the_time_of_the_log_never_goes_back() -> None:
    assert firings(counting(), at(100, 0, 50))


BY_SOURCE = {"time": "occurred_at", "lateness": "1m"}


def test_by_the_sources_clock_events_count_in_its_order_within_the_lateness() -> None:
    late = [event(0, 60, 0), event(1, 61, 30), event(2, 62, 5), event(3, 64, 8), event(4, 300, 300)]
    assert not firings(counting(), [late[0], *late[4:]])
    [found] = firings(counting(BY_SOURCE), late)
    assert (found.kind, found.positions, found.ends) == (FiringKind.MATCH, (0, 2, 3), event(at=8).recorded_at)
    # By the time of the log these would be one burst.
    spread = [event(n, 60 + n, n * 20) for n in range(3)]
    assert firings(counting(), spread)
    assert not firings(counting(BY_SOURCE), spread)


def test_what_comes_later_than_the_lateness_is_reported_and_not_counted() -> None:
    log = [event(0, 100, 100), event(1, 101, 101), event(2, 170, 102), event(3, 171, 103)]
    found = firings(counting(BY_SOURCE), log)
    assert [(each.kind, each.count, each.final) for each in found] == [
        (FiringKind.LATE, 1, False),
        (FiringKind.LATE, 2, True),
    ]


def test_a_source_whose_clock_is_ahead_does_not_stop_the_others() -> None:
    log = [event(0, 0, 86400), event(1, 1, 1), event(2, 2, 2), event(3, 200, 200)]
    [found] = firings(counting(BY_SOURCE), log)
    assert found.positions == (0, 1, 2)


def test_groups_beyond_the_bound_are_forgotten_visibly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlating, "MAX_GROUPS", 2)
    log = [event(n, n, actor={"id": f"user-{n % 3}"}) for n in range(9)]
    found = firings(counting(), log)
    assert {each.kind for each in found} == {FiringKind.OVERFLOW}
    assert found[0].reasons == ("more than 2 groups within 10 s",)
    assert [(each.count, each.final) for each in found] == [(1, False), (7, True)]
    # Old groups make room by themselves.
    slow = [event(n, n * 11, actor={"id": f"user-{n}"}) for n in range(9)]
    assert not firings(counting(), slow)


def test_events_that_wait_beyond_the_bound_are_taken_early_visibly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlating, "MAX_WAITING", 2)
    found = firings(counting(BY_SOURCE), at(0, 1, 2, 3))
    assert [each.kind for each in found if not each.final] == [FiringKind.OVERFLOW, FiringKind.MATCH]


def test_an_event_in_too_many_groups_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlating, "MAX_KEYS", 3)
    [found] = firings(
        counting(**{"group-by": ["patients.id"]}), [event(patients=[{"id": f"p-{n}"} for n in range(5)])]
    )
    assert (found.kind, found.reasons) == (FiringKind.OVERFLOW, ("an event belongs to more than 3 groups",))


def test_evidence_is_bounded_and_its_count_is_not() -> None:
    found = firings(counting(), [event(n, n / 100) for n in range(500)])
    assert [(each.count, len(each.positions)) for each in found] == [(3, 3), (500, 100)]


def test_an_alias_of_the_actor_names_the_actor() -> None:
    second = rule({"s": {"type": "role.changed"}, "condition": "s"}, B, name="grants")
    chain = correlation(
        type="temporal",
        rules=["failures", "grants"],
        aliases={"who": {"failures": "actor.id", "grants": "resources.id"}},
        timespan="10s",
        **{"group-by": ["source.service", "who"]},
    )
    granted = event(
        1, 1, type="role.changed", actor={"id": "root"}, resources=[{"type": "User", "id": "ada"}]
    )
    [found] = firings(rules(failures(), second, chain), [event(), granted])
    assert (found.group, found.actor) == ((("source.service", "test"), ("who", "ada")), "ada")


def test_no_rule_finds_an_alert() -> None:
    """It would find its own alerts for ever."""
    alert = event(type="alert.raised", resources=[{"type": "Alert", "id": "1"}])
    assert not firings(rules(rule({"s": {"source.service": "test"}, "condition": "s"})), [alert])


def test_a_long_value_of_a_group_is_remembered_by_its_digest() -> None:
    """A sender chooses attributes, of a megabyte each; state and alerts must not have them."""
    chosen = rules(
        failures(),
        correlation(
            type="value_count",
            rules=["failures"],
            timespan="10s",
            condition={"field": "attributes.value", "gte": 2},
            **{"group-by": ["attributes.group"]},
        ),
    )
    long = "x" * 100_000
    detector = Detector(chosen)
    events = [
        event(at, at, attributes={"group": f"{long}{at // 2}", "value": f"{long}{at}"}) for at in range(4)
    ]
    found = detector.feed(events)
    assert [each.positions for each in found] == [(0, 1), (2, 3)]
    assert len(detector.state()) < 20_000
    assert len(str(found)) < 20_000
