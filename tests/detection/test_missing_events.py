"""Rules for what is missing: an event that does not follow, a source that is silent, numbers that do not come."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from detection.evaluation import absence, numbering, silence
from detection.evaluation.detector import Detector
from detection.evaluation.firing import Firing, FiringKind
from detection.evaluation.moments import duration
from detection.rules.rule import RuleSet
from domain.errors import ConfigurationError
from domain.event import RecordedEvent
from tests.detection.small_logs import START, A, B, C, correlation, event, failures, firings, rule, rules

MINUTE, HOUR, DAY = 60, 3600, 86400
OUT = rule({"s": {"type": "user.logged_out"}, "condition": "s"}, B, name="logged_out")


def unanswered() -> RuleSet:
    """A failed sign-in that no sign-out follows within ten seconds, by actor."""
    return rules(
        failures(),
        OUT,
        correlation(
            extension={"after": "failures"},
            type="event_count",
            rules=["logged_out"],
            timespan="10s",
            condition={"lt": 1},
            **{"group-by": ["actor.id"]},
        ),
    )


def log(*steps: tuple[float, str] | tuple[float, str, str]) -> list[RecordedEvent]:
    """Events at times: `in` fails to sign in, `out` signs out, `other` is something else."""
    types = {"in": "user.login_failed", "out": "user.logged_out", "other": "user.logged_in"}
    return [
        event(n, at, type=types[what], actor={"id": who[0] if who else "ada"})
        for n, (at, what, *who) in enumerate(steps)
    ]


@pytest.mark.parametrize(
    ("steps", "positions"),
    [
        ([(0, "in"), (11, "other")], [(0,)]),
        ([(0, "in"), (10, "out"), (30, "other")], []),
        ([(0, "in"), (10.001, "out")], [(0,)]),
        ([(0, "out"), (1, "in"), (20, "other")], [(1,)]),
        # Of several, the first opens the wait, and one answer is for all.
        ([(0, "in"), (5, "in"), (20, "in"), (21, "out")], [(0, 1)]),
        ([(0, "in"), (5, "in"), (9, "out")], []),
        ([(0, "in", "ada"), (1, "in", "grace"), (2, "out", "ada")], [(1,)]),
    ],
)
def test_what_does_not_follow_is_found_when_the_time_has_passed(
    steps: list[Any], positions: list[tuple[int, ...]]
) -> None:
    found = firings(unanswered(), log(*steps))
    assert [each.positions for each in found] == positions
    assert all(each.final and not each.follows for each in found)


def test_it_says_what_did_not_follow() -> None:
    [found] = firings(unanswered(), log((0, "in"), (3, "in"), (11, "other")))
    assert found.reasons == ("within 0:00:10 after: rule a, there was none of: rule b",)
    assert (found.count, found.group) == (2, (("actor.id", "ada"),))


@pytest.mark.parametrize(("by", "found"), [(1, 0), (10, 0), (10.001, 1)])
def test_a_log_that_ends_has_no_absence_whose_time_has_not_passed(by: float, found: int) -> None:
    for chosen, events in ((unanswered(), log((0, "in"))), (gaps(), numbered((-1, 1), (0, 3)))):
        detector = Detector(chosen)
        assert detector.feed(events) == []
        assert len(detector.closing(START + timedelta(seconds=by))) == found


def test_a_log_that_ends_in_a_window_has_its_count_so_far() -> None:
    burst = correlation(type="event_count", rules=["failures"], timespan="10s", condition={"gte": 2})
    detector = Detector(rules(failures(), burst))
    [first] = detector.feed(log((0, "in"), (1, "in"), (2, "in")))
    [last] = detector.closing(START + timedelta(seconds=3))
    assert (first.count, last.count, last.follows) == (2, 3, True)


def test_durations_are_said_in_words() -> None:
    assert [duration(each) for each in (10, DAY, DAY + 1)] == ["0:00:10", "1 day", "1 day, 0:00:01"]


def test_waits_are_bounded_visibly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(absence, "MAX_WAITS", 2)
    found = firings(unanswered(), log(*((n, "in", f"user-{n}") for n in range(4))))
    assert FiringKind.OVERFLOW in {each.kind for each in found}
    assert len([each for each in found if each.kind is FiringKind.MATCH]) == 2


def quiet(**rhythm: Any) -> RuleSet:
    """A service that is silent for an hour at least, and longer than is usual for it."""
    return rules(
        rule({"s": {"type": "*"}, "condition": "s"}, A, name="any"),
        correlation(
            extension={"after": "any", "rhythm": {"days": 14, "factor": 2, "learning": "1d", **rhythm}},
            type="event_count",
            rules=["any"],
            timespan="1h",
            condition={"lt": 1},
            **{"group-by": ["source.service"]},
        ),
    )


def beats(**sources: list[float]) -> list[RecordedEvent]:
    """Events of these services, at these times."""
    seen = sorted((at, service) for service, times in sources.items() for at in times)
    return [event(n, at, source={"service": service}) for n, (at, service) in enumerate(seen)]


def every(step: float, until: float, first: float = 0) -> list[float]:
    return [first + n * step for n in range(int((until - first) / step))]


def silent(found: list[Firing]) -> list[tuple[str, float]]:
    """Who was silent, and when that was known, in hours after the first event."""
    start = event().recorded_at
    return [(each.group[0][1], (each.ends - start).total_seconds() / HOUR) for each in found]


CLOCK = every(5 * MINUTE, 4 * DAY)


def test_a_source_that_stops_is_found_after_the_longest_it_may_be_silent() -> None:
    found = firings(quiet(), beats(clock=CLOCK, a=every(10 * MINUTE, 2 * DAY)))
    [(service, hours)] = silent(found)
    assert (service, round(hours, 3)) == ("a", round(48 - 1 / 6 + 1, 3))
    assert found[0].reasons == (
        "no event for 1:00:00, of: rule a; from its second-longest pause in 14 days follow 1:00:00 without, at most",
    )


def test_a_source_may_be_silent_as_it_usually_is() -> None:
    nightly = [day * DAY + hour * HOUR for day in range(3) for hour in range(8, 18)]
    assert not firings(
        quiet(learning="3d"), beats(clock=CLOCK, a=[*nightly, 3 * DAY + 8 * HOUR, 4 * DAY - HOUR])
    )


def test_one_outage_does_not_become_usual() -> None:
    times = every(10 * MINUTE, 2 * DAY) + every(10 * MINUTE, 3 * DAY, 2 * DAY + 5 * HOUR)
    found = silent(firings(quiet(), beats(clock=CLOCK, a=times)))
    assert [(service, round(hours)) for service, hours in found] == [("a", 49), ("a", 73)]


def test_a_source_is_not_judged_while_its_rhythm_is_learnt() -> None:
    assert not firings(quiet(learning="30d"), beats(clock=CLOCK, a=every(10 * MINUTE, 2 * DAY)))


def test_a_trail_that_stands_still_does_not_say_that_its_sources_do() -> None:
    times = every(10 * MINUTE, 2 * DAY) + every(10 * MINUTE, 4 * DAY, 3 * DAY)
    assert not firings(quiet(), beats(a=times, b=times))
    # One of them does not come back: it gets its time, from there.
    found = silent(firings(quiet(), beats(a=times, b=every(10 * MINUTE, 2 * DAY))))
    assert len(found) == 1
    assert found[0][0] == "b"
    assert 72 < found[0][1] < 73


def announced(**sources: list[float]) -> list[RecordedEvent]:
    """As `beats`; at a negative time, the service says that it stops."""
    seen = sorted((abs(at), at < 0, service) for service, times in sources.items() for at in times)
    types = {True: "service.stopped", False: "service.started"}
    return [
        event(n, at, type=types[stops], source={"service": service})
        for n, (at, stops, service) in enumerate(seen)
    ]


def stopping() -> RuleSet:
    """As `quiet`, for services that say when they stop."""
    return rules(
        rule({"s": {"type": "*"}, "condition": "s"}, A, name="any"),
        rule({"s": {"type": "service.stopped"}, "condition": "s"}, B, name="stopped"),
        correlation(
            C,
            {"after": "any", "rhythm": {"factor": 2, "learning": "1d"}, "announced_by": "stopped"},
            type="event_count",
            rules=["any"],
            timespan="1h",
            condition={"lt": 1},
            **{"group-by": ["source.service"]},
        ),
    )


HALF, BACK = every(10 * MINUTE, 2 * DAY), every(10 * MINUTE, 3 * DAY, 2.5 * DAY)


@pytest.mark.parametrize(
    ("times", "hours"),
    [
        (HALF, [49]),
        ([*HALF, -2 * DAY], []),
        ([*HALF, -2 * DAY, *BACK], [73]),
        # It says so twice, and is back once.
        ([*HALF, -2 * DAY, -(2 * DAY + 5 * HOUR), *BACK], [73]),
        ([*HALF, -2 * DAY, *BACK, -3 * DAY], []),
        # What it announces does not end the silence that was not announced.
        ([*HALF, -(2 * DAY + 3 * HOUR)], [49]),
        # One of its instances stops, and another one goes on.
        ([*HALF, -(1.5 * DAY + 1)], [49]),
        ([-1.0], []),
    ],
)
def test_a_silence_that_was_announced_is_none(times: list[float], hours: list[int]) -> None:
    log = announced(clock=CLOCK, a=times)
    assert [(who, round(at)) for who, at in silent(firings(stopping(), log))] == [
        ("a", each) for each in hours
    ]


def test_an_announced_pause_is_none_of_the_rhythm() -> None:
    """After two days off, three hours without an event are still more than usual."""
    times = [
        *HALF,
        -2 * DAY,
        *every(10 * MINUTE, 3 * DAY, 2.5 * DAY),
        -3 * DAY,
        *every(10 * MINUTE, 3.75 * DAY, 3.5 * DAY),
    ]
    found = silent(firings(stopping(), announced(clock=CLOCK, a=times)))
    assert [(who, round(at)) for who, at in found] == [("a", 91)]


def test_sources_are_bounded_visibly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "MAX_SOURCES", 2)
    found = firings(quiet(), beats(a=[0], b=[1], c=[2]))
    assert [each.kind for each in found] == [FiringKind.OVERFLOW]


NUMBER = "source.sequence"


def gaps() -> RuleSet:
    """Numbers that do not come within ten seconds."""
    return rules(
        rule({"s": {"source.sequence|exists": True}, "condition": "s"}, A, name="numbered"),
        correlation(
            extension={"numbering": "source.sequence"},
            type="event_count",
            rules=["numbered"],
            timespan="10s",
            condition={"gte": 1},
            **{"group-by": ["source.service", "source.instance"]},
        ),
    )


def numbered(*seen: tuple[float, int] | tuple[float, int, str]) -> list[RecordedEvent]:
    """Numbers at these times, of the instance `a` or another one."""
    return [
        event(
            n, at, source={"service": "s", "instance": instance[0] if instance else "a", "sequence": number}
        )
        for n, (at, number, *instance) in enumerate(seen)
    ]


@pytest.mark.parametrize(
    ("seen", "missing"),
    [
        ([(0, 1), (1, 2), (2, 3)], []),
        ([(0, 1), (1, 3), (20, 4)], ["1 of source.sequence missing: 2"]),
        ([(0, 1), (1, 3), (11, 2)], []),
        ([(0, 1), (1, 3), (11.001, 2)], ["1 of source.sequence missing: 2"]),
        ([(0, 1), (1, 9), (2, 3), (3, 6), (20, 10)], ["5 of source.sequence missing: 2, 4 to 5, 7 to 8"]),
        (
            [(0, 1), (1, 4), (5, 9), (30, 10)],
            ["2 of source.sequence missing: 2 to 3", "4 of source.sequence missing: 5 to 8"],
        ),
        ([(0, 1), (1, 5), (2, 4), (3, 3), (4, 2), (30, 6)], []),
        ([(0, 1), (1, 5), (2, 2), (3, 4), (4, 3), (5, 5), (6, 1), (30, 6)], []),
        # A rule that is new begins with what it sees, and each instance counts for itself.
        ([(0, 700), (1, 701), (2, 3, "b"), (3, 4, "b")], []),
        ([(0, 700), (1, 1, "b"), (2, 702), (20, 2, "b")], ["1 of source.sequence missing: 701"]),
    ],
)
def test_numbers_that_do_not_come_are_found_once(seen: list[Any], missing: list[str]) -> None:
    found = firings(gaps(), numbered(*seen))
    assert [each.reasons[0].partition(";")[0] for each in found] == missing
    assert len({(each.group, each.opened_at) for each in found}) == len(found)


def test_very_many_gaps_are_reported_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "MAX_RANGES", 3)
    found = firings(gaps(), numbered(*((n / 10, 1 + 2 * n) for n in range(6))))
    assert sum(each.count for each in found) == 5
    assert found[0].reasons[0].startswith("1 of source.sequence missing: 2;")


def test_instances_are_bounded_visibly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "MAX_GROUPS", 2)
    found = firings(gaps(), numbered((0, 1, "a"), (1, 1, "b"), (2, 1, "c")))
    assert [each.kind for each in found] == [FiringKind.OVERFLOW]


@pytest.mark.parametrize(
    ("fields", "extension", "message"),
    [
        ({"condition": {"lt": 2}}, {"after": "failures"}, "with `after` the condition is `lt: 1`"),
        (
            {"condition": {"lt": 1}},
            {"after": "nothing"},
            "no rule of this set has the id or the name nothing",
        ),
        ({"condition": {"lt": 1}}, {"after": "failures", "rhythm": {}}, "a rhythm is that of one rule"),
        (
            {"condition": {"lt": 1}, "rules": ["failures"]},
            {"after": "failures", "announced_by": "logged_out"},
            "only with `rhythm`",
        ),
        (
            {"condition": {"lt": 1}, "rules": ["failures"]},
            {"after": "failures", "rhythm": {}, "announced_by": "failures"},
            "name another rule",
        ),
        (
            {"condition": {"lt": 1}, "rules": ["failures"]},
            {"after": "failures", "rhythm": {}, "announced_by": "nothing"},
            "no rule of this set has the id or the name nothing",
        ),
        ({"condition": {"lt": 1}}, {}, "a group has at least one event"),
        ({"condition": {"gte": 2}}, {"numbering": "source.sequence"}, "here the condition is `gte: 1`"),
        ({}, {"numbering": "source.sequences"}, "did you mean source.sequence"),
        (
            {"condition": {"lt": 1}},
            {"after": "failures", "time": "occurred_at", "lateness": "1h"},
            "decided by the time of recording",
        ),
        (
            {"type": "temporal", "rules": [A, B], "condition": {"gte": 2}},
            {"after": "failures"},
            "event_count",
        ),
    ],
)
def test_what_makes_no_sense_is_an_error_with_its_field(
    fields: dict[str, Any], extension: dict[str, Any], message: str
) -> None:
    whole = {
        "type": "event_count",
        "rules": ["logged_out"],
        "timespan": "1h",
        "condition": {"gte": 1},
        "group-by": [],
    }
    with pytest.raises(ConfigurationError, match=message):
        rules(failures(), OUT, correlation(extension=extension, **{**whole, **fields}))


def test_what_is_decided_later_can_not_be_counted() -> None:
    numbers = correlation(
        B,
        {"numbering": "source.sequence"},
        type="event_count",
        rules=[A],
        timespan="1h",
        condition={"gte": 1},
    )
    with pytest.raises(ConfigurationError, match="no correlation can count it"):
        rules(
            failures(),
            numbers,
            correlation(C, type="event_count", rules=[B], timespan="1h", condition={"gte": 2}),
        )
