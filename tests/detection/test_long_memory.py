"""Rules that ask against a group's own past: its usual count, the values that it had, and when it was last seen."""

from __future__ import annotations

from typing import Any

import pytest

from detection.evaluation import correlating, long_memory
from detection.evaluation.firing import FiringKind
from detection.rules.rule import RuleSet
from domain.errors import ConfigurationError
from domain.event import RecordedEvent
from tests.detection.small_logs import correlation, event, failures, firings, rules

HOUR = 3600
DAY = 24 * HOUR


def unusual(**baseline: Any) -> RuleSet:
    """Distinct sessions within an hour, above three and the actor's own past of five days."""
    return rules(
        failures(),
        correlation(
            extension={"baseline": {"days": 5, "learning": "1d", **baseline}},
            type="value_count",
            rules=["failures"],
            timespan="1h",
            condition={"field": "session", "gte": 3},
            **{"group-by": ["actor.id"]},
        ),
    )


class Log:
    """A log that is written hour by hour, a little more than an hour apart."""

    def __init__(self) -> None:
        self.events: list[RecordedEvent] = []

    def hour(self, hour: int, sessions: int, actor: str = "ada") -> Log:
        """So many sessions in the middle of this hour."""
        for number in range(sessions):
            self.events.append(
                event(
                    len(self.events),
                    hour * (HOUR + 2) + 1800 + number / 10,
                    session=f"s-{hour}-{number}",
                    actor={"id": actor},
                )
            )
        return self


def usual(hours: int, sessions: int) -> Log:
    log = Log()
    for hour in range(hours):
        log.hour(hour, sessions)
    return log


def test_a_count_above_the_own_past_is_found_at_the_event_that_exceeds_it() -> None:
    log = usual(30, 4).hour(31, 6)
    [opened, end] = firings(unusual(), log.events)
    assert (opened.count, opened.positions[-1]) == (5, 124)
    assert opened.reasons[0] == (
        "5 values of session within 1:00:00, of: rule a; usual are at most 4: percentile 99 of 30 such times with"
        " events in 5 days"
    )
    assert (end.count, end.follows) == (6, True)


@pytest.mark.parametrize(
    ("log", "found"),
    [
        (usual(30, 4).hour(31, 4), False),
        (usual(30, 1).hour(31, 2), False),
        (usual(30, 1).hour(31, 3), True),
        # One higher hour of thirty is the 99th percentile too.
        (usual(29, 1).hour(29, 9).hour(31, 9), False),
        # Known for too short a time, and too few hours.
        (usual(22, 1).hour(23, 9), False),
        (usual(19, 1).hour(40, 9), False),
    ],
)
def test_what_is_usual_is_a_percentile_of_the_hours_with_events(log: Log, found: bool) -> None:
    # The higher hour itself may be found when it comes: the last one is asked for.
    last = log.events[-1].position
    assert any(last in each.positions for each in firings(unusual(), log.events)) is found


def test_the_past_ends_after_its_days() -> None:
    log = usual(30, 9)
    for hour in range(31, 31 + 6 * 24):
        log.hour(hour, 1)
    assert [each.count for each in firings(unusual(), log.hour(31 + 6 * 24, 3).events)] == [3]


def test_the_factor_raises_what_is_usual() -> None:
    log = usual(30, 4).hour(31, 8)
    assert not firings(unusual(factor=2), log.events)
    assert firings(unusual(factor=1.9), log.events)


def test_a_group_with_more_values_than_are_counted_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_memory, "MAX_VALUES", 4)
    assert not firings(unusual(), usual(30, 5).hour(31, 50).events)


def test_many_groups_with_a_past_are_bounded_visibly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlating, "MAX_REMEMBERED", 10)
    log = Log()
    for number in range(20):
        log.hour(number, 1, f"user-{number}")
    assert FiringKind.OVERFLOW in {each.kind for each in firings(unusual(), log.events)}


def new_sessions(**condition: Any) -> RuleSet:
    """Sessions that an actor has not had for ten days, once known for a day."""
    return rules(
        failures(),
        correlation(
            extension={"new_values": {"memory": "10d", "learning": "1d"}},
            type="value_count",
            rules=["failures"],
            timespan="1h",
            condition={"field": "session", "gte": 1, **condition},
            **{"group-by": ["actor.id"]},
        ),
    )


