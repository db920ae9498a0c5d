"""The token buckets, on a clock of the tests' own."""

from __future__ import annotations

import pytest

from web.http.rate_limit import RateLimit


class Clock:
    """A clock that is put forward."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_let_through_and_then_the_rate() -> None:
    clock = Clock()
    limit = RateLimit(60, 3, clock=clock)
    assert [limit.take("ada") for _ in range(4)] == [0, 0, 0, 1]
    clock.now += 0.5
    assert limit.take("ada") == pytest.approx(0.5)
    clock.now += 0.5
    assert limit.take("ada") == 0
    assert limit.take("ada") == pytest.approx(1)


def test_who_waits_saves_up_no_more_than_a_burst() -> None:
    clock = Clock()
    limit = RateLimit(60, 2, clock=clock)
    limit.take("ada")
    clock.now += 3600
    assert [limit.take("ada") > 0 for _ in range(3)] == [False, False, True]


def test_clients_are_counted_apart() -> None:
    limit = RateLimit(1, 1, clock=Clock())
    assert (limit.take("ada"), limit.take("bob"), limit.take("ada")) == (0, 0, 60)


def test_any_number_of_names_takes_bounded_memory() -> None:
    limit = RateLimit(1, 1, clock=Clock(), most_keys=10)
    limit.take("ada")
    for number in range(9):
        limit.take(str(number))
    assert limit.take("ada") > 0, "those that are seen again are kept"
    for number in range(1000):
        limit.take(f"name {number}")
    assert len(limit._buckets) == 10


@pytest.mark.parametrize(("per_minute", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_what_would_let_nobody_through_is_refused(per_minute: float, burst: int) -> None:
    with pytest.raises(ValueError, match="above 0"):
        RateLimit(per_minute, burst)


def test_what_is_more_than_may_be_asked_at_once_is_not_refused_for_ever() -> None:
    now = [0.0]
    limit = RateLimit(60, 3, clock=lambda: now[0])
    assert (limit.take("a"), limit.take("a", 4, beside=1)) == (0, 0)
    assert limit.take("a") > 0
    now[0] += 60
    assert (limit.take("a"), limit.take("a", 4, beside=1)) == (0, 0)
