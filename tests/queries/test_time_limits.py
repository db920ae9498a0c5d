"""Which filters need a range of times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.errors import RejectedError
from queries.filters.event_filter import CountBy, EventFilter
from queries.search.prepared import prepare

NOW = datetime(2026, 3, 31, tzinfo=UTC)
RARE = EventFilter(purposes=("BTG",))
ADA = EventFilter(actor="ada")


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def ten_days(ago: float) -> dict[str, Any]:
    return {"occurred_from": days_ago(ago), "occurred_until": days_ago(ago - 10)}


def either(*parts: EventFilter) -> EventFilter:
    return EventFilter(or_=parts)


def joined(**conditions: Any) -> EventFilter:
    return EventFilter(and_=(RARE, EventFilter(**conditions)))


@pytest.mark.parametrize(
    "filter",
    [
        EventFilter(),
        # An index leads.
        ADA,
        EventFilter(actor="ada", purposes=("BTG",)),
        EventFilter(types=("record.read",), purposes=("BTG",)),
        EventFilter(type_prefix="record."),
        EventFilter(outcomes=("major_failure",)),
        EventFilter(emergency=True),
        EventFilter(or_=(ADA, EventFilter(patient="17"))),
        EventFilter(and_=(ADA, RARE)),
        # Most events match.
        EventFilter(emergency=False),
        EventFilter(outcomes=("success",)),
        EventFilter(actions=("R", "U")),
        EventFilter(actor_kinds=("user",)),
        EventFilter(not_=EventFilter(actor_kinds=("organization",))),
        EventFilter(not_=ADA),
        EventFilter(not_=RARE),
        EventFilter(not_=EventFilter(actions=("R",))),
        EventFilter(not_=EventFilter(actions=("D",))),
        EventFilter(and_=(EventFilter(not_=ADA), EventFilter(not_=EventFilter(types=("api.called",))))),
        EventFilter(or_=(RARE, EventFilter(not_=ADA))),
        EventFilter(occurred_from=days_ago(400)),
        # The range is short enough.
        joined(occurred_from=days_ago(31)),
        joined(occurred_from=days_ago(400), occurred_until=days_ago(369)),
        joined(position_from=10, position_until=1_000_010),
        EventFilter(purposes=("BTG",), occurred_from=days_ago(2)),
        # Each of several ranges is walked by itself, and together they are short enough.
        either(joined(occurred_from=days_ago(21)), joined(**ten_days(300))),
        EventFilter(and_=(RARE, either(EventFilter(**ten_days(200)), EventFilter(**ten_days(300))))),
        either(ADA, joined(occurred_from=days_ago(31))),
        either(EventFilter(and_=(RARE, EventFilter(**ten_days(90)))), either(joined(**ten_days(9)), ADA)),
        either(joined(position_from=10, position_until=500_010), joined(occurred_from=days_ago(15))),
    ],
)
def test_what_is_led_common_or_short_is_answered(filter: EventFilter) -> None:
    prepare(filter, max_days=31, now=NOW)


@pytest.mark.parametrize(
    "filter",
    [
        RARE,
        EventFilter(actions=("D",)),
        EventFilter(actor_prefix="a"),
        EventFilter(actor_kinds=("patient", "unknown")),
        EventFilter(not_=EventFilter(actor_kinds=("user", "service", "device"))),
        EventFilter(day_time_from="22:00"),
        EventFilter(weekdays=("sunday",), time_zone="Europe/Berlin"),
        EventFilter(address_prefix="10."),
        EventFilter(not_=EventFilter(outcomes=("success",))),
        EventFilter(not_=EventFilter(not_=RARE)),
        EventFilter(not_=EventFilter(actions=("C", "R", "U", "E"))),
        EventFilter(or_=(RARE, ADA)),
        EventFilter(and_=(EventFilter(emergency=False), RARE)),
        joined(occurred_from=days_ago(32)),
        joined(occurred_until=days_ago(1)),
        joined(position_from=0),
        joined(position_from=0, position_until=1_000_001),
        # A range within `not` bounds nothing, nor does one within `or` beside a filter without a range.
        either(joined(occurred_from=days_ago(1)), RARE),
        either(joined(**ten_days(10)), joined(occurred_until=days_ago(400))),
        # Each range is short enough, but not all of them together.
        either(joined(occurred_from=days_ago(21)), joined(**ten_days(300)), joined(**ten_days(400))),
        either(joined(position_from=0, position_until=600_000), joined(occurred_from=days_ago(15))),
        EventFilter(and_=(RARE, EventFilter(not_=EventFilter(occurred_from=days_ago(1))))),
    ],
)
def test_what_may_walk_the_whole_trail_is_refused(filter: EventFilter) -> None:
    with pytest.raises(RejectedError, match=r"at most 31 days.*patient") as refused:
        prepare(filter, max_days=31, now=NOW)
    assert refused.value.field == "occurred_from"
    prepare(filter, max_days=0, now=NOW)


def test_counts_read_all_that_match_and_so_need_a_range_also_when_most_do() -> None:
    month, year = EventFilter(occurred_from=days_ago(30)), EventFilter(occurred_from=days_ago(365))
    prepare(month, by=CountBy.ACTOR, max_days=31, now=NOW)
    prepare(year, by=CountBy.DAY, max_days=31, now=NOW)
    prepare(EventFilter(), by=CountBy.HOUR, max_days=31, now=NOW)
    prepare(
        EventFilter(actions=("D",), occurred_from=days_ago(365.01)), by=CountBy.TYPE, max_days=31, now=NOW
    )
    prepare(EventFilter(actor="ada", occurred_from=days_ago(365)), by=CountBy.TYPE, max_days=31, now=NOW)
    nights = either(*(EventFilter(**ten_days(ago)) for ago in (10, 100, 300)))
    prepare(nights, by=CountBy.ACTOR, max_days=31, now=NOW)
    for filter, by in (
        (EventFilter(or_=(*nights.or_, EventFilter(**ten_days(500)))), CountBy.ACTOR),
        (EventFilter(), CountBy.ACTOR),
        (year, CountBy.ACTOR),
        (EventFilter(occurred_from=days_ago(365), emergency=False), CountBy.DAY),
        (EventFilter(occurred_from=days_ago(365), not_=ADA), CountBy.DAY),
    ):
        with pytest.raises(RejectedError):
            prepare(filter, by=by, max_days=31, now=NOW)