def at(*seen: tuple[float, str]) -> list[RecordedEvent]:
    return [event(n, days * DAY, session=session) for n, (days, session) in enumerate(seen)]


@pytest.mark.parametrize(
    ("seen", "positions"),
    [
        ([(0, "a"), (1, "a"), (2, "b"), (3, "b")], [(2,)]),
        # Not known for long enough.
        ([(0, "a"), (0.5, "b"), (2, "b")], []),
        # Forgotten after ten days; the group stays known by its other session.
        ([(0, "a"), (1, "b"), (6, "b"), (11.5, "a")], [(1,), (3,)]),
        ([(0, "a"), (5, "a"), (14, "a")], []),
        # A group without events for ten days is new again.
        ([(0, "a"), (11, "b")], []),
    ],
)
def test_a_value_is_new_when_the_group_has_not_had_it(
    seen: list[tuple[float, str]], positions: list[tuple[int, ...]]
) -> None:
    assert [each.positions for each in firings(new_sessions(), at(*seen))] == positions


def test_several_new_values_can_be_asked_for_and_are_named() -> None:
    log = at((0, "a"), (2, "b"), (2.01, "a"), (2.02, "c"))
    [found] = firings(new_sessions(gte=2), log)
    assert found.reasons[0] == "new values of session: b, c, beside 1 known ones, within 1:00:00, of: rule a"
    assert found.positions == (1, 3)


def test_a_group_with_very_many_values_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_memory, "MAX_KNOWN", 3)
    log = at((0, "a"), (0.1, "b"), (0.2, "c"), (2, "d"), (3, "e"))
    assert not firings(new_sessions(), log)


@pytest.mark.parametrize(
    ("days", "found"),
    [((0, 9.9), False), ((0, 10), True), ((0, 5, 14), False), ((30,), False), ((0, 101), False)],
)
def test_an_event_after_a_long_time_without(days: tuple[float, ...], found: bool) -> None:
    chosen = rules(
        failures(),
        correlation(
            extension={"returns_after": {"silence": "10d", "memory": "100d"}},
            type="event_count",
            rules=["failures"],
            timespan="1h",
            condition={"gte": 1},
            **{"group-by": ["actor.id"]},
        ),
    )
    made = firings(chosen, at(*((day, "a") for day in days)))
    assert bool(made) is found
    if found:
        assert made[0].reasons[0] == "the first event after 10 days within 1:00:00, of: rule a"


@pytest.mark.parametrize(
    ("fields", "extension", "message"),
    [
        ({"timespan": "2d"}, {"baseline": {}}, "the timespan is at most a day"),
        ({"timespan": "1s"}, {"baseline": {}}, "the days have at most 10000 of it"),
        ({"condition": {"lt": 3}}, {"baseline": {}}, "write `gte` or `gt`"),
        ({"condition": {"gte": 1001}}, {"baseline": {}}, "with a baseline at most 1000"),
        ({}, {"baseline": {"percentile": 20}}, "write a number from 50 to 100"),
        ({}, {"baseline": {}, "new_values": {}}, "it excludes baseline: write two rules"),
        ({}, {"new_values": {}}, "with new_values the type is value_count"),
        ({"condition": {"gte": 2}}, {"returns_after": {"silence": "1d"}}, "here the condition is `gte: 1`"),
        ({}, {"returns_after": {"silence": "9d", "memory": "9d"}}, "memory is more than silence"),
        ({}, {"returns_after": {}}, "the field `silence` is missing"),
        ({}, {"rhythm": {}}, "only with `after`"),
        ({}, {"baseline": {"percent": 99}}, "did you mean percentile"),
    ],
)
def test_what_makes_no_sense_is_an_error_with_its_field(
    fields: dict[str, Any], extension: dict[str, Any], message: str
) -> None:
    whole = {
        "type": "event_count",
        "rules": ["failures"],
        "timespan": "1h",
        "condition": {"gte": 1},
        "group-by": ["actor.id"],
    }
    with pytest.raises(ConfigurationError, match=message):
        rules(failures(), correlation(extension=extension, **{**whole, **fields}))
